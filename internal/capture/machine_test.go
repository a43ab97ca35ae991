package capture

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// txn returns a batch of the stream: one transaction of n events, from ordinal first on.
func txn(commit uint64, first, n uint32) *syncline.Batch {
	b := &syncline.Batch{Checkpoint: fmt.Append(nil, commit), Txns: []syncline.Txn{{Commit: commit}},
		Position: syncline.Position{Epoch: 1, Commit: commit, Ordinal: first + n - 1}}
	for i := range n {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpCreated, Schema: schema, Ordinal: first + i, After: []syncline.Value{syncline.Int(int64(commit))}})
	}
	return b
}

func marker(commit uint64) *syncline.Batch {
	return &syncline.Batch{Checkpoint: fmt.Append(nil, commit), Position: syncline.Position{Epoch: 1, Commit: commit}}
}

func synced(b *syncline.Batch) *syncline.Batch  { b.Sync = true; return b }
func partial(b *syncline.Batch) *syncline.Batch { b.Partial = true; return b }

func chunk(commit uint64, number uint32) *syncline.Batch {
	b := marker(commit)
	b.Chunk = &syncline.Chunk{Run: "r", Kind: syncline.RunFull, Number: number, Entity: "customer"}
	return b
}

// content says what a batch is: its events as commit.ordinal, and the position.
func content(b *syncline.Batch) string {
	s := ""
	for i := range b.Events {
		p := b.PositionOf(i)
		s += fmt.Sprintf("%d.%d ", p.Commit, p.Ordinal)
	}
	if b.Chunk != nil {
		s += fmt.Sprintf("chunk %d ", b.Chunk.Number)
	}
	if b.Partial {
		s += "partial "
	}
	return s + fmt.Sprintf("to %d", b.Position.Commit)
}

var (
	errDown  = errors.New("no answer")
	errMoved = syncline.Errorf(syncline.Transient, "log_moved", "an earlier append was stored after all")
	errLarge = syncline.Errorf(syncline.Rejected, "log_batch_too_large", "too large")
)

// input is something that happens.
type input func(*machine)

func opens(m *machine)              { m.opened(syncline.Position{}, true) }
func opensUnborn(m *machine)        { m.opened(syncline.Position{}, false) }
func stores(m *machine)             { m.appended(nil) }
func records(m *machine)            { m.recorded(nil) }
func closes(m *machine)             { m.closed(m.failed) }
func passes(m *machine)             { m.elapsed() }
func resumes(m *machine)            { m.resumed() }
func renews(m *machine)             { m.renew() }
func drops(m *machine)              { m.drop() }
func stops(m *machine)              { m.stop() }
func asks(m *machine)               { m.asked() }
func refuses(err error) input       { return func(m *machine) { m.appended(err) } }
func fails(err error) input         { return func(m *machine) { m.closed(err) } }
func breaks(err error) input        { return func(m *machine) { m.broke(err) } }
func forgets(err error) input       { return func(m *machine) { m.recorded(err) } }
func gives(b *syncline.Batch) input { return func(m *machine) { m.take(b) } }

// moves carries out nothing and tells what the machine wants until it waits.
func moves(m *machine) []string {
	names := map[move]string{moveOpen: "open", moveConfirm: "confirm", moveRecord: "record", moveRelieve: "relieve", movePause: "pause",
		moveHalt: "halt", moveClose: "close"}
	list := []string{}
	for {
		switch v := m.next(); v {
		case moveWait:
			return list
		case moveEnd:
			return append(list, "end")
		case moveAppend:
			list = append(list, "append "+content(m.inflight))
		case moveConfirm:
			list = append(list, fmt.Sprintf("confirm %d", m.logged.Commit))
		default:
			list = append(list, names[v])
		}
	}
}

