package pgsource

import (
	"context"

	"syncline"
)

// A server that was put back to an earlier state (a snapshot of its disk, slots and all, or WAL that a crash took) and was written to since has
// WAL at the log's end as if nothing had happened. It is the same system on the same timeline, and only what stands in its WAL is different. So
// the log remembers its last transaction, and where the slot has not confirmed that, the stream begins with it: a server on which anything else
// comes first has lost it. The rows that are sent once more are dropped as those of every repeated transaction are.

// landmark is a transaction whose events are in the log.
type landmark struct {
	// Commit is where its commit stands in the WAL.
	Commit uint64 `json:"commit"`
	XID    uint32 `json:"xid"`
	// Through is the publications that it was sent through: others may have nothing of it.
	Through string `json:"through"`
}

// mark remembers the last transaction of the batch that is being built.
func (s *Source) mark() {
	last := &s.stream.txns[len(s.stream.txns)-1]
	if m := s.state.Last; m != nil && m.Commit == last.Commit {
		return
	}
	s.state.Last = &landmark{Commit: last.Commit, XID: uint32(last.XID), Through: identifierList(s.names)}
	s.checkpoint = nil
}

// streamFrom is where the stream is asked to begin.
func (s *Source) streamFrom() lsn {
	s.landmark = s.state.Last
	if m := s.landmark; m != nil && (m.Commit > s.pos.Commit || m.Through != identifierList(s.names)) {
		s.landmark = nil
	}
	if s.landmark == nil {
		return lsn(s.pos.Commit)
	}
	return lsn(s.landmark.Commit)
}

// forgo does without the landmark where the slot has confirmed it: the server does not send it then, and has it. It is asked once the slot is
// ours, so that nobody moves it any more; where somebody did, the stream would leave out what is between.
func (s *Source) forgo(ctx context.Context) error {
	sl, err := s.findSlot(ctx)
	if err != nil || sl == nil {
		return err
	}
	if s.landmark != nil && uint64(sl.confirmed) > s.landmark.Commit {
		s.landmark = nil
	}
	return s.notAhead(sl)
}

// passes looks at what the stream brings: a transaction, or, where xid is 0, the word that there is none before commit.
func (s *Source) passes(commit uint64, xid uint32) error {
	m := s.landmark
	switch {
	case m == nil || xid == 0 && commit <= m.Commit:
		return nil
	case xid == m.XID && commit == m.Commit:
		s.landmark = nil
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "source_behind", "source %s: the transaction with which the log ends (%d, committed at %s) is not in the server's WAL: "+
		"the server lost changes that it had sent, and was written to since", s.opt.Name, m.XID, lsn(m.Commit)).
		WithFix("the server was restored or lost its tail: bring the newer one back; or %s", s.acceptGap())
}
