package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/failpoint"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// A repair sends exactly the records that differ: they are read from the source again, for the one route, and come through the log behind
// everything that is there. Then they are looked at again.

// What became of a difference.
const (
	differenceFound    = "found"
	differenceRepaired = "repaired"
	differenceForeign  = "foreign"
)

// limit is how many records a repair may send, and whether somebody said so.
func (v *verifying) limit() (l verify.Limit, declared bool) {
	if v.spec.MaxRepair != nil {
		return *v.spec.MaxRepair, true
	}
	return repairLimit(v.d.set().config.Rule(wholeRule(v.rule.ID)))
}

// repairLimit is what the rule, or nil, says of it.
func repairLimit(r *config.Rule) (l verify.Limit, declared bool) {
	if r != nil && r.Verify != nil && r.Verify.MaxRepair != nil {
		return *r.Verify.MaxRepair, true
	}
	return verify.DefaultLimit, false
}

// repair does what the verification was asked to do about differences.
func (v *verifying) repair(ctx context.Context, job *verification) error {
	p := v.part
	if limit, declared := v.limit(); !p.Repairs(v.spec.Repair, limit, declared) {
		return nil
	}
	if err := v.save(ctx, job); err != nil {
		return err
	}
	unknown := 0
	for after := ""; ; {
		list, next, err := v.d.state.Differences(ctx, job.id, after, settleKeys)
		if err != nil {
			return err
		}
		var some []state.Difference
		for _, d := range list {
			switch {
			case d.Rule != v.rule.ID || d.State != differenceFound:
			case d.Kind == string(verify.Extra) && !v.inverts():
				unknown++
			default:
				some = append(some, d)
			}
		}
		if err := v.resent(ctx, some); err != nil {
			return err
		}
		failpoint.Hit("daemon.repair.settled")
		if err := v.save(ctx, job); err != nil {
			return err
		}
		if err := v.show(ctx); err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	if unknown > 0 {
		p.Note(fmt.Sprintf("the rule computes keys, so that %d extra records cannot be asked for: delete them at the target, or by a full sync that deletes what is missing", unknown))
	}
	return nil
}

// resent is send, or what a two-way rule does instead.
func (v *verifying) resent(ctx context.Context, list []state.Difference) error {
	if v.resend == nil || len(list) == 0 {
		return v.send(ctx, list)
	}
	return v.resend(ctx, list)
}

// send has the records read again for the route, waits until it has applied them, and looks at each again.
func (v *verifying) send(ctx context.Context, list []state.Difference) error {
	if len(list) == 0 {
		return nil
	}
	var again []candidate
	for i := range list {
		d := &list[i]
		c := candidate{key: d.Source}
		if d.Kind == string(verify.Extra) {
			c.extra = v.keyRow(d.Key)
		}
		again = append(again, c)
	}
	if err := v.sendKeys(ctx, again); err != nil {
		return err
	}
	findings, err := v.settle(ctx, again)
	if err != nil {
		return err
	}
	for i := range findings {
		f := &findings[i]
		at := -1
		for n := range again {
			if again[n].key == f.key && again[n].extra == f.extra {
				at = n
			}
		}
		if at < 0 || f.Class != verify.ClassEqual {
			continue
		}
		list[at].State = differenceRepaired
		v.part.Repair(list[at].Key, list[at].Kind)
		v.found = append(v.found, list[at])
	}
	return nil
}

// sendKeys asks for the records, and returns when the route has applied them.
func (v *verifying) sendKeys(ctx context.Context, list []candidate) error {
	found := &evidence{events: make(map[syncline.Key][]occurrence), refused: make(map[syncline.Key]bool)}
	var keys []syncline.Key
	for _, c := range list {
		if _, dup := found.events[c.key]; !dup {
			found.events[c.key] = nil
			keys = append(keys, c.key)
		}
	}
	bounds, err := v.r.source.log.Bounds(ctx)
	if err != nil {
		return err
	}
	found.upTo = bounds.Last
	failpoint.Hit("daemon.repair.ask")
	err = v.askFor(ctx, "repair-"+uuid.NewString(), keys, []string{v.r.id}, found)
	if err == nil {
		err = v.passes(ctx, found.upTo)
	}
	if behind := (*behindError)(nil); errors.As(err, &behind) {
		return syncline.Errorf(syncline.Transient, "repair_waits", "%s", behind.why)
	}
	failpoint.Hit("daemon.repair.applied")
	return err
}

// keyRow is a record of which only the key is known.
func (v *verifying) keyRow(k syncline.Key) *syncline.Row {
	s := verify.KeysOf(v.binding.Written())
	row := syncline.Row{Schema: s, Values: make([]syncline.Value, len(s.Columns))}
	for i := range row.Values {
		row.Values[i] = syncline.Unset
	}
	parts, err := k.Parts()
	if err != nil {
		return nil
	}
	if k == "" {
		parts = []string{""}
	}
	for i, at := range s.Key {
		if i < len(parts) {
			row.Values[at] = syncline.Raw(s.Columns[at].Kind, []byte(parts[i]))
		}
	}
	return &row
}
