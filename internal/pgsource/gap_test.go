package pgsource

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/sourcetest"
	"syncline/internal/testserver"
)

// noted is what a gap was told.
type noted struct{ begin, end syncline.Position }

func (n *noted) gap(epoch uint32) *syncline.Gap {
	return &syncline.Gap{Epoch: epoch,
		Begin: func(_ context.Context, p syncline.Position) error { n.begin = p; return nil },
		End:   func(_ context.Context, p syncline.Position) error { n.end = p; return nil }}
}

// TestBehindAGap: whatever keeps the stream from going on, with the gap declared it begins anew, under the next epoch, and brings every
// change from there on. The gap is noted exactly, and before anything is dropped.
func TestBehindAGap(t *testing.T) {
	for name, harm := range map[string]func(d *db, p *tape){
		"slot_missing": func(d *db, _ *tape) { d.dropSlot() },
		"slot_ahead": func(d *db, _ *tape) {
			d.exec("INSERT INTO t VALUES (3)")
			d.released()
			d.exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", d.slotOf())
		},
		"source_behind": func(_ *db, p *tape) { p.log[len(p.log)-1].Position.Commit += 1 << 40 },
		"source_changed": func(_ *db, p *tape) {
			last := p.log[len(p.log)-1]
			var c map[string]any
			if err := json.Unmarshal(last.Checkpoint, &c); err != nil {
				p.t.Fatal(err)
			}
			c["id"].(map[string]any)["timeline"] = "1234"
			last.Checkpoint, _ = json.Marshal(c)
		},
		"checkpoint_unknown": func(_ *db, p *tape) { p.log[len(p.log)-1].Checkpoint = []byte(`{"v":2}`) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDB(t, oneTable, "INSERT INTO t VALUES (1)")
			p := record(t, d.options("t"))
			p.copied()
			d.exec("INSERT INTO t VALUES (2)")
			p.events(1)
			p.close()
			harm(d, p)
			wantCode(t, p.tryOpen(), name)
			p.close()
			end := p.log[len(p.log)-1].Position
			var n noted
			p.o.Gap = n.gap(end.Epoch)
			p.open()
			if n.begin != end {
				t.Errorf("the gap begins at %v, want the log's end %v", n.begin, end)
			}
			if b := p.next(); !b.Sync || b.Position != (syncline.Position{Epoch: 2}) {
				t.Errorf("first batch = %+v, want the intent of the next epoch", b)
			}
			p.crash(0) // after the intent: the slot is made anew
			if b := p.next(); !b.Sync || b.Position.Epoch != 2 || b.Position != n.end {
				t.Errorf("second batch at %v, want where the gap ends, %v", b.Position, n.end)
			}
			d.exec("INSERT INTO t VALUES (4)")
			wantEvents(t, p.events(2)[1:], "created t [] [4,null]")
			p.crash(0)
			p.o.Gap = nil
			d.exec("INSERT INTO t VALUES (5)")
			p.events(3)
			if at := p.log[len(p.log)-1].Position; at.Epoch != 2 {
				t.Errorf("position = %v, want epoch 2", at)
			}
			run := syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "t"}
			if err := p.src.StartRun(run); err != nil {
				t.Fatal(err)
			}
			rows := 0
			p.until(func() bool {
				last := p.log[len(p.log)-1]
				if last.Chunk != nil && last.Chunk.Run == "r" {
					rows += len(last.Events)
					return last.Chunk.Last
				}
				return false
			})
			if want := d.text("SELECT count(*) FROM t"); want != "4" && want != "5" || rows < 4 {
				t.Errorf("a run behind the gap read %d rows of %s", rows, want)
			}
		})
	}
}

// TestARunGoesOnBehindAGap with its next chunk: a chunk that is in the log is not told twice under the same ids.
func TestARunGoesOnBehindAGap(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t SELECT generate_series(1, 10)")
	o := d.options("t")
	o.ChunkRows = 3
	p := record(t, o)
	p.copied()
	if err := p.src.StartRun(syncline.Run{ID: "r", Kind: syncline.RunFull, Entity: "t"}); err != nil {
		t.Fatal(err)
	}
	p.until(func() bool { last := p.log[len(p.log)-1]; return last.Chunk != nil && last.Chunk.Run == "r" })
	p.close()
	d.dropSlot()
	var n noted
	p.o.Gap = n.gap(1)
	p.open()
	seen := map[uint32]int{}
	p.until(func() bool {
		last := p.log[len(p.log)-1]
		return last.Chunk != nil && last.Chunk.Last && last.Chunk.Run == "r"
	})
	rows := 0
	for _, b := range p.log {
		if b.Chunk != nil && b.Chunk.Run == "r" {
			seen[b.Chunk.Number]++
			rows += len(b.Events)
		}
	}
	for number, times := range seen {
		if times != 1 {
			t.Errorf("chunk %d came %d times", number, times)
		}
	}
	if rows != 10 {
		t.Errorf("the run brought %d rows of 10", rows)
	}
}

