package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/conflict"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// newConflictBench is a route whose rule has the conflict section.
func newConflictBench(t *testing.T, p conflict.Policy, change func(*Options)) *bench {
	t.Helper()
	if p.Detect == nil {
		p.Detect = []conflict.Detector{conflict.Data}
	}
	c, err := conflict.Compile(p, "warehouse")
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, func(o *Options) {
		o.Rules[0].Conflicts = c
		if change != nil {
			change(o)
		}
	})
}

// theirs changes a record at the target as somebody else does, who knows nothing of shadows.
func (b *bench) theirs(values []syncline.Value) {
	b.t.Helper()
	b.meddle(values, func(shadow []byte) []byte { return shadow })
}

// meddle changes a record at the target, and what is remembered of it.
func (b *bench) meddle(values []syncline.Value, remembered func(shadow []byte) []byte) {
	b.t.Helper()
	other := b.store.Open(memtarget.Options{Route: "other"})
	if err := other.Place(b.ctx, syncline.Cursor{Log: "other"}, "other"); err != nil {
		b.t.Fatal(err)
	}
	cur, _, _, err := other.Own(b.ctx, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	w := &syncline.Write{Cursor: cur, Commit: func(context.Context, syncline.Result) error { return nil },
		Changes: []syncline.Change{{Op: syncline.ChangePut, Object: "dim", Row: syncline.Row{Schema: customers, Values: values}}},
		Decide: func(_ int, held syncline.Held) (syncline.Decision, error) {
			return syncline.Decision{Op: syncline.ChangePut, Values: values, Shadow: remembered(held.Shadow)}, nil
		}}
	if _, err := other.Apply(b.ctx, w); err != nil {
		b.t.Fatal(err)
	}
	b.store.Sync()
}

// wantConflicts compares the conflict log, "key action by [fields] ours|theirs -> result"; what is open begins with "open".
func (b *bench) wantConflicts(want ...string) {
	b.t.Helper()
	list, _, err := b.state.Conflicts(b.ctx, state.ConflictFilter{})
	if err != nil {
		b.t.Fatal(err)
	}
	lines := []string{}
	for _, c := range list {
		line := fmt.Sprintf("%s %s %s %v %s|%s -> %s", c.Key, c.Action, c.By, c.Fields, nameOf(c.Ours), nameOf(c.Theirs), nameOf(c.Result))
		if c.Open {
			line = "open " + line
		}
		lines = append(lines, line)
	}
	if diff := cmp.Diff(append([]string{}, want...), lines); diff != "" {
		b.t.Errorf("conflicts (-want +got):\n%s", diff)
	}
}

func nameOf(row json.RawMessage) string {
	if row == nil {
		return "none"
	}
	var r struct{ Name string }
	if err := json.Unmarshal(row, &r); err != nil {
		return err.Error()
	}
	return r.Name
}

// open returns the one conflict that waits.
func (b *bench) open() state.Conflict {
	b.t.Helper()
	yes := true
	list, _, err := b.state.Conflicts(b.ctx, state.ConflictFilter{Open: &yes})
	if err != nil || len(list) != 1 {
		b.t.Fatalf("open conflicts = %d, %v, want one", len(list), err)
	}
	return list[0]
}

func (b *bench) decide(c state.Conflict, action conflict.Action, values string) error {
	b.t.Helper()
	choice := state.Choice{Action: string(action), Held: c.Held, By: "ann", Reason: "asked them"}
	if values != "" {
		choice.Values = json.RawMessage(values)
	}
	answers, err := b.s.Resolve(b.ctx, []Decided{{state.Exception{Task: c.Task, Rule: c.Rule, Key: c.Key}, choice}})
	if err == nil {
		err = answers[0].Err
	}
	return err
}

// disagreement leaves the bench with one conflict about key 1: the source says "ours", the target has "theirs".
func disagreement(t *testing.T) *bench {
	t.Helper()
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, nil)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.append(updated(1, "ours", "x"), updated(2, "c", "x"))
	b.mustDrain()
	return b
}

func TestAConflictForAPersonParksItsKeyAndNothingElse(t *testing.T) {
	b := disagreement(t)
	b.want(map[string]string{"1": "theirs/x", "2": "c/x"})
	b.wantWaiting("1 conflict conflict")
	b.wantConflicts("open 1 review  [name] ours|theirs -> none")
	b.append(updated(1, "later", "y"))
	b.mustDrain()
	b.wantWaiting("1 conflict conflict")
	b.wantConflicts("1 superseded  [name] ours|theirs -> none", "open 1 review  [name] later|theirs -> none")
	b.start() // nor is it forgotten
	b.mustDrain()
	b.wantWaiting("1 conflict conflict")
	if c := b.balanced(); c.Parked != 1 || c.Superseded != 1 {
		t.Errorf("counts = %+v, want one parked and one superseded", c)
	}
	b.append(updated(1, "theirs", "z")) // they agree
	b.mustDrain()
	b.want(map[string]string{"1": "theirs/z", "2": "c/x"})
	b.wantWaiting()
}

