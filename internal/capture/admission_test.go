package capture

import (
	"math/rand/v2"
	"testing"
	"time"

	"syncline"
	"syncline/internal/state"
)

// play is a run and its route: chunks that come out of a source, are appended, and applied in order.
type play struct {
	t       *testing.T
	a       admission
	now     time.Time
	seq     syncline.Seq
	applied syncline.Seq
	number  uint32
	told    syncline.Pace
}

const playRun = "r"

func newPlay(t *testing.T, want state.Steering) *play {
	p := &play{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	p.a.admit(&state.RunRow{Run: syncline.Run{ID: playRun, Kind: syncline.RunFull, Entity: "customer"}, Steering: want}, p.now)
	return p
}

func (p *play) row(want state.Steering) *state.RunRow {
	return &state.RunRow{Run: syncline.Run{ID: playRun, Kind: syncline.RunFull, Entity: "customer"}, Steering: want}
}

// pace asks what the source is told now.
func (p *play) pace() (again time.Time) {
	p.a.look(func(string, []string) syncline.Seq { return p.applied + 1 }, p.now)
	tell, again := p.a.paces(p.now)
	for _, one := range tell {
		p.told = one.to
	}
	return again
}

func (p *play) pass(d time.Duration) { p.now = p.now.Add(d) }

// may reports whether the source may begin another chunk.
func (p *play) may() bool { p.pace(); return p.number < p.told.Upto }

func (p *play) chunk(rows, bytes int) {
	p.number++
	c := &syncline.Chunk{Run: playRun, Kind: syncline.RunFull, Number: p.number, Entity: "customer"}
	p.a.came(c, rows, bytes, p.now)
	p.seq++
	p.a.appended(&syncline.Batch{Chunk: c}, p.seq, p.now)
}

func (p *play) change() {
	p.seq++
	p.a.appended(&syncline.Batch{Events: make([]syncline.Event, 1)}, p.seq, p.now)
}

// TestRunsYieldToLiveChanges: while changes come, two chunks wait and no more.
func TestRunsYieldToLiveChanges(t *testing.T) {
	p := newPlay(t, state.Steering{})
	p.change()
	given := 0
	for p.may() && given < 100 {
		p.chunk(100, 1000)
		given++
	}
	if given != 2 {
		t.Errorf("%d chunks were given with nothing applied, want 2", given)
	}
	p.applied = 2 // the change and the first chunk
	if !p.may() {
		t.Error("one of two chunks was applied, and another one may not come")
	}
	if again := p.pace(); again.IsZero() || again.Sub(p.now) > 10*time.Millisecond {
		t.Errorf("while chunks wait it is looked again at %s", again)
	}
	p.chunk(100, 1000)
	p.pass(liveFor + time.Millisecond)
	if !p.may() {
		t.Error("changes have stopped, and the run still yields")
	}
	for given = 0; p.may() && given < 10_000; given++ {
		p.chunk(1000, 1<<20)
	}
	if waits := p.a.unapplied; waits <= maxUnapplied || waits > maxUnapplied+(1<<20) {
		t.Errorf("without changes, %d bytes wait, want about %d", waits, maxUnapplied)
	}
}

// TestChunksAreAsLargeAsTheyAreQuick: the size goes where a chunk is applied in the time that it may take, whatever a row costs, and never jumps.
func TestChunksAreAsLargeAsTheyAreQuick(t *testing.T) {
	for _, perRow := range []time.Duration{time.Microsecond, 10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
		p := newPlay(t, state.Steering{})
		was := 0
		for range 200 {
			p.change()
			if !p.may() {
				t.Fatalf("%s a row: everything is applied, and nothing may come", perRow)
			}
			rows := p.told.Rows
			if was > 0 && (rows > 2*was || rows < was/2) {
				t.Fatalf("%s a row: the size jumps from %d to %d", perRow, was, rows)
			}
			was = rows
			p.chunk(rows, 100*rows)
			p.pass(time.Duration(rows) * perRow)
			p.applied = p.seq
			p.pace()
		}
		want := min(max(int(applyIn/perRow), fewestRows), mostRows)
		if was < want/2 || was > 2*want {
			t.Errorf("%s a row: chunks have %d rows, want about %d", perRow, was, want)
		}
	}
}

func TestARateIsKept(t *testing.T) {
	const rate = 1000
	p := newPlay(t, state.Steering{Rate: rate})
	begun, rows := p.now, 0
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		if p.may() {
			n := 1 + rnd.IntN(p.told.Rows)
			p.chunk(n, n)
			rows += n
			p.applied = p.seq
			continue
		}
		again := p.pace()
		if !again.After(p.now) {
			t.Fatalf("nothing may come, and it is asked again at %s, now is %s", again, p.now)
		}
		p.now = again
	}
	took := p.now.Sub(begun)
	if got := float64(rows) / took.Seconds(); got > rate*1.05 || got < rate*0.95 {
		t.Errorf("%d rows in %s are %.0f a second, want %d", rows, took, got, rate)
	}
	p.a.admit(p.row(state.Steering{}), p.now)
	if p.may(); p.told.Upto <= p.number || p.told.Rows < 500 {
		t.Errorf("without a rate the source is told %+v", p.told)
	}
}

func TestARunIsHeldAndGivenUp(t *testing.T) {
	p := newPlay(t, state.Steering{})
	p.may()
	p.chunk(10, 10)
	p.a.admit(p.row(state.Steering{Held: true}), p.now)
	again := p.pace()
	if p.told.Upto != p.number || p.told.End || !again.IsZero() {
		t.Errorf("a held run is told %+v, and asked again at %s", p.told, again)
	}
	p.a.admit(p.row(state.Steering{}), p.now)
	if !p.may() {
		t.Error("a resumed run may not go on")
	}
	p.a.admit(p.row(state.Steering{Held: true, Cancelled: true}), p.now)
	if p.pace(); !p.told.End {
		t.Errorf("a cancelled run is told %+v", p.told)
	}
	p.a.appended(&syncline.Batch{Chunk: &syncline.Chunk{Run: playRun, Number: 2, Last: true}}, 2, p.now)
	if len(p.a.runs) != 0 || p.a.unapplied != 0 {
		t.Errorf("after its end %d runs are known, and %d bytes wait", len(p.a.runs), p.a.unapplied)
	}
}

// TestWhatIsNoCopyIsNotHeldUp: routes wait for the records that they asked for.
func TestWhatIsNoCopyIsNotHeldUp(t *testing.T) {
	var a admission
	for _, kind := range []syncline.RunKind{syncline.RunKeys, syncline.RunPoll, syncline.RunSweep} {
		a.admit(&state.RunRow{Run: syncline.Run{ID: kind.String(), Kind: kind}}, time.Now())
	}
	if len(a.runs) != 0 {
		t.Errorf("%d runs are paced, want none", len(a.runs))
	}
}