func TestMachine(t *testing.T) {
	type step struct {
		in    input
		want  []string // the moves that follow
		wants bool     // the source is to be asked then
	}
	none := []string{}
	for _, test := range []struct {
		name  string
		steps []step
		state State
	}{
		{"nothing is confirmed before it is in the log", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{stores, []string{"confirm 1"}, true},
		}, StateRunning},
		{"the next batch fills while an append is under way", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{gives(txn(3, 1, 2)), none, false}, // half full
			{stores, []string{"confirm 1", "append 2.1 3.1 3.2 to 3"}, true},
			{gives(marker(5)), none, true},
			{gives(txn(6, 1, 1)), none, true},
			{stores, []string{"confirm 3", "append 6.1 to 6"}, true},
			{stores, []string{"confirm 6"}, true},
		}, StateRunning},
		{"another source is opened once what the first one gave is in the log, whatever that one does", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{asks, none, false},
			{renews, none, false},
			{stores, []string{"confirm 1", "append 2.1 to 2"}, false},
			{stores, []string{"confirm 2", "close"}, false},
			{closes, []string{"open"}, false},
			{opens, none, true},
		}, StateRunning},
		{"another source is tried at once where the first one has halted", []step{
			{fails(errLarge), []string{"halt"}, false},
			{renews, []string{"open"}, false},
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
		}, StateRunning},
		{"another source waits for the log too", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{refuses(errDown), []string{"pause"}, true},
			{renews, []string{"append 1.1 to 1"}, false},
			{stores, []string{"relieve", "confirm 1", "close"}, false},
			{closes, []string{"open"}, false},
		}, StateStarting},
		{"a source is dropped with what the log does not take", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{refuses(errDown), []string{"pause"}, true},
			{drops, []string{"close"}, false},
			{closes, []string{"open"}, false},
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{stores, []string{"confirm 1"}, true},
		}, StateRunning},
		{"a source is not dropped before it is known what became of an append", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{drops, none, false},
			{stores, []string{"close"}, false},
			{closes, []string{"open"}, false},
		}, StateStarting},
		{"dropping a source that has halted opens one", []step{
			{fails(errLarge), []string{"halt"}, false},
			{drops, []string{"open"}, false},
			{opens, none, true},
		}, StateRunning},
		{"a transaction that goes on is one", []step{
			{opens, none, true},
			{gives(marker(1)), []string{"append to 1"}, true},
			{gives(partial(txn(2, 1, 1))), none, true},
			{gives(txn(2, 2, 1)), none, true},
			{stores, []string{"confirm 1", "append 2.1 2.2 to 2"}, true},
		}, StateRunning},
		{"what does not fit waits, and nothing more is read", []step{
			{opens, none, true},
			{gives(txn(1, 1, 9)), []string{"append 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 to 1"}, true},
			{gives(txn(2, 1, 2)), none, true},
			{gives(txn(3, 1, 5)), none, false},
			{stores, []string{"confirm 1", "append 2.1 2.2 to 2"}, false},
			{stores, []string{"confirm 2", "append 3.1 3.2 3.3 3.4 3.5 to 3"}, true},
		}, StateRunning},
		{"nothing is read ahead of a batch that must be in the log first, or joined to it", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{gives(synced(marker(3))), none, false},
			{stores, []string{"confirm 1", "append 2.1 to 2"}, false},
			{stores, []string{"confirm 2", "append to 3"}, false},
			{stores, []string{"confirm 3"}, true},
		}, StateRunning},
		{"the source is asked for one batch at a time", []step{
			{opens, none, true},
			{asks, none, false},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
		}, StateRunning},
		{"a chunk is alone, and noted before the next append", []step{
			{opens, none, true},
			{gives(chunk(1, 1)), []string{"append chunk 1 to 1"}, true},
			{gives(chunk(1, 2)), none, false},
			{stores, []string{"confirm 1", "record"}, false},
			{records, []string{"append chunk 2 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{stores, []string{"confirm 1", "record"}, true},
			{records, []string{"append 2.1 to 2"}, true},
		}, StateRunning},
		{"a note that fails closes the source", []step{
			{opens, none, true},
			{gives(chunk(1, 1)), []string{"append chunk 1 to 1"}, true},
			{stores, []string{"confirm 1", "record"}, true},
			{forgets(errDown), []string{"close"}, false},
			{closes, []string{"pause"}, false},
		}, StateDegraded},
		{"an append without an answer is repeated with the same batch", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{refuses(errDown), []string{"pause"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{passes, []string{"append 1.1 to 1"}, true},
			{refuses(errDown), []string{"pause"}, true},
			{passes, []string{"append 1.1 to 1"}, true},
			{stores, []string{"relieve", "confirm 1", "append 2.1 to 2"}, true},
		}, StateRunning},
		{"a log that does not answer is no reason to say that all is well", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{refuses(errDown), []string{"pause"}, true},
			{passes, []string{"append 1.1 to 1"}, true},
		}, StateDegraded},
		{"where another batch was stored, the source is opened again at the log's end", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{refuses(errMoved), []string{"close"}, false},
			{closes, []string{"pause"}, false},
			{passes, []string{"open"}, false},
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
		}, StateRunning},
		{"a batch that the log refuses halts until somebody says to go on", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{refuses(errLarge), []string{"close"}, false},
			{closes, []string{"halt"}, false},
			{passes, none, false},
			{resumes, []string{"open"}, false},
			{fails(errLarge), []string{"halt"}, false},
		}, StateHalted},
		{"what a source gave before it failed goes into the log first", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{breaks(errDown), none, false},
			{stores, []string{"confirm 1", "append 2.1 to 2"}, false},
			{stores, []string{"confirm 2", "close"}, false},
			{closes, []string{"pause"}, false},
			{passes, []string{"open"}, false},
		}, StateDegraded},
		{"a source that goes back halts, and what it gave then is not stored", []step{
			{opens, none, true},
			{gives(txn(9, 1, 1)), []string{"append 9.1 to 9"}, true},
			{gives(txn(8, 1, 1)), none, false},
			{stores, []string{"confirm 9", "close"}, false},
			{closes, []string{"halt"}, false},
		}, StateHalted},
		{"a source that repeats an event halts", []step{
			{opens, none, true},
			{gives(txn(9, 1, 1)), []string{"append 9.1 to 9"}, true},
			{gives(txn(9, 1, 2)), none, false},
			{stores, []string{"confirm 9", "close"}, false},
			{closes, []string{"halt"}, false},
		}, StateHalted},
		{"at the stop, what is in hand is appended", []step{
			{opens, none, true},
			{asks, none, false},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{gives(txn(2, 1, 1)), none, true},
			{asks, none, false},
			{stops, none, false},
			{stores, []string{"confirm 1", "append 2.1 to 2"}, false},
			{gives(txn(3, 1, 1)), none, false},
			{stores, []string{"confirm 2", "append 3.1 to 3"}, false},
			{stores, []string{"confirm 3", "close"}, false},
			{closes, []string{"end"}, false},
		}, StateStopped},
		{"the stop waits for the source's last word", []step{
			{opens, none, true},
			{asks, none, false},
			{stops, none, false},
			{breaks(errDown), []string{"close"}, false},
			{closes, []string{"end"}, false},
		}, StateStopped},
		{"at the stop, a log that does not answer is tried once more", []step{
			{opens, none, true},
			{gives(txn(1, 1, 1)), []string{"append 1.1 to 1"}, true},
			{refuses(errDown), []string{"pause"}, true},
			{stops, []string{"append 1.1 to 1"}, false},
			{refuses(errDown), []string{"close"}, false},
			{closes, []string{"end"}, false},
		}, StateStopped},
		{"a halted capture can be stopped", []step{
			{fails(errLarge), []string{"halt"}, false},
			{stops, []string{"end"}, false},
		}, StateStopped},
		{"a source that was never captured runs from its first position on", []step{
			{opensUnborn, none, true},
			{gives(synced(marker(0))), []string{"append to 0"}, false},
			{stores, []string{"confirm 0"}, true},
		}, StateStarting},
		{"a source that has said where it begins is running", []step{
			{opensUnborn, none, true},
			{gives(synced(marker(0))), []string{"append to 0"}, false},
			{stores, []string{"confirm 0"}, true},
			{gives(synced(marker(7))), []string{"append to 7"}, false},
			{stores, []string{"confirm 7"}, true},
		}, StateRunning},
		{"a source that does not open is tried again", []step{
			{fails(errDown), []string{"pause"}, false},
			{passes, []string{"open"}, false},
			{fails(errDown), []string{"pause"}, false},
		}, StateDegraded},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine("crm", Limits{Events: 6})
			if got := moves(m); !cmp.Equal(got, []string{"open"}) {
				t.Fatalf("first moves = %q, want open", got)
			}
			for i, s := range test.steps {
				s.in(m)
				if diff := cmp.Diff(s.want, moves(m)); diff != "" {
					t.Fatalf("step %d: moves (-want +got):\n%s", i, diff)
				}
				if m.wants() != s.wants {
					t.Fatalf("step %d: wants() = %v, want %v", i, m.wants(), s.wants)
				}
			}
			if m.state != test.state || (m.err != nil) != (test.state == StateDegraded || test.state == StateHalted) {
				t.Errorf("state = %s, %v, want %s", m.state, m.err, test.state)
			}
		})
	}
}

