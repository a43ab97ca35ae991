package verify

import (
	"strings"
	"testing"

	"syncline"
)

var people = &syncline.Schema{Entity: "person", Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText},
	{Name: "score", Kind: syncline.KindInt}}}

func person(id int64, name string, score int64) syncline.Row {
	return syncline.Row{Schema: people, Values: []syncline.Value{syncline.Int(id), syncline.Text(name), syncline.Int(score)}}
}

// wants is the wish for one person; without a name, for none.
func wants(id int64, name string) *Wish {
	if name == "" {
		return &Wish{Keys: []syncline.Row{person(id, "", 0)}}
	}
	return &Wish{Rows: []syncline.Row{person(id, name, 1)}}
}

func holds(rows ...syncline.Row) (list [][]syncline.Value) {
	for _, r := range rows {
		list = append(list, r.Values)
	}
	return list
}

// TestSettle: one line for each way in which a look ends.
func TestSettle(t *testing.T) {
	t.Parallel()
	ann, bea, nobody := person(1, "Ann", 1), person(1, "Bea", 1), syncline.Row{}
	waits := func(w ...Wait) map[syncline.Key][]Wait { return map[syncline.Key][]Wait{"1": w} }
	for name, test := range map[string]struct {
		look   Look
		shared bool
		class  Class
		kind   Kind
		again  bool
	}{
		"as it should be":                    {Look{Wish: wants(1, "Ann"), Held: holds(ann)}, false, ClassEqual, "", false},
		"missing":                            {Look{Wish: wants(1, "Ann"), Held: holds(nobody)}, false, ClassDiffers, Missing, false},
		"different":                          {Look{Wish: wants(1, "Ann"), Held: holds(bea)}, false, ClassDiffers, Different, false},
		"extra":                              {Look{Wish: wants(1, ""), Held: holds(ann), Extra: &ann}, false, ClassDiffers, Extra, false},
		"extra, and gone by now":             {Look{Wish: wants(1, ""), Held: holds(nobody), Extra: &ann}, false, ClassEqual, "", false},
		"a later event is at the target":     {Look{Wish: wants(1, "Ann"), Held: holds(bea), Later: []*Wish{wants(1, "Cho"), wants(1, "Bea")}}, false, ClassEqual, "", false},
		"a later removal is at the target":   {Look{Wish: wants(1, "Ann"), Held: holds(nobody), Later: []*Wish{wants(1, "")}}, false, ClassEqual, "", false},
		"none of the later ones is":          {Look{Wish: wants(1, "Ann"), Held: holds(bea), Later: []*Wish{wants(1, "Cho")}}, false, ClassDiffers, Different, true},
		"none of them is, at the last look":  {Look{Wish: wants(1, "Ann"), Held: holds(bea), Later: []*Wish{wants(1, "Cho")}, Last: true}, false, ClassDiffers, Different, false},
		"a later one of another place":       {Look{Wish: wants(1, "Ann"), Held: holds(nobody), Later: []*Wish{wants(2, "")}}, false, ClassDiffers, Missing, true},
		"a later one that nobody can tell":   {Look{Wish: wants(1, "Ann"), Held: holds(nobody), Later: []*Wish{{Unknown: "?"}}}, false, ClassDiffers, Missing, true},
		"left to others":                     {Look{}, false, ClassPolicy, "", false},
		"written by others, too":             {Look{Wish: wants(1, "Ann"), Held: holds(bea)}, true, ClassPolicy, Different, false},
		"written by others, too, and gone":   {Look{Wish: wants(1, "Ann"), Held: holds(nobody)}, true, ClassDiffers, Missing, false},
		"of others, and waits for a person":  {Look{Wish: wants(1, "Ann"), Held: holds(bea), Waiting: waits(WaitConflict)}, true, ClassConflict, Different, false},
		"parked":                             {Look{Wish: wants(1, "Ann"), Held: holds(bea), Waiting: waits(WaitParked, WaitHeld)}, false, ClassParked, Different, false},
		"held":                               {Look{Wish: wants(1, "Ann"), Held: holds(nobody), Waiting: waits(WaitHeld)}, false, ClassHeld, Missing, false},
		"a conflict stands before all":       {Look{Wish: wants(1, "Ann"), Held: holds(bea), Waiting: waits(WaitHeld, WaitParked, WaitConflict)}, false, ClassConflict, Different, false},
		"waits under the key that it had":    {Look{Wish: wants(2, "Ann"), Held: holds(nobody), Waiting: waits(WaitParked), Keys: []syncline.Key{"1"}}, false, ClassParked, Missing, false},
		"another one waits":                  {Look{Wish: wants(2, "Ann"), Held: holds(nobody), Waiting: waits(WaitParked)}, false, ClassDiffers, Missing, false},
		"as it should be, and another waits": {Look{Wish: wants(1, "Ann"), Held: holds(ann), Waiting: waits(WaitParked)}, false, ClassEqual, "", false},
		"not told yet":                       {Look{Wish: &Wish{Unknown: "?"}}, false, ClassUnsettled, "", true},
		"not told at all":                    {Look{Wish: &Wish{Unknown: "?"}, Last: true}, false, ClassUnsettled, "", false},
		"where records expire: missing":      {Look{Wish: wants(1, "Ann"), Held: holds(nobody)}, false, ClassPolicy, "", false},
		"where records expire: different":    {Look{Wish: wants(1, "Ann"), Held: holds(bea)}, false, ClassDiffers, Different, false},
		"where records expire: parked":       {Look{Wish: wants(1, "Ann"), Held: holds(nobody), Waiting: waits(WaitParked)}, false, ClassParked, "", false},
		"no key of the entity":               {Look{Wish: wants(1, ""), Held: holds(ann), Extra: &ann, Refused: true, Later: []*Wish{wants(1, "Cho")}}, false, ClassDiffers, Extra, false},
	} {
		j := &Judge{Matcher: NewMatcher(people, nil), Shared: test.shared, Expires: strings.HasPrefix(name, "where records expire")}
		f, again := j.Settle(&test.look)
		if f.Class != test.class || f.Kind != test.kind || again != test.again {
			t.Errorf("%s: class %d, %q, again %v, want %d, %q, %v", name, f.Class, f.Kind, again, test.class, test.kind, test.again)
		}
	}
}

