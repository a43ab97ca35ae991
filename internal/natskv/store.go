package natskv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"syncline"
)

const (
	versionHeader   = "Syncline-Version"
	operationHeader = "KV-Operation"       // DEL or PURGE on a marker (ADR-8)
	reasonHeader    = "Nats-Marker-Reason" // on a marker that the server made
	sequenceHeader  = "Nats-Sequence"
	statusHeader    = "Status"

	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
)

const (
	// window is how many keys are asked for or published before answers are waited for: what the server takes in one batch.
	window = 1000
	// minBatch is from how many records on a batch, for which the server makes files of its own, is cheaper than single
	// messages, each with its own sync.
	minBatch = 16
)

// stored is what the bucket has under a key.
type stored struct {
	revision uint64 // 0 = nothing, not even a marker
	version  int64  // 0 = written by somebody else
	live     bool   // there is a record, not a marker
	data     []byte
	shadow   []byte // nil = none
}

func (s *stored) header(h nats.Header) {
	s.version, _ = strconv.ParseInt(h.Get(versionHeader), 10, 64)
	s.shadow = decodeShadow(h.Get(shadowHeader))
	s.live = h.Get(operationHeader) == "" && h.Get(reasonHeader) == ""
}

// read returns what the bucket has under the subjects, asking for all of them before it waits. The answers may come from a
// replica that is behind: a write that builds on such an answer is refused by its revision.
func (t *Target) read(ctx context.Context, subjects []string) ([]stored, error) {
	inbox := t.conn.NewInbox()
	sub, err := t.conn.SubscribeSync(inbox + ".*")
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // a closed connection has no subscriptions
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	for i, s := range subjects {
		if err := t.conn.PublishRequest("$JS.API.DIRECT.GET."+t.stream()+"."+s, inbox+"."+strconv.Itoa(i), nil); err != nil {
			return nil, err
		}
	}
	out := make([]stored, len(subjects))
	for range subjects {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err // ErrNoResponders: nobody holds the stream now
		}
		i, err := strconv.Atoi(m.Subject[len(inbox)+1:])
		if err != nil || i < 0 || i >= len(out) {
			return nil, errors.New("an answer to another question")
		}
		switch status := m.Header.Get(statusHeader); {
		case status == "404":
		case status != "" && m.Header.Get(sequenceHeader) == "":
			return nil, fmt.Errorf("the server answered %s", status)
		default:
			if out[i].revision, err = strconv.ParseUint(m.Header.Get(sequenceHeader), 10, 64); err != nil {
				return nil, errors.New("an answer without a sequence")
			}
			out[i].header(m.Header)
			out[i].data = m.Data
		}
	}
	return out, nil
}