// TestFailuresInARowAreCounted, for the pause grows with them.
func TestFailuresInARowAreCounted(t *testing.T) {
	m := newMachine("crm", Limits{})
	for i, s := range []struct {
		in   input
		want int
	}{{fails(errDown), 1}, {passes, 1}, {fails(errDown), 2}, {passes, 2}, {opens, 2}, {gives(txn(1, 1, 1)), 2}, {refuses(errDown), 3}, {passes, 3}, {stores, 0}} {
		moves(m)
		if s.in(m); m.failures != s.want {
			t.Errorf("step %d: failures = %d, want %d", i, m.failures, s.want)
		}
	}
}

// TestBytesBoundABatch: rows of two halves of the limit are not joined.
func TestBytesBoundABatch(t *testing.T) {
	large := func(commit uint64) *syncline.Batch {
		b := txn(commit, 1, 1)
		b.Events[0].After[0] = syncline.Text(string(make([]byte, 60)))
		return b
	}
	f := &fill{batch: large(1)}
	if f.room(Limits{Events: 100, Bytes: 100}) || !f.room(Limits{Events: 100, Bytes: 200}) {
		t.Error("room is not half of the bytes")
	}
	if f.join(large(2), Limits{Events: 100, Bytes: 100}) || !f.join(large(2), Limits{Events: 100, Bytes: 200}) {
		t.Error("two batches of 60 bytes are one of 100, or not one of 200")
	}
	if f.join(large(3), Limits{Events: 100, Bytes: 150}) {
		t.Error("what was joined does not count")
	}
}