// TestWhatWasAskedOutsideDoesNotCount, and is told.
func TestWhatWasAskedOutsideDoesNotCount(t *testing.T) {
	t.Parallel()
	j := &Judge{Matcher: NewMatcher(people, []string{"score"})}
	f, again := j.Settle(&Look{Wish: wants(1, "Ann"), Held: holds(person(1, "Ann", 9))})
	if f.Class != ClassEqual || !f.Enriched || again {
		t.Errorf("another score = %+v, %v", f, again)
	}
	if f, _ = j.Settle(&Look{Wish: wants(1, "Ann"), Held: holds(person(1, "Bea", 9))}); f.Class != ClassDiffers || len(f.Fields) != 1 || f.Fields[0] != "name" {
		t.Errorf("another name = %+v", f)
	}
}

// TestSettlePair: one line for each way in which a look at both sides ends.
func TestSettlePair(t *testing.T) {
	t.Parallel()
	ann, bea := person(1, "Ann", 1).Values, person(1, "Bea", 1).Values
	for name, test := range map[string]struct {
		pair  Pair
		class Class
		kind  Kind
		again bool
	}{
		"equal":                  {Pair{Held: [2][]syncline.Value{ann, ann}, Touched: true}, ClassEqual, "", false},
		"gone on both sides":     {Pair{}, ClassEqual, "", false},
		"only at the first":      {Pair{Held: [2][]syncline.Value{ann, nil}, Writes: true}, ClassDiffers, Missing, false},
		"only at the second":     {Pair{Held: [2][]syncline.Value{nil, ann}, Writes: true}, ClassDiffers, Extra, false},
		"different":              {Pair{Held: [2][]syncline.Value{ann, bea}, Writes: true}, ClassDiffers, Different, false},
		"each keeps its own":     {Pair{Held: [2][]syncline.Value{ann, bea}}, ClassPolicy, Different, false},
		"disputed":               {Pair{Held: [2][]syncline.Value{ann, bea}, Disputed: true, Waits: []Wait{WaitParked}}, ClassConflict, Different, false},
		"waits":                  {Pair{Held: [2][]syncline.Value{ann, bea}, Writes: true, Waits: []Wait{WaitHeld}}, ClassParked, Different, false},
		"changes":                {Pair{Held: [2][]syncline.Value{ann, bea}, Writes: true, Touched: true}, ClassEqual, Different, true},
		"changes all the time":   {Pair{Held: [2][]syncline.Value{ann, bea}, Writes: true, Touched: true, Last: true}, ClassUnsettled, Different, false},
		"kept, whatever changes": {Pair{Held: [2][]syncline.Value{ann, bea}, Touched: true}, ClassPolicy, Different, false},
	} {
		j := &Judge{Matcher: NewMatcher(people, nil)}
		f, again := j.SettlePair(&test.pair)
		if f.Class != test.class || f.Kind != test.kind || again != test.again {
			t.Errorf("%s: class %d, %q, again %v, want %d, %q, %v", name, f.Class, f.Kind, again, test.class, test.kind, test.again)
		}
	}
}

