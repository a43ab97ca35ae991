package poll

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"syncline"
)

// history is a database in which transactions begin, take watermarks, get numbers and commit in any order.
type history struct {
	clock int64 // seconds
	next  uint64
	open  []*txn
	rows  []row
}

type txn struct {
	began int64
	xid   uint64 // 0 = has none yet
	rows  []int64
	// prepared: nobody knows any more when it began.
	prepared bool
}

type row struct {
	mark int64
	xid  uint64
	seen int
}

func (h *history) horizon() Horizon {
	z := Horizon{Clock: time.Unix(h.clock, 0), Open: true, Xmin: h.next, Xmax: h.next}
	for _, o := range h.open {
		if o.xid > 0 {
			z.Xmin = min(z.Xmin, o.xid)
		}
		if o.prepared {
			z.Prepared = true
		} else if began := time.Unix(o.began, 0); z.Oldest.IsZero() || began.Before(z.Oldest) {
			z.Oldest = began
		}
	}
	return z
}

func (h *history) newest() []string {
	top := int64(-1)
	for _, r := range h.rows {
		top = max(top, r.mark)
	}
	if top < 0 {
		return nil
	}
	return []string{strconv.FormatInt(top, 10)}
}

// write writes a row with the time of the transaction's begin (now()), or of the moment (clock_timestamp()).
func (h *history) write(o *txn, begin bool) {
	if o.xid == 0 {
		o.xid, h.next = h.next, h.next+1
	}
	at := h.clock
	if begin {
		at = o.began
	}
	o.rows = append(o.rows, at)
}

func (h *history) commit(i int) {
	o := h.open[i]
	h.open = append(h.open[:i:i], h.open[i+1:]...)
	for _, m := range o.rows {
		h.rows = append(h.rows, row{mark: m, xid: o.xid})
	}
}

