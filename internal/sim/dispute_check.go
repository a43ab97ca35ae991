package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/conflict"
	"syncline/internal/document"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// refuse has the target refuse a record, or take it again.
func (d *dispute) refuse(k syncline.Key, refuse bool) {
	d.note("record %s is refused: %t", k, refuse)
	d.refused[k] = refuse
	if refuse {
		d.store.Refuse(disputed, k)
	} else {
		d.store.Accept(disputed, k)
	}
}

// decide is a person who decides about one of the conflicts that wait: of each field that the sides disagree about one side, at random, and of
// the others whichever has changed.
func (d *dispute) decide() error {
	if d.writer.session == nil {
		return nil
	}
	open := true
	list, _, err := d.state.Conflicts(d.ctx, state.ConflictFilter{Open: &open})
	if err != nil || len(list) == 0 {
		return err
	}
	c := list[d.rnd.IntN(len(list))]
	choice := state.Choice{Action: string(conflict.Overwrite), Held: c.Held, By: "ann"}
	if c.Ours != nil && c.Theirs != nil {
		choice.Action = string(conflict.Merged)
		if choice.Values, err = d.mixed(&c); err != nil {
			return err
		}
	}
	answers, err := d.writer.session.Resolve(d.ctx, []apply.Decided{{Task: state.Exception{Task: c.Task, Rule: c.Rule, Key: c.Key}, Choice: choice}})
	if err != nil {
		return err
	}
	d.note("%s is decided: %s %s, %v", c.Task, choice.Action, choice.Values, answers[0].Err)
	return nil
}

func (d *dispute) mixed(c *state.Conflict) (json.RawMessage, error) {
	ours, err := document.Parse(disputedSchema, c.Ours, syncline.Unset)
	if err != nil {
		return nil, err
	}
	theirs, err := document.Parse(disputedSchema, c.Theirs, syncline.Unset)
	if err != nil {
		return nil, err
	}
	for i := range ours {
		disagree := slices.Contains(c.Fields, disputedSchema.Columns[i].Name)
		switch {
		case ours[i].IsUnset(), d.foreign(theirs[i]) && (!disagree || d.rnd.IntN(2) == 0):
			ours[i] = theirs[i]
		}
	}
	return document.Append(nil, syncline.Row{Schema: disputedSchema, Values: ours}), nil
}

// foreign reports whether somebody else wrote the value, at whatever time.
func (d *dispute) foreign(v syncline.Value) bool {
	return v.Kind() == syncline.KindText && bytes.Contains(v.Bytes(), []byte("t")) || v.Kind() == syncline.KindTimestampTZ ||
		v.Kind() == syncline.KindInt && len(v.Text()) > 6
}

// checkAlways is what holds after every step: no record goes back to what the source had said before, and what waits for a person has a task
// that does.
func (d *dispute) checkAlways() error {
	if err := d.checkWaiting(); err != nil || d.manner == byVersion { // there others write versions, too
		return err
	}
	held, err := contents(d.run, d.store)
	if syncline.CodeOf(err) == "object_missing" {
		return nil
	}
	for id, row := range held {
		rev, err := row[revColumn].AsInt()
		if err != nil {
			return err
		}
		if was := d.revs[id]; rev < was {
			return broken("G4: record %d went back from version %d to %d", id, was, rev)
		}
		d.revs[id] = rev
	}
	for id := range d.revs {
		if held[id] == nil {
			delete(d.revs, id)
		}
	}
	return err
}

// checkWaiting sees that each conflict that waits for a person is one of a task that does.
func (d *dispute) checkWaiting() error {
	if d.writer.session == nil {
		return nil
	}
	open := true
	list, _, err := d.state.Conflicts(d.ctx, state.ConflictFilter{Open: &open})
	if err != nil || len(list) == 0 {
		return err
	}
	waiting, err := d.state.Pending(d.ctx, state.Slice{Route: d.writer.options.ID})
	if err != nil {
		return err
	}
	for _, c := range list {
		if !slices.ContainsFunc(waiting, func(x state.Exception) bool { return x.Task == c.Task }) {
			return broken("the conflict of task %s waits for a person, and the task does not", c.Task)
		}
	}
	return nil
}

func (d *dispute) checkEnd() error {
	if err := checkCounts(d.writer); err != nil {
		return err
	}
	if err := d.checkWaiting(); err != nil {
		return err
	}
	list, _, err := d.state.Conflicts(d.ctx, state.ConflictFilter{Limit: 1000})
	if err != nil {
		return err
	}
	d.result.Did["conflict"] = len(list)
	held, err := contents(d.run, d.store)
	if err != nil {
		return err
	}
	for id := range int64(disputedKeys) {
		if err := d.checkRecord(id, held[id], list); err != nil {
			var log []string
			for _, c := range list {
				if string(c.Key) == fmt.Sprint(id) {
					log = append(log, fmt.Sprintf("%s %s %s %v %s %s|%s -> %s", c.Task, c.Detector, c.Action, c.Fields, c.Base, c.Ours, c.Theirs, c.Result))
				}
			}
			return fmt.Errorf("%w\nrecord %d: %v\nsource:   %v\nconflicts:\n%s", err, id, held[id], d.author.rows[id], strings.Join(log, "\n"))
		}
	}
	return nil
}

// contents are the records of the disputed object.
func contents(r *run, store *memtarget.Store) (map[int64][]syncline.Value, error) {
	all := make(map[int64][]syncline.Value)
	err := store.Open(memtarget.Options{Route: "reader"}).Scan(r.ctx, disputed, disputedSchema, func(row syncline.Row) error {
		id, err := row.Values[0].AsInt()
		all[id] = row.Values
		return err
	})
	return all, err
}