// TestReleasedSlotIsNotMadeSooner: the server is freed at once, and the slot waits for its time, and until somebody takes what it brings.
func TestReleasedSlotIsNotMadeSooner(t *testing.T) {
	d := newDB(t, oneTable)
	p := record(t, d.options("t"))
	p.copied()
	p.close()
	var n noted
	p.o.Gap = n.gap(1)
	refused := func(why string) {
		t.Helper()
		err := p.tryOpen()
		if syncline.CodeOf(err) != "slot_released" || syncline.ClassOf(err) != syncline.Transient || !strings.Contains(err.Error(), why) {
			t.Errorf("open = %v, want a transient slot_released with %q", err, why)
		}
		if got := d.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()); got != "0" || n.begin.Epoch != 1 {
			t.Errorf("%s slots are left, the gap begins at %v", got, n.begin)
		}
	}
	p.o.Gap.After = time.Now().Add(time.Hour)
	refused("made anew at")
	var full error = syncline.Errorf(syncline.Transient, "gap_waits", "the log is crowded")
	p.o.Gap.After, p.o.Gap.Ready = time.Time{}, func(context.Context) error { return full }
	refused("the log is crowded")
	full = nil
	p.open()
	p.next()
	if p.next(); n.end.Epoch != 2 {
		t.Errorf("with room in the log the stream begins at %v", n.end)
	}
}

// TestAGapDropsNobodyElsesSlot: the slot of this name belongs to another database.
func TestAGapDropsNobodyElsesSlot(t *testing.T) {
	d, other := newDB(t, oneTable), newDB(t)
	p := record(t, d.options("t"))
	p.copied()
	p.close()
	d.dropSlot()
	other.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
	var n noted
	p.o.Gap = n.gap(1)
	wantCode(t, p.tryOpen(), "slot_foreign")
	if got := d.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", d.slotOf()); got != "1" {
		t.Error("the slot of another database was dropped")
	}
}

// TestAGapWithoutManage: the statements that the error has make the slot, and the gap ends where it stands.
func TestAGapWithoutManage(t *testing.T) {
	d := newDB(t, oneTable, "CREATE PUBLICATION pub FOR TABLE t")
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slotOf())
	o := d.options("t")
	o.Manage = false
	p := record(t, o)
	p.copied()
	p.close()
	d.dropSlot()
	d.exec("INSERT INTO t VALUES (1)")
	err := p.tryOpen()
	wantCode(t, err, "slot_missing")
	p.close()
	typed(d, fixOf(err))
	var n noted
	p.o.Gap = n.gap(1)
	p.open()
	d.exec("INSERT INTO t VALUES (2)")
	wantEvents(t, p.events(1), "created t [] [2,null]")
	if n.end.Epoch != 2 || n.end.Commit == 0 {
		t.Errorf("the gap ends at %v", n.end)
	}
}

// TestAGapBehindAServerThatGaveUpTheSlot is the whole way of max_slot_wal_keep_size.
func TestAGapBehindAServerThatGaveUpTheSlot(t *testing.T) {
	s := testserver.NewPostgres(t, "fsync=off", "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	d := &db{t: t, url: s.Database(t)}
	d.conn = d.connect()
	d.exec(oneTable)
	p := record(t, d.options("t"))
	p.copied()
	p.close()
	d.exec("INSERT INTO t VALUES (1)")
	for d.text("SELECT wal_status FROM pg_replication_slots") != "lost" {
		d.exec("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)")
		d.exec("CHECKPOINT")
	}
	wantCode(t, p.tryOpen(), "slot_lost")
	p.close()
	var n noted
	p.o.Gap = n.gap(1)
	p.open()
	p.next()
	p.next()
	d.exec("INSERT INTO t VALUES (2)")
	wantEvents(t, p.events(1), "created t [] [2,null]")
}

// TestTheFirstCopyGivesWay: while the server holds too much, changes come before the rest of the copy, and that comes after.
func TestTheFirstCopyGivesWay(t *testing.T) {
	d := newDB(t, oneTable, "INSERT INTO t SELECT generate_series(1, 100)")
	o := d.options("t")
	o.ChunkRows = 10
	p := record(t, o)
	p.until(func() bool { return len(p.log) > 0 && p.log[len(p.log)-1].Chunk != nil })
	d.exec("INSERT INTO t VALUES (1000)")
	p.src.Spill(true)
	p.src.Pace("initial.t", syncline.Pace{Upto: 1})
	p.events(1)
	chunks := 0
	for _, b := range p.log {
		if b.Chunk != nil {
			chunks++
		}
	}
	if chunks > 2 {
		t.Errorf("%d chunks of the copy came before the change", chunks)
	}
	p.src.Spill(false)
	p.src.Pace("initial.t", syncline.Pace{Upto: 1 << 20})
	p.copied()
	keys := map[string]bool{}
	for _, b := range p.log {
		for i := range b.Events {
			k, _ := b.Events[i].Key()
			keys[string(k)] = true
		}
	}
	if len(keys) != 101 {
		t.Errorf("%d records arrived of 101", len(keys))
	}
}

// typed runs the statements that stand in a fix before what is to be done with our own command.
func typed(d *db, fix string) {
	d.t.Helper()
	at := strings.Index(fix, "SELECT")
	sql, _, ok := strings.Cut(fix[max(at, 0):], " then `")
	if !ok || at < 0 {
		d.t.Fatalf("fix has no statements: %s", fix)
	}
	for _, one := range strings.Split(strings.TrimSuffix(sql, ";"), "; ") {
		d.exec(one)
	}
}

func TestOnlyWhatTheEpochHasIsConfirmed(t *testing.T) {
	s := &Source{epoch: 2}
	s.confirmed.Store(7)
	sourcetest.OfItsEpoch(t, s.Confirm, s.confirmed.Load)
}