// What is remembered of a record can be damaged, by whoever can write the target. Without it nothing tells what others changed: the
// record waits, and all others go on.
func TestADamagedShadowParksItsKeyAndNothingElse(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, func(o *Options) { o.Retry.Max = 1 })
	b.append(created(1, "a", "x"), created(2, "b", "x"), created(3, "c", "x"))
	b.mustDrain()
	b.meddle(record(1, "theirs", "x"), func(shadow []byte) []byte { return shadow[:len(shadow)-1] })
	b.append(updated(1, "ours", "x"), updated(2, "ours", "x"), deleted(3))
	b.mustDrain()
	b.want(map[string]string{"1": "theirs/x", "2": "ours/x"})
	b.wantWaiting("1 failed shadow_damaged")
	b.balanced()
	b.meddle(record(1, "a", "x"), func([]byte) []byte { return nil })
	b.append(updated(1, "ours", "y"))
	b.mustDrain()
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "ours/y", "2": "ours/x"})
	b.wantWaiting()
}

func TestAPersonDecides(t *testing.T) {
	for _, tt := range []struct {
		action  conflict.Action
		values  string
		name    string // what the target has then
		skipped int64
	}{
		{conflict.Overwrite, "", "ours", 0},
		{conflict.Skip, "", "theirs", 1},
		{conflict.Merged, `{"name":"both"}`, "both", 0},
	} {
		t.Run(string(tt.action), func(t *testing.T) {
			b := disagreement(t)
			c := b.open()
			if err := b.decide(c, tt.action, tt.values); err != nil {
				t.Fatal(err)
			}
			b.mustDrain()
			b.want(map[string]string{"1": tt.name + "/x", "2": "c/x"})
			b.wantWaiting()
			b.wantConflicts(fmt.Sprintf("1 %s ann [name] ours|theirs -> %s", tt.action, tt.name))
			if counts := b.balanced(); counts.Parked != 0 || counts.Skipped != tt.skipped {
				t.Errorf("counts = %+v, want none parked, %d skipped", counts, tt.skipped)
			}
			if err := b.decide(c, tt.action, tt.values); syncline.CodeOf(err) != "conflict_over" {
				t.Errorf("a second decision = %v, want conflict_over", err)
			}
			b.append(updated(1, "ours", "w")) // that was heard: no conflict again
			b.mustDrain()
			b.want(map[string]string{"1": tt.name + "/w", "2": "c/x"})
		})
	}
}

// TestADecisionIsForWhatWasSeen: where the target has moved meanwhile, nothing is written, and the new state is shown.
func TestADecisionIsForWhatWasSeen(t *testing.T) {
	b := disagreement(t)
	b.theirs(record(1, "again", "x"))
	if err := b.decide(b.open(), conflict.Overwrite, ""); err != nil {
		t.Fatal(err)
	}
	b.mustDrain()
	b.want(map[string]string{"1": "again/x", "2": "c/x"})
	b.wantConflicts("open 1 review  [name] ours|again -> none")
	if got, want := b.task().Error, "the target disagrees about name; the target has changed since the decision"; got != want {
		t.Errorf("the task says %q, want %q", got, want)
	}
	if err := b.decide(b.open(), conflict.Overwrite, ""); err != nil {
		t.Fatal(err)
	}
	b.mustDrain()
	b.want(map[string]string{"1": "ours/x", "2": "c/x"})
}

// TestATargetThatLosesADecisionGetsItAgain, whether it lost what the event had come with or not.
func TestATargetThatLosesADecisionGetsItAgain(t *testing.T) {
	for _, lost := range []int{1, 2} {
		for _, action := range []conflict.Action{conflict.Overwrite, conflict.Skip} {
			t.Run(fmt.Sprint(lost, " ", action), func(t *testing.T) {
				b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, nil)
				b.append(created(1, "a", "x"))
				b.mustDrain()
				b.theirs(record(1, "theirs", "x"))
				b.append(updated(1, "ours", "x"))
				b.mustDrain()
				if err := b.decide(b.open(), action, ""); err != nil {
					t.Fatal(err)
				}
				b.mustDrain()
				want, now := "1 overwrite ann [name] ours|theirs -> ours", map[string]string{"1": "ours/x"}
				if action == conflict.Skip {
					want, now = "1 skip ann [name] ours|theirs -> theirs", map[string]string{"1": "theirs/x"}
				}
				b.wantConflicts(want)
				b.want(now)
				b.store.LoseTail(lost)
				b.want(map[string]string{"1": "theirs/x"})
				b.start()
				b.mustDrain()
				b.want(now)
				b.wantWaiting()
				b.wantConflicts(want)
			})
		}
	}
}