// checkCounts sees that the log has every event, and that each that is for the route is accounted for, and none waits.
func checkCounts(d *driver) error {
	if err := d.from.checkLog(); err != nil {
		return err
	}
	counts, _, err := d.from.state.Totals(d.from.ctx, state.Slice{Route: d.options.ID})
	if err != nil {
		return err
	}
	events := int64(0)
	err = d.from.eachBatch(func(b *syncline.Batch) error {
		if b.Chunk == nil || len(b.Chunk.Routes) == 0 || slices.Contains(b.Chunk.Routes, d.options.ID) {
			events += int64(len(b.Events))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !counts.Balanced() || counts.Read != events || counts.Parked != 0 {
		return fmt.Errorf("G10: of %d events the counts of %s are %+v", events, d.options.ID, counts)
	}
	return nil
}

// written are the fields of a record that somebody else wrote, by column, as far as the target still knows.
func (d *dispute) written(id int64) map[int][]fact {
	all := make(map[int][]fact)
	for _, f := range d.facts {
		if f.id == id {
			all[f.column] = append(all[f.column], f)
		}
	}
	return all
}

func (d *dispute) checkRecord(id int64, held []syncline.Value, conflicts []state.Conflict) error {
	facts := d.written(id)
	row := d.author.rows[id]
	switch {
	case d.author.said[id] == nil:
		if held != nil {
			return fmt.Errorf("nobody made it")
		}
		return nil
	case len(facts) == 0:
		if printed(held) != printed(row) || (held == nil) != (row == nil) {
			return fmt.Errorf("nobody else wrote it, and it is not as the source has it")
		}
		return nil
	case d.deletes && (len(facts[0]) > 0 || d.author.deleted[id]):
		return nil // which of both was there when the other went is not followed here
	case held == nil:
		return fmt.Errorf("it is gone, and nobody deleted it")
	}
	for column := range held {
		if err := d.checkField(id, column, held[column], facts[column], conflicts); err != nil {
			return fmt.Errorf("%s: %w\nothers wrote %v", disputedSchema.Columns[column].Name, err, facts[column])
		}
	}
	return nil
}

// pending reports whether the source gave the field another value after the target had what the last of the facts are over.
func (d *dispute) pending(id int64, column int, facts []fact) bool {
	n := len(facts) - 1
	for n > 0 && syncline.Equal(facts[n].over, facts[n-1].value) {
		n--
	}
	return !syncline.Equal(facts[n].over, d.author.last(id, column).value)
}

func (d *dispute) checkField(id int64, column int, held syncline.Value, facts []fact, conflicts []state.Conflict) error {
	last := d.author.last(id, column).value
	if len(facts) == 0 {
		if !syncline.Equal(held, last) {
			return fmt.Errorf("nobody else wrote it, and it is %s, not %s", held, last)
		}
		return nil
	}
	theirs := facts[len(facts)-1].value
	if ok, want := d.wanted(id, column, held, last, facts); !ok {
		return fmt.Errorf("it is %s, and should be %s", held, want)
	}
	if !d.txn || d.manner == byVersion {
		return nil // a decision that was cut off before its journal is not recorded, see docs/reliability.md
	}
	for i, f := range facts {
		if i+1 < len(facts) && syncline.Equal(facts[i+1].over, f.value) || i == len(facts)-1 && syncline.Equal(held, theirs) {
			continue
		}
		if !slices.ContainsFunc(conflicts, func(c state.Conflict) bool { return d.tells(&c, id, column, f.value) }) {
			return fmt.Errorf("%s was overwritten, and no conflict tells of it", f.value)
		}
	}
	return nil
}

// tells reports whether the conflict says that the value was given up.
func (d *dispute) tells(c *state.Conflict, id int64, column int, v syncline.Value) bool {
	if string(c.Key) != fmt.Sprint(id) || c.Theirs == nil || c.Open {
		return false
	}
	theirs, err := document.Parse(disputedSchema, c.Theirs, syncline.Unset)
	if err != nil || !syncline.Equal(theirs[column], v) || c.Result == nil {
		return false
	}
	result, err := document.Parse(disputedSchema, c.Result, syncline.Unset)
	return err == nil && !syncline.Equal(result[column], v)
}

// wanted says whether the field holds what the policy promises.
func (d *dispute) wanted(id int64, column int, held, last syncline.Value, facts []fact) (ok bool, want syncline.Value) {
	theirs := facts[len(facts)-1].value
	ours := theirs
	if d.pending(id, column, facts) {
		ours = last
	}
	is := func(v syncline.Value) (bool, syncline.Value) { return syncline.Equal(held, v), v }
	name := disputedSchema.Columns[column].Name
	switch {
	case d.manner == theirsStand, d.manner == theirsLater, d.manner == byField && (name == "name" || name == "note"):
		return is(theirs)
	case d.manner == byField && name == "stock" && d.txn:
		n, _ := last.AsInt()
		for _, f := range facts {
			was, _ := f.over.AsInt()
			now, _ := f.value.AsInt()
			n += now - was
		}
		return is(syncline.Int(n))
	case d.manner == byField && name == "tags":
		all := tagsOf(last)
		for _, f := range facts {
			for w := range tagsOf(f.value) {
				all[w] = true
			}
		}
		return maps.Equal(all, tagsOf(held)), last
	case d.manner == byPerson || d.manner == aboutTheSame:
		return syncline.Equal(held, last) || slices.ContainsFunc(facts, func(f fact) bool { return syncline.Equal(held, f.value) }), last
	case d.manner == byVersion:
		return syncline.Equal(held, last) || syncline.Equal(held, theirs), last
	}
	return is(ours)
}