// TestWhatIsJoinedStaysInOrder: a transaction that came in parts, and what came behind it, is what the source gave, event by event.
func TestWhatIsJoinedStaysInOrder(t *testing.T) {
	item := &syncline.Schema{Entity: "item", Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}, Key: []int{0}}
	part := func(commit uint64, from, to uint32) *syncline.Batch {
		b := &syncline.Batch{Position: syncline.Position{Epoch: 1, Commit: commit, Ordinal: to}, Txns: []syncline.Txn{{Commit: commit}}}
		for n := from; n <= to; n++ {
			e := syncline.Event{Op: syncline.OpCreated, Schema: item, Ordinal: n, After: []syncline.Value{syncline.Int(int64(commit)*100 + int64(n))}}
			if n == 2 {
				e.Op, e.After = syncline.OpTruncated, nil
			}
			b.Events = append(b.Events, e)
		}
		return b
	}
	m := newMachine("crm", Limits{})
	for _, b := range []*syncline.Batch{part(7, 1, 3), part(7, 4, 4), part(7, 5, 6), part(9, 1, 2), part(9, 3, 5)} {
		m.asked()
		m.take(b)
	}
	if m.broken != nil || len(m.waiting) != 1 {
		t.Fatalf("%d batches wait, error %v; want one", len(m.waiting), m.broken)
	}
	var got []string
	all := m.waiting[0].batch
	for i, e := range all.Events {
		at, what := all.PositionOf(i), "truncated"
		if e.Op != syncline.OpTruncated {
			what = e.After[0].Text()
		}
		got = append(got, fmt.Sprintf("%d.%d %s", at.Commit, at.Ordinal, what))
	}
	want := []string{"7.1 701", "7.2 truncated", "7.3 703", "7.4 704", "7.5 705", "7.6 706", "9.1 901", "9.2 truncated", "9.3 903", "9.4 904", "9.5 905"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the batch holds (-want +got):\n%s", diff)
	}
}