func TestAPolicyDecidesAndIsRecorded(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Merge, Fields: map[string]conflict.Field{
		"name": {Policy: conflict.FieldTheirs}, "notes": {Policy: conflict.FieldOurs}}}, nil)
	b.append(created(1, "a", "x"), created(2, "a", "x"), created(3, "a", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.theirs(record(2, "a", "theirs"))
	b.append(updated(1, "ours", "x"), updated(2, "a", "ours"), updated(3, "b", "-"))
	b.mustDrain()
	b.want(map[string]string{"1": "theirs/x", "2": "a/ours", "3": "b/x"})
	log := []string{"1 skip  [name] ours|theirs -> theirs", "2 overwrite  [notes] a|a -> a"}
	b.wantConflicts(log...)
	if c := b.balanced(); c.Skipped != 1 || c.Applied != 5 {
		t.Errorf("counts = %+v, want one skipped and five applied", c)
	}
	b.start() // a new start repeats nothing
	b.mustDrain()
	b.wantConflicts(log...)
}

// TestTheFirstEventOfAChangeTellsTheBase of a record that nothing is remembered of, also where the change has waited.
func TestTheFirstEventOfAChangeTellsTheBase(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual, NoBase: conflict.Ask}, nil)
	b.append(created(9, "z", "x")) // makes the table
	b.mustDrain()
	b.theirs(record(1, "a", "theirs"))
	b.theirs(record(2, "theirs", "theirs"))
	change := func(id int64, from, to string) syncline.Event {
		e := updated(id, to, "x")
		e.Before = record(id, from, "x")
		return e
	}
	b.append(change(1, "a", "b"), change(1, "b", "c"), change(2, "a", "b"), change(2, "b", "c"))
	b.mustDrain()
	b.want(map[string]string{"1": "c/theirs", "2": "theirs/theirs", "9": "z/x"})
	b.wantConflicts("open 2 review  [name] c|theirs -> none")
	b.append(change(2, "c", "theirs"))
	b.mustDrain()
	b.want(map[string]string{"1": "c/theirs", "2": "theirs/theirs", "9": "z/x"})
	b.wantWaiting()
}

// TestWhatAPersonLeavesIsStillTheSources: where a decision leaves what the source had written, its next change is no conflict; what the person
// wrote is not the source's.
func TestWhatAPersonLeavesIsStillTheSources(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, nil)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.append(updated(1, "ours", "y"))
	b.mustDrain()
	if err := b.decide(b.open(), conflict.Merged, `{"name":"both"}`); err != nil {
		t.Fatal(err)
	}
	b.mustDrain()
	b.want(map[string]string{"1": "both/x"})
	b.append(updated(1, "ours", "z"))
	b.mustDrain()
	b.want(map[string]string{"1": "both/z"})
	b.append(updated(1, "again", "z"))
	b.mustDrain()
	b.want(map[string]string{"1": "both/z"})
	b.wantConflicts("1 merge ann [name notes] ours|theirs -> both", "open 1 review  [name] again|both -> none")
}

// TestOneConflictWaitsForEachRecord, also where a batch is tried event by event because the target refuses another record.
func TestOneConflictWaitsForEachRecord(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, nil)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.store.Refuse("dim", "2")
	b.append(updated(1, "ours", "x"), updated(2, "c", "x"), updated(1, "later", "x"))
	b.mustDrain()
	b.wantConflicts("open 1 review  [name] later|theirs -> none")
	b.wantWaiting("2 retrying refused", "1 conflict conflict")
}

// TestALaterEventDoesNotTellTheBase: what the second of two events that wait replaced is what the first one made, and not what the target had.
func TestALaterEventDoesNotTellTheBase(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual, NoBase: conflict.Ask}, nil)
	b.append(created(9, "z", "x")) // makes the table
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.store.Refuse("dim", "1")
	b.append(updated(1, "ours", "x"))
	b.mustDrain()
	later := updated(1, "ours", "y")
	later.Before = record(1, "ours", "x")
	b.append(later)
	b.mustDrain()
	b.store.Accept("dim", "1")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "theirs/x", "9": "z/x"})
	b.wantConflicts("1 superseded  [name] ours|theirs -> none", "open 1 review  [name notes] ours|theirs -> none")
}