// TestRepairs: what is asked for, and what the limit says of it.
func TestRepairs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tally    Tally
		how      Repair
		limit    Limit
		declared bool
		sends    bool
		code     string
		notes    int
	}{
		"nothing differs":         {Tally{Source: 10}, RepairAuto, DefaultLimit, false, false, "", 0},
		"only told":               {Tally{Source: 10, Missing: 1}, RepairOff, DefaultLimit, false, false, "", 0},
		"a plan":                  {Tally{Source: 10, Missing: 1}, RepairPlan, DefaultLimit, false, false, "", 1},
		"a few of a small table":  {Tally{Source: 200, Missing: 100}, RepairAuto, DefaultLimit, false, true, "", 0},
		"too many of it":          {Tally{Source: 200, Missing: 101}, RepairAuto, DefaultLimit, false, false, "repair_refused", 0},
		"a plan of too many":      {Tally{Source: 200, Missing: 101}, RepairPlan, DefaultLimit, false, false, "repair_refused", 0},
		"a declared share":        {Tally{Source: 200, Extra: 3}, RepairAuto, Limit{Percent: 1}, true, false, "repair_refused", 0},
		"of the larger side":      {Tally{Source: 100, Target: 300, Extra: 3}, RepairAuto, Limit{Percent: 1}, true, true, "", 0},
		"a declared number":       {Tally{Source: 200, Different: 3}, RepairAuto, Limit{Records: 3}, true, true, "", 0},
		"one that has begun":      {Tally{Source: 200, Different: 9, Repaired: 1}, RepairAuto, Limit{Records: 3}, true, true, "", 0},
		"one that is done":        {Tally{Source: 200, Different: 9, Repaired: 9}, RepairAuto, Limit{Records: 3}, true, false, "", 0},
		"more than either side":   {Tally{Source: 300, Target: 300, Missing: 300, Extra: 300}, RepairAuto, DefaultLimit, false, false, "repair_refused", 0},
		"a limit of none, by all": {Tally{Source: 200, Different: 1}, RepairAuto, Limit{}, true, false, "repair_refused", 0},
	} {
		p := &Part{Rule: "r", Tally: test.tally}
		if p.Repairs(RepairOff, test.limit, test.declared); (p.MaxRepair > 0) != (test.code != "") {
			t.Errorf("%s: needs %d, where a repair answers %q", name, p.MaxRepair, test.code)
		} else if p.MaxRepair > 0 && !(Limit{Records: p.MaxRepair}).Allows(p.Differences(), max(p.Source, p.Target), true) {
			t.Errorf("%s: what it says that it needs, %d, does not do", name, p.MaxRepair)
		}
		if got := p.Repairs(test.how, test.limit, test.declared); got != test.sends || p.Code != test.code || len(p.Notes) != test.notes {
			t.Errorf("%s: sends %v, code %q, notes %v, want %v, %q, %d", name, got, p.Code, p.Notes, test.sends, test.code, test.notes)
		}
	}
}

// TestPhases: what follows what.
func TestPhases(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{Full: "source target repair done", Continuous: "source target repair done", Sampled: "source repair done", Named: "source repair done"} {
		p := &Part{Phase: PhaseWaiting}
		var got string
		for !p.Over() {
			p.Enter(p.Next(mode))
			got += " " + string(p.Phase)
		}
		if got[1:] != want {
			t.Errorf("phases of %s are %s, want %s", mode, got, want)
		}
	}
}

// TestAListingOfTheTargetThatIsCutBeginsAnew, with the counts from before it, however often it is cut.
func TestAListingOfTheTargetThatIsCutBeginsAnew(t *testing.T) {
	t.Parallel()
	p := &Part{Phase: PhaseSource, Tally: Tally{Source: 5, Equal: 4, Missing: 1}}
	p.Again()
	before := p.Tally
	for range 3 {
		p.Enter(PhaseTarget)
		p.Target += 5
		p.Find(Sample{Key: "9", Kind: string(Extra)})
		if p.Again(); p.Tally != before || p.Source != 5 || p.Missing != 1 {
			t.Errorf("counts = %+v, want %+v", p.Tally, before)
		}
	}
	p.Target += 5
	p.Enter(PhaseRepair)
	if p.Again(); p.Target != 5 {
		t.Errorf("a repair that goes on has counted %d records of the target, want 5", p.Target)
	}
}

