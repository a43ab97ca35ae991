package natskv

import (
	"context"
	"encoding/base64"

	"github.com/nats-io/nats.go"

	"syncline"
	"syncline/internal/document"
)

// shadowHeader has what the last decision about a record left (syncline.Decision.Shadow), on the record's message or on its delete
// marker: so both change together, whatever the bucket allows.
const shadowHeader = "Syncline-Shadow"

// maxShadow keeps a message's headers below the 64 KiB that the server allows.
const maxShadow = 45 << 10

// deciding is one change of a write with decisions.
type deciding struct {
	change  int
	subject string
	made    syncline.Decision
	// known: something was remembered of the record. gone: it is no record afterwards.
	known, gone bool
}

// decided carries out the changes that wait, of distinct subjects, as it is decided about what the bucket holds.
func (a *apply) decided(ctx context.Context, all []deciding) error {
	for at := 0; at < len(all); at += window {
		some := all[at:min(at+window, len(all))]
		todo := make([]int, len(some))
		for i := range todo {
			todo[i] = i
		}
		for round := 0; len(todo) > 0; round++ {
			if round == maxRounds {
				return syncline.Errorf(syncline.Transient, "target_moves", "write to bucket %s: others write the same records at the same time, again and again", a.t.bucket)
			}
			var err error
			if todo, err = a.decideRound(ctx, some, todo); err != nil {
				return err
			}
		}
	}
	return nil
}

// decideRound reads, decides and writes, and returns what somebody else wrote in between.
func (a *apply) decideRound(ctx context.Context, all []deciding, todo []int) ([]int, error) {
	attempt := "write to bucket " + a.t.bucket
	subjects := make([]string, len(todo))
	for n, i := range todo {
		subjects[n] = all[i].subject
	}
	have, err := a.t.read(ctx, subjects)
	if err == nil {
		err = a.t.recall(ctx, subjects, have)
	}
	if err != nil {
		return nil, classify(err, attempt)
	}
	writes, messages := todo[:0], make([]*nats.Msg, 0, len(todo))
	for n, i := range todo {
		d := &all[i]
		m, err := a.judge(d, &have[n])
		if syncline.ClassOf(err) == syncline.Rejected {
			a.refuse(d.change, d.subject, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		a.res.Outcomes[d.change] = d.made.Outcome
		if m != nil {
			writes, messages = append(writes, i), append(messages, m)
		}
	}
	var written []int
	again, err := a.t.publish(ctx, writes, messages, func(i int, o syncline.Outcome, err error) {
		if o == syncline.OutcomeRejected {
			a.refuse(all[i].change, all[i].subject, err)
			return
		}
		written = append(written, i)
	})
	if err == nil {
		err = a.t.remember(ctx, all, written)
	}
	if err != nil {
		return nil, classify(err, attempt)
	}
	return again, nil
}

// judge asks what becomes of a record and returns the message that does it; nil where everything is as it is to be.
func (a *apply) judge(d *deciding, have *stored) (*nats.Msg, error) {
	c := &a.w.Changes[d.change]
	var held syncline.Held
	if have.live && have.revision > 0 {
		if values, err := document.Parse(c.Row.Schema, have.data, syncline.Null); err == nil { // else it is no record of ours
			held.Values = values
		}
	}
	held.Shadow = have.shadow
	d.known = held.Shadow != nil
	var err error
	if d.made, err = a.w.Decide(d.change, held); err != nil {
		return nil, err
	}
	r := record{subject: d.subject, version: max(c.Order.Version(), have.version), shadow: d.made.Shadow}
	switch d.made.Op {
	case syncline.ChangePut:
		row := syncline.Row{Schema: c.Row.Schema, Values: make([]syncline.Value, len(d.made.Values))}
		for i, v := range d.made.Values {
			if v.IsUnset() && held.Values != nil {
				v = held.Values[i]
			} else if v.IsUnset() {
				v = syncline.Null
			}
			row.Values[i] = v
		}
		if err := document.Check(row); err != nil {
			return nil, err
		}
		r.document = document.Append(nil, row)
	case syncline.ChangeDelete:
	default:
		if string(d.made.Shadow) == string(held.Shadow) && (d.made.Shadow == nil) == (held.Shadow == nil) {
			return nil, nil
		}
		if have.live && have.revision > 0 {
			r.document = have.data
		}
	}
	d.gone = r.document == nil
	if len(r.shadow) > maxShadow {
		return nil, syncline.Errorf(syncline.Rejected, "shadow_too_large", "what is remembered of a record of %s takes %d bytes, more than the %d that a message's header holds",
			c.Object, len(r.shadow), maxShadow).WithFix("drop the record's largest columns in the rule's transform, or keep it at another target")
	}
	return a.t.message(r, have.revision), nil
}

// forget removes all records of an object with what is remembered of them.
func (a *apply) forget(ctx context.Context, c *syncline.Change) error {
	var all []deciding
	err := a.t.each(ctx, c.Object, true, func(subject string, s stored) error {
		if s.live || s.shadow != nil {
			all = append(all, deciding{subject: subject})
		}
		return nil
	})
	if err != nil {
		return err
	}
	gone := apply{t: a.t, w: &syncline.Write{Changes: []syncline.Change{*c}, Decide: func(int, syncline.Held) (syncline.Decision, error) {
		return syncline.Decision{Op: syncline.ChangeDelete}, nil
	}}, res: syncline.Result{Outcomes: make([]syncline.Outcome, 1)}, refused: map[string]bool{}}
	if err := gone.decided(ctx, all); err != nil {
		return err
	}
	if err := a.t.forgetCopies(ctx, c.Object); err != nil {
		return classify(err, "forget the records of "+c.Object+" in bucket "+a.t.bucket)
	}
	a.t.log.Info("object truncated", "object", c.Object, "bucket", a.t.bucket)
	return nil
}

func encodeShadow(shadow []byte) string { return "s" + base64.StdEncoding.EncodeToString(shadow) }

// decodeShadow returns nil where there is none, or none of ours.
func decodeShadow(text string) []byte {
	if text == "" {
		return nil
	}
	shadow, err := base64.StdEncoding.DecodeString(text[1:])
	if err != nil {
		return nil
	}
	return append([]byte{}, shadow...)
}
