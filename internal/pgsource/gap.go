package pgsource

import (
	"context"
	"fmt"
	"time"

	"syncline"
)

// acceptGap is the way out where the stream cannot be continued without a gap. Without manage the slot is the operator's to make.
func (s *Source) acceptGap() string {
	command := fmt.Sprintf("`syncline resume --system %s --accept-gap` goes on behind the gap and has every record read again", s.opt.Name)
	if s.opt.Manage {
		return command + ", with a new slot"
	}
	return fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s; "+
		"SELECT pg_create_logical_replication_slot(%[1]s, 'pgoutput'); then %s", literal(s.opt.Slot), command)
}

// openBehindGap gives up what the log lacks, and has the slot born anew under the next epoch: by the same steps as the first time, so that a
// crash between them is of no consequence. The old slot is dropped at once, since it is what the server keeps WAL for. Runs go on where they
// were, beside the stream.
func (s *Source) openBehindGap(ctx context.Context) error {
	gap := s.opt.Gap
	if err := gap.Begin(ctx, s.pos); err != nil {
		return err
	}
	sl, err := s.findSlot(ctx)
	if err != nil {
		return err
	}
	if sl != nil {
		to := *sl
		to.lost = to.lost && !s.opt.Manage // ours is dropped anyway
		if err := s.checkSlot(&to); err != nil {
			return err
		}
	}
	if s.opt.Manage && sl != nil {
		s.log.Warn("dropping the slot: the log goes on behind a gap", "slot", s.opt.Slot, "log_end", s.pos.String())
		if err := s.dropSlot(ctx); err != nil {
			return s.fault("drop the slot", err)
		}
	}
	if wait := time.Until(gap.After); wait > 0 {
		return syncline.Errorf(syncline.Transient, "slot_released", "source %s: slot %s was released; it is made anew at %s", s.opt.Name, s.opt.Slot,
			gap.After.UTC().Format(time.RFC3339)).WithFix("`syncline resume --system %s` does not make it sooner: nothing is lost that is not recorded as the gap", s.opt.Name)
	}
	if gap.Ready != nil {
		if err := gap.Ready(ctx); err != nil {
			return syncline.Errorf(syncline.Transient, "slot_released", "source %s: slot %s was released; it is made anew once the log has room: %w", s.opt.Name, s.opt.Slot,
				err).WithFix("see what keeps the routes from going on")
		}
	}
	s.epoch = gap.Epoch + 1
	s.pos = syncline.Position{Epoch: s.epoch}
	s.resume, s.emitted = s.pos, s.pos
	s.confirmed.Store(0)
	if s.opt.Manage {
		s.phase = phaseIntent
		return nil
	}
	if sl == nil {
		return s.slotMissing()
	}
	if err := s.ensurePublications(ctx); err != nil {
		return err
	}
	s.beginAt(sl)
	if err := s.endGap(ctx); err != nil {
		return err
	}
	s.phase = phaseRecord
	return s.startNow(ctx)
}

// endGap takes over that the stream begins again, and where.
func (s *Source) endGap(ctx context.Context) error {
	if s.opt.Gap != nil {
		if err := s.opt.Gap.End(ctx, s.pos); err != nil {
			return err
		}
	}
	s.state = s.heir(stateCreated)
	s.coverTables()
	s.noteRuns()
	s.log.Info("stream begins anew behind the gap", "slot", s.opt.Slot, "position", s.pos.String())
	return nil
}

// heir is the state of a new birth: of an earlier one it keeps the runs, which go on, and those that are over.
func (s *Source) heir(state string) checkpoint {
	return checkpoint{Format: checkpointFormat, Identity: s.identity, State: state, Runs: s.state.Runs, Finished: s.state.Finished}
}

// Spill implements capture.Spiller: the first copy gives way to the stream. How other runs are read is told by Pace.
func (s *Source) Spill(on bool) { s.spill.Store(on) }