// TestKeySet: it has what was added and nothing else, up to its bound, and says when it has not got all.
func TestKeySet(t *testing.T) {
	t.Parallel()
	key := func(i int) syncline.Key { return syncline.MakeKey(syncline.Int(int64(i))) }
	s := NewKeySet()
	s.most = 3000
	for i := range 5000 {
		if s.Has(key(i)) {
			t.Fatalf("it has key %d before that was added", i)
		}
		if whole := i <= s.most; s.Whole() != whole {
			t.Fatalf("after %d keys Whole = %v, want %v", i, s.Whole(), whole)
		}
		s.Add(key(i))
		if i+1 < s.most {
			s.Add(key(i / 2)) // known already
		}
	}
	for i := range 6000 {
		if added := i < s.most; s.Has(key(i)) != added {
			t.Errorf("Has(%d) = %v, want %v", i, !added, added)
		}
	}
}

// TestNewRulesBeginAPartAnew, and rules that stay do not.
func TestNewRulesBeginAPartAnew(t *testing.T) {
	t.Parallel()
	p := &Part{Rule: "r", Phase: PhaseWaiting}
	if p.By("1") || p.Version != "1" {
		t.Errorf("a part that waits = %+v", p)
	}
	p.Phase, p.After, p.Tally = PhaseSource, "7", Tally{Source: 7, Equal: 7}
	if p.By("1") || p.After != "7" {
		t.Errorf("by the same rules = %+v", p)
	}
	if !p.By("2") || p.After != "" || p.Source != 0 || p.Phase != PhaseWaiting || p.Version != "2" || p.Rule != "r" {
		t.Errorf("by other rules = %+v", p)
	}
	for _, c := range []Tally{{Different: 1}, {Parked: 1}, {Held: 1}, {Conflict: 1}, {Policy: 1}, {Enriched: 1}, {Unsettled: 1}} {
		if p := (&Part{Phase: PhaseDone, Tally: c}); p.Proves() {
			t.Errorf("%+v proves", c)
		}
	}
	if p := (&Part{Phase: PhaseDone, Tally: Tally{Source: 3, Equal: 2, Filtered: 1, Missing: 1, Repaired: 1}}); !p.Proves() {
		t.Error("what is equal, filtered or repaired proves nothing")
	}
}

// TestMatchesByText: a value of another kind than its column's is held by its text where the target has types of its own.
func TestMatchesByText(t *testing.T) {
	t.Parallel()
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	for _, test := range []struct {
		kind       syncline.Kind
		want, held syncline.Value
		documents  bool
		equal      bool
	}{
		{syncline.KindText, syncline.Int(7), syncline.Text("7"), false, true},
		{syncline.KindText, syncline.Int(7), syncline.Text("8"), false, false},
		{syncline.KindText, syncline.Text("7"), syncline.Text("7.0"), false, false},
		{syncline.KindText, syncline.Float(2460000.5), syncline.Text("2460000.5"), false, true},
		{syncline.KindText, syncline.Bool(true), syncline.Text("true"), false, true},
		{syncline.KindText, syncline.Bool(true), syncline.Text("1"), false, false},
		{syncline.KindText, syncline.Bytes([]byte("a")), syncline.Text("a"), false, false},
		{syncline.KindText, syncline.Text(""), syncline.Null, false, false},
		{syncline.KindDate, syncline.Text("now"), raw(syncline.KindDate, "2024-01-01"), false, false},
		{syncline.KindTimestamp, raw(syncline.KindTimestampTZ, "2024-01-01 00:00:00+00"), raw(syncline.KindTimestamp, "2024-01-01 00:00:00"), false, true},
		{syncline.KindTimestamp, raw(syncline.KindTimestampTZ, "2024-01-01 00:00:00+00"), raw(syncline.KindTimestamp, "2024-01-01 01:00:00"), false, false},
		{syncline.KindJSON, syncline.JSON([]byte("null")), syncline.Null, true, true},
		{syncline.KindJSON, syncline.JSON([]byte("null")), syncline.Null, false, false},
		{syncline.KindJSON, syncline.JSON([]byte("{}")), syncline.Null, true, false},
	} {
		m := NewMatcher(&syncline.Schema{Columns: []syncline.Column{{Name: "c", Kind: test.kind}}}, nil)
		m.Documents = test.documents
		if equal, _ := m.Equal([]syncline.Value{test.want}, []syncline.Value{test.held}); equal != test.equal {
			t.Errorf("%s in a column of %s, held as %s (documents: %v): equal is %v", test.want, test.kind, test.held, test.documents, equal)
		}
	}
}