// in reports whether the row is one of the range.
func (r row) in(of Range) bool {
	at := func(list []string) int64 {
		n, err := strconv.ParseInt(list[0], 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	return (of.From == nil || r.mark >= at(of.From)) && (of.Above == nil || r.mark > at(of.Above)) && (of.To == nil || r.mark <= at(of.To)) && r.xid >= of.Since
}

// poll does what Source does, and returns how many rows were read. What happens between what it asks is meanwhile's.
func (h *history) poll(p Progress, numbered bool, meanwhile func()) (Progress, int) {
	before := p.Mark
	if before == nil {
		before = h.newest()
	}
	horizon := h.horizon()
	meanwhile()
	again, fresh := p.ranges(numbered)
	read, mark := 0, p.Mark
	for i := range h.rows {
		if p.Mark != nil && h.rows[i].in(again) || h.rows[i].in(fresh) {
			h.rows[i].seen++
			read++
		}
	}
	if top := h.newest(); top != nil {
		mark = top
	}
	return p.Reached(horizon, before, mark), read
}

// TestProgressMissesNothing: every row is read by the first poll after its commit.
func TestProgressMissesNothing(t *testing.T) {
	for _, numbered := range []bool{true, false} {
		rapid.Check(t, func(r *rapid.T) {
			h := &history{clock: 1000, next: 100}
			var p Progress
			changes := map[string]func(*rapid.T){
				"time":  func(*rapid.T) { h.clock += int64(rapid.IntRange(0, 5).Draw(r, "seconds")) },
				"begin": func(*rapid.T) { h.open = append(h.open, &txn{began: h.clock}) },
				"write": func(*rapid.T) {
					if len(h.open) > 0 {
						if o := rapid.SampledFrom(h.open).Draw(r, "txn"); !o.prepared {
							h.write(o, rapid.Bool().Draw(r, "now"))
						}
					}
				},
				"prepare": func(*rapid.T) {
					if len(h.open) > 0 {
						if o := rapid.SampledFrom(h.open).Draw(r, "txn"); o.xid > 0 {
							o.prepared = true
						}
					}
				},
				"commit": func(*rapid.T) {
					if len(h.open) > 0 {
						h.commit(rapid.IntRange(0, len(h.open)-1).Draw(r, "txn"))
					}
				},
			}
			meanwhile := func() {
				for range rapid.IntRange(0, 6).Draw(r, "changes meanwhile") {
					changes[rapid.SampledFrom([]string{"time", "begin", "write", "commit"}).Draw(r, "change")](r)
				}
			}
			actions := maps.Clone(changes)
			actions["poll"] = func(*rapid.T) {
				p, _ = h.poll(p, numbered, meanwhile)
				for _, one := range h.rows {
					if one.seen == 0 {
						r.Fatalf("a row with watermark %d of transaction %d was not read; progress %+v, clock %d", one.mark, one.xid, p, h.clock)
					}
				}
			}
			r.Repeat(actions)
		})
	}
}

// TestTransactionsThatBeginDuringAPoll: what a poll has read by its end says nothing of those that began behind its horizon.
func TestTransactionsThatBeginDuringAPoll(t *testing.T) {
	h := &history{clock: 1000, next: 100}
	var p Progress
	committed := func() {
		h.open = append(h.open, &txn{began: h.clock})
		last := len(h.open) - 1
		h.write(h.open[last], true)
		h.commit(last)
	}
	quiet := func(p Progress) Progress {
		for range 3 {
			h.clock += 10
			committed()
			p, _ = h.poll(p, true, func() {})
		}
		return p
	}
	p = quiet(p)
	h.clock += 10
	p, _ = h.poll(p, true, func() {
		h.clock += 2
		h.open = append(h.open, &txn{began: h.clock})
		h.clock += 2
		committed()
	})
	h.clock += 10
	p, _ = h.poll(p, true, func() {})
	h.write(h.open[0], true)
	h.commit(0)
	_, _ = h.poll(p, true, func() {})
	for _, one := range h.rows {
		if one.seen == 0 {
			t.Errorf("a row with watermark %d was not read; progress %+v", one.mark, p)
		}
	}
}

// TestProgressReadsLittleAgain: where no transaction is open for long, what is read again is what came with the last polls, and a
// transaction that is open for hours keeps what is remembered bounded.
func TestProgressReadsLittleAgain(t *testing.T) {
	h := &history{clock: 1000, next: 100}
	var p Progress
	read := 0
	for range 200 {
		h.clock += 60
		h.open = append(h.open, &txn{began: h.clock})
		h.write(h.open[0], true)
		h.commit(0)
		p, read = h.poll(p, false, func() {})
	}
	if read > 5 || len(p.Past) > 3 {
		t.Errorf("the last poll of 200 read %d rows, and remembers %d polls", read, len(p.Past))
	}
	forgotten := &txn{began: h.clock}
	h.open = append(h.open, forgotten)
	for range 500 {
		h.clock += 60
		h.open = append(h.open, &txn{began: h.clock})
		h.write(h.open[1], true)
		h.commit(1)
		p, read = h.poll(p, true, func() {})
	}
	if read > 2 || len(p.Past) > maxPast {
		t.Errorf("beside an open transaction, the last poll read %d rows, and remembers %d polls", read, len(p.Past))
	}
	h.write(forgotten, true)
	h.commit(0)
	p, _ = h.poll(p, true, func() {})
	h.clock += 60
	for range 3 {
		h.clock += 60
		p, _ = h.poll(p, true, func() {})
	}
	if len(p.Past) > 3 {
		t.Errorf("after it, %d polls are remembered", len(p.Past))
	}
}

// TestClockThatGoesBack: until the clock is where it was, everything is read again; so it is after a failover.
func TestClockThatGoesBack(t *testing.T) {
	at := func(s int64) Horizon {
		return Horizon{Clock: time.Unix(s, 0), Open: true, Xmin: 10, Xmax: 10, Line: "1"}
	}
	p := Progress{}
	for s := int64(1000); s < 1100; s += 20 {
		p = p.Reached(at(s), p.Mark, []string{fmt.Sprint(s)})
	}
	if p.Low == nil || p.lost(at(2000)) {
		t.Fatalf("progress %+v", p)
	}
	p = p.Reached(at(500), p.Mark, p.Mark)
	if p.Low != nil {
		t.Errorf("after the clock went back it reads again from %v only", p.Low)
	}
	for s := int64(1200); s < 1300; s += 20 {
		p = p.Reached(at(s), p.Mark, []string{fmt.Sprint(s)})
	}
	if p.Low == nil {
		t.Error("it reads everything again for ever")
	}
	for name, h := range map[string]Horizon{"another timeline": {Line: "2", Xmax: 10}, "transactions that went back": {Line: "1", Xmax: 9}} {
		if !p.lost(h) {
			t.Errorf("%s is not noticed", name)
		}
	}
}

func TestFlag(t *testing.T) {
	s := &syncline.Schema{Columns: []syncline.Column{{Name: "f"}}}
	text := func(s string) *string { return &s }
	for _, test := range []struct {
		value *string
		row   syncline.Value
		want  bool
	}{
		{nil, syncline.Null, false}, {nil, syncline.Unset, false}, {nil, syncline.Bool(true), true}, {nil, syncline.Bool(false), false},
		{nil, syncline.Int(0), false}, {nil, syncline.Int(-1), true}, {nil, syncline.Decimal("0.00"), false}, {nil, syncline.Text(""), false},
		{nil, syncline.Text("2026-01-01"), true}, {text("D"), syncline.Text("D"), true}, {text("D"), syncline.Text("d"), false},
		{text("1"), syncline.Int(1), true}, {text("1"), syncline.Decimal("1.0"), true}, {text("1"), syncline.Bool(true), true},
		{text("yes"), syncline.Bool(true), true}, {text("false"), syncline.Bool(false), true}, {text("x"), syncline.Int(1), false}, {text("true"), syncline.Null, false},
	} {
		f := &Flag{Field: "f", Value: test.value}
		if got := f.Is(s, []syncline.Value{test.row}); got != test.want {
			t.Errorf("%v of %s = %t", test.value, test.row, got)
		}
	}
	if (*Flag)(nil).Is(s, []syncline.Value{syncline.Bool(true)}) || (&Flag{Field: "g"}).Is(s, []syncline.Value{syncline.Bool(true)}) {
		t.Error("a flag that is not there says something")
	}
}