// TestAKeyThatMovesLeavesWhatOthersChanged: nobody could be asked about the removal of the old record by itself.
func TestAKeyThatMovesLeavesWhatOthersChanged(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, nil)
	b.append(created(1, "a", "x"), created(2, "b", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.append(rekeyed(1, 5, "a", "x"), rekeyed(2, 6, "b", "x"))
	b.mustDrain()
	b.want(map[string]string{"1": "theirs/x", "5": "a/x", "6": "b/x"})
	b.wantConflicts("1 skip  [name] none|theirs -> theirs")
	b.wantWaiting()
}

// TestARuleWithoutAConflictSectionIsAMirror, also beside one that has it.
func TestARuleWithoutAConflictSectionIsAMirror(t *testing.T) {
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.Manual}, func(o *Options) {
		o.Rules = append(o.Rules, Rule{ID: "second", Entity: "customer", Object: "copy", Create: true, Bind: mirror})
	})
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	b.append(updated(1, "ours", "-"), updated(2, "partial", "-"))
	b.mustDrain()
	var copies []string
	err := b.store.Open(memtarget.Options{Route: "reader"}).Scan(b.ctx, "copy", customers, func(r syncline.Row) error {
		copies = append(copies, r.Values[1].Text()+"/"+r.Values[2].Text())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ours/x"}, copies); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	b.want(map[string]string{"1": "theirs/x"})
	b.wantWaiting("1 conflict conflict", "2 reading row_missing", "2 reading row_missing")
}

// TestAnExpressionThatFailsParksItsRecordOnly, whatever the target.
func TestAnExpressionThatFailsParksItsRecordOnly(t *testing.T) {
	for _, noTransactions := range []bool{false, true} {
		b := newConflictBench(t, conflict.Policy{Detect: []conflict.Detector{conflict.Business}, Strategy: conflict.Manual,
			Business: []conflict.Condition{{Name: "length", When: `int(theirs.notes) > 1`}}}, nil)
		if noTransactions {
			b.options.Open = func(context.Context) (syncline.Target, error) {
				return b.store.Open(memtarget.Options{Route: "r", NoTransactions: true}), nil
			}
			b.start()
		}
		b.append(created(1, "a", "x"), created(2, "b", "5"), created(3, "c", "0"))
		b.mustDrain()
		b.append(updated(1, "d", "x"), updated(2, "e", "5"), updated(3, "f", "0"))
		b.mustDrain()
		b.want(map[string]string{"1": "a/x", "2": "b/5", "3": "f/0"})
		b.wantWaiting("1 retrying conflict_failed", "2 conflict conflict")
	}
}

// TestAConflictSectionNeedsKeys: there is no record to compare with.
func TestAConflictSectionNeedsKeys(t *testing.T) {
	c, err := conflict.Compile(conflict.Policy{Detect: []conflict.Detector{conflict.Data}, Strategy: conflict.Manual}, "warehouse")
	if err != nil {
		t.Fatal(err)
	}
	keyless := *customers
	keyless.Key = nil
	r := Rule{ID: "r", Entity: "customer", Object: "dim", Bind: mirror, Conflicts: c}
	if _, err := r.Fit(&keyless); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("Fit = %v, want that there is no key", err)
	}
}

// newWholeBench is a route to a target that takes whole records only, with last_write_wins and no time of theirs.
func newWholeBench(t *testing.T) *bench {
	t.Helper()
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins}, nil)
	b.options.Open = func(context.Context) (syncline.Target, error) {
		return b.store.Open(memtarget.Options{Route: "r", NoTransactions: true}), nil
	}
	b.start()
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.theirs(record(1, "theirs", "x"))
	return b
}

// TestARecordThatIsReadIsAsLateAsWhatWaitedForIt: it has no time of its own, and would lose against everything.
func TestARecordThatIsReadIsAsLateAsWhatWaitedForIt(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprint("refused ", refused), func(t *testing.T) {
			b := newWholeBench(t)
			b.append(updated(1, "ours", "-"))
			b.mustDrain()
			if len(b.runs) != 1 {
				t.Fatalf("runs = %+v, want one", b.runs)
			}
			if refused {
				b.store.Refuse("dim", "1")
			}
			b.reply(b.runs[0], record(1, "ours", "x"))
			b.mustDrain()
			b.store.Accept("dim", "1")
			b.now = b.now.Add(time.Hour)
			b.mustDrain()
			b.want(map[string]string{"1": "ours/x"})
			b.wantConflicts("1 overwrite  [name] ours|theirs -> ours")
			b.wantWaiting()
		})
	}
}

// TestADecisionThatTheTargetRefusesIsNotRecorded: it is decided again when the record is tried again.
func TestADecisionThatTheTargetRefusesIsNotRecorded(t *testing.T) {
	b := newWholeBench(t)
	b.store.Refuse("dim", "1")
	b.append(updated(1, "ours", "x"))
	b.mustDrain()
	b.wantConflicts()
	b.append(updated(1, "later", "x"))
	b.mustDrain()
	b.store.Accept("dim", "1")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.want(map[string]string{"1": "later/x"})
	b.wantConflicts("1 overwrite  [name] later|theirs -> later")
}