// readLatest returns what the bucket has under the subject according to the stream's leader.
func (t *Target) readLatest(ctx context.Context, subject string) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	m, err := t.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+t.stream(), []byte(`{"last_by_subj":`+strconv.Quote(subject)+`}`))
	if err != nil {
		return stored{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq  uint64 `json:"seq"`
			Hdrs []byte `json:"hdrs"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return stored{}, errors.New("an answer that is not JSON")
	}
	switch e := answer.Error; {
	case e == nil:
	case e.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, nil
	case e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return stored{}, jetstream.ErrStreamNotFound
	default:
		return stored{}, e
	}
	s := stored{revision: answer.Message.Seq, live: true, data: answer.Message.Data}
	if len(answer.Message.Hdrs) > 0 {
		h, err := nats.DecodeHeadersMsg(answer.Message.Hdrs)
		if err != nil {
			return stored{}, err
		}
		s.header(h)
	}
	return s, nil
}

// record is what is to be written under a subject: a document, or a delete marker where it has none.
type record struct {
	subject  string
	version  int64
	document []byte
	shadow   []byte // nil = none
}

func (t *Target) message(r record, revision uint64) *nats.Msg {
	m := &nats.Msg{Subject: r.subject, Data: r.document, Header: nats.Header{
		versionHeader:                       {strconv.FormatInt(r.version, 10)},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(revision, 10)},
	}}
	if r.shadow != nil {
		m.Header[shadowHeader] = []string{encodeShadow(r.shadow)}
	}
	if r.document == nil {
		m.Header[operationHeader] = []string{"DEL"}
		if t.tombstone > 0 {
			m.Header[jetstream.MsgTTLHeader] = []string{t.tombstone.Round(time.Second).String()}
		}
	}
	return m
}

// wait returns what became of a write: nil, errConflict or another error.
func wait(ctx context.Context, f jetstream.PubAckFuture) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return conflict(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publishAtomic writes the messages all or none, with one sync at the server (ADR-50). An APIError means none.
func (t *Target) publishAtomic(ctx context.Context, messages []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	id := nuid.Next()
	for i, m := range messages {
		m.Header[batchIDHeader] = []string{id}
		m.Header[batchSequenceHeader] = []string{strconv.Itoa(i + 1)}
		if i < len(messages)-1 {
			if err := t.conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header[batchCommitHeader] = []string{"1"}
		answer, err := t.conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct {
			Error *jetstream.APIError `json:"error"`
			Count int                 `json:"count"`
		}
		switch err := json.Unmarshal(answer.Data, &ack); {
		case err != nil:
			return errors.New("an answer that is not JSON")
		case ack.Error != nil:
			return ack.Error
		case ack.Count != len(messages):
			return fmt.Errorf("an answer for %d messages of %d", ack.Count, len(messages))
		}
	}
	return nil
}

func conflict(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return errConflict
	}
	return err
}

// maxRounds is how often a record is read and written again when somebody else writes the same key in between.
const maxRounds = 8

// put writes records of distinct subjects, each unless the bucket has it in a newer version. The outcome of each is
// applied, stale or rejected with its error.
func (t *Target) put(ctx context.Context, records []record, done func(i int, o syncline.Outcome, err error)) error {
	for at := 0; at < len(records); at += window {
		todo := make([]int, 0, window)
		for i := at; i < min(at+window, len(records)); i++ {
			todo = append(todo, i)
		}
		for round := 0; len(todo) > 0; round++ {
			if round == maxRounds {
				return syncline.Errorf(syncline.Transient, "natskv_contended", "write to bucket %s: somebody else keeps writing the same keys", t.bucket)
			}
			var err error
			if todo, err = t.round(ctx, records, todo, done); err != nil {
				return classify(err, "write to bucket "+t.bucket)
			}
		}
	}
	return nil
}

// round reads and writes the records todo and returns those that somebody else wrote in between.
func (t *Target) round(ctx context.Context, records []record, todo []int, done func(int, syncline.Outcome, error)) ([]int, error) {
	subjects := make([]string, len(todo))
	for n, i := range todo {
		subjects[n] = records[i].subject
	}
	have, err := t.read(ctx, subjects)
	if err != nil {
		return nil, err
	}
	writes, messages := todo[:0], make([]*nats.Msg, 0, len(todo))
	for n, i := range todo {
		r := records[i]
		switch {
		case have[n].version > r.version:
			done(i, syncline.OutcomeStale, nil)
		case have[n].version == r.version && have[n].live == (r.document != nil):
			done(i, syncline.OutcomeApplied, nil)
		default:
			writes, messages = append(writes, i), append(messages, t.message(r, have[n].revision))
		}
	}
	return t.publish(ctx, writes, messages, done)
}

// publish writes the messages, each if its subject has the revision that it names, and returns those of the writes that met another.
func (t *Target) publish(ctx context.Context, writes []int, messages []*nats.Msg, done func(int, syncline.Outcome, error)) ([]int, error) {
	if t.atomic && len(writes) >= minBatch {
		var api *jetstream.APIError
		err := t.publishAtomic(ctx, messages)
		if err == nil {
			for _, i := range writes {
				done(i, syncline.OutcomeApplied, nil)
			}
			return nil, nil
		}
		if !errors.As(err, &api) && !errors.Is(err, nats.ErrMaxPayload) {
			return nil, err
		}
		// One record spoiled the batch for all: by themselves, each gets its own answer.
		for _, m := range messages {
			delete(m.Header, batchIDHeader)
			delete(m.Header, batchSequenceHeader)
			delete(m.Header, batchCommitHeader)
		}
	}
	return t.publishEach(ctx, writes, messages, done)
}

// publishEach writes the messages one by one, without waiting in between, and returns the writes that met another revision.
func (t *Target) publishEach(ctx context.Context, writes []int, messages []*nats.Msg, done func(int, syncline.Outcome, error)) ([]int, error) {
	rejected := func(i int, err error) { done(i, syncline.OutcomeRejected, classify(err, "write to bucket "+t.bucket)) }
	futures := make([]jetstream.PubAckFuture, len(writes))
	for n, i := range writes {
		var err error
		if futures[n], err = t.js.PublishMsgAsync(messages[n]); errors.Is(err, nats.ErrMaxPayload) {
			rejected(i, err)
		} else if err != nil {
			return nil, err
		}
	}
	var again []int
	for n, i := range writes {
		if futures[n] == nil {
			continue
		}
		switch err := wait(ctx, futures[n]); {
		case err == nil:
			done(i, syncline.OutcomeApplied, nil)
		case errors.Is(err, errConflict):
			again = append(again, i)
		case errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
			rejected(i, err)
		default:
			return nil, err
		}
	}
	return again, nil
}
