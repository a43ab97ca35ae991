package capture

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memsource"
)

var (
	document = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText}, {Name: "body", Kind: syncline.KindText}}}
	trail = &syncline.Schema{Entity: "trail", Version: -1, Columns: []syncline.Column{{Name: "what", Kind: syncline.KindText}}}
)

// limit is of a log that takes a few rows, and no huge one.
const limit = 16 << 10

func row(id int64, name string, body int) []syncline.Value {
	return []syncline.Value{syncline.Int(id), syncline.Text(name), syncline.Text(strings.Repeat("x", body))}
}

// shape tells what is left of each event: per column its length, "-" where it is unset.
func shape(b *syncline.Batch) []string {
	part := func(values []syncline.Value) string {
		if values == nil {
			return "nil"
		}
		var cols []string
		for _, v := range values {
			switch {
			case v.IsUnset():
				cols = append(cols, "-")
			case len(v.Bytes()) > 20:
				cols = append(cols, "large")
			default:
				cols = append(cols, v.Text())
			}
		}
		return strings.Join(cols, ",")
	}
	var list []string
	for i := range b.Events {
		e := &b.Events[i]
		text := e.Op.String() + " " + part(e.Before) + " > " + part(e.After)
		if e.Stub > 0 {
			text += " stub"
		}
		list = append(list, text)
	}
	return list
}

func TestWhatIsLeftOutOfALargeBatch(t *testing.T) {
	const large = limit - 100 // one of them fits, two do not
	updated := func(before, after []syncline.Value) syncline.Event {
		return syncline.Event{Op: syncline.OpUpdated, Schema: document, Before: before, After: after}
	}
	deleted := syncline.Event{Op: syncline.OpDeleted, Schema: document, Before: row(4, "d", 2*large)}
	created := syncline.Event{Op: syncline.OpCreated, Schema: document, After: row(5, "e", large-500)}
	for _, test := range []struct {
		name   string
		events []syncline.Event
		want   []string
	}{
		{"the old row first", []syncline.Event{updated(row(1, "a", large-900), row(1, "b", large-1000))},
			[]string{"updated 1,-,- > 1,b,large"}},
		{"the key that changed stays", []syncline.Event{updated(row(1, "a", large), row(2, "b", 10))},
			[]string{"updated 1,-,- > 2,b,xxxxxxxxxx"}},
		{"then what did not change", []syncline.Event{updated(row(1, "a", 2*large), row(1, "b", 2*large))},
			[]string{"updated 1,-,- > 1,b,-"}},
		{"no stub where the old row is the culprit", []syncline.Event{updated(nil, row(2, "c", 2*large)), updated(row(1, "a", 2*large), row(1, "b", 10))},
			[]string{"updated nil > 2,-,- stub", "updated 1,-,- > 1,b,xxxxxxxxxx"}},
		{"a stub where both changed", []syncline.Event{updated(row(1, "a", 2*large), row(1, "b", 2*large+1))},
			[]string{"updated 1,-,- > 1,-,- stub"}},
		{"a delete needs its key only", []syncline.Event{deleted}, []string{"deleted 4,-,- > nil"}},
		{"the largest ones only", []syncline.Event{created, updated(nil, row(6, "f", 3*large)), updated(row(7, "g", 30), row(7, "h", 30)), updated(nil, row(8, "i", 2*large))},
			[]string{"created nil > 5,e,large", "updated nil > 6,-,- stub", "updated 7,g,large > 7,h,large", "updated nil > 8,-,- stub"}},
		{"without a key there is nothing left", []syncline.Event{
			{Op: syncline.OpCreated, Schema: trail, After: row(0, "", 2*large)[2:]},
			{Op: syncline.OpDeleted, Schema: trail, Before: row(0, "", 2*large)[2:]}},
			[]string{"created nil > nil stub", "deleted nil > nil stub"}},
	} {
		b := &syncline.Batch{Txns: []syncline.Txn{{Commit: 1}}, Events: test.events}
		smaller, stubs, ok, err := fit(b, limit)
		if err != nil || !ok {
			t.Fatalf("%s: fit = %v, %v", test.name, ok, err)
		}
		if diff := cmp.Diff(test.want, shape(smaller)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		for _, i := range stubs {
			if smaller.Events[i].Stub < 2*large {
				t.Errorf("%s: event %d says %d bytes", test.name, i, smaller.Events[i].Stub)
			}
		}
		if data, err := syncline.AppendBatch(nil, smaller); err != nil || len(data) > limit {
			t.Errorf("%s: %d bytes are left, %v", test.name, len(data), err)
		}
	}
}

// batches returns what the log holds.
func batches(t *testing.T, log *memlog.Log) []*syncline.Batch {
	t.Helper()
	r, err := log.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	var list []*syncline.Batch
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
}

func TestARowThatIsTooLargeDoesNotStopItsSource(t *testing.T) {
	insert := func(id int64, body int) memsource.Change {
		return memsource.Change{Op: syncline.OpCreated, Schema: document, After: row(id, "n", body)}
	}
	s := memsource.NewSystem("db")
	s.Append(memsource.Txn{Changes: []memsource.Change{insert(1, 10), insert(2, 3*limit)}},
		memsource.Txn{Changes: []memsource.Change{insert(3, 10), insert(4, 2*limit), insert(5, 10)}},
		memsource.Txn{Changes: []memsource.Change{insert(6, 10)}})
	s.Advance(1) // what the first copy finds
	log := memlog.New(memlog.Options{MaxBatch: limit}).Log("crm")
	log.FailNext(0, memlog.FaultLost, memlog.FaultAnswerLost) // a stub is tried as it is until it is stored
	c := newCapture(t, log, s, document.Entity)
	run(t, c)
	eventually(t, "the copy was not captured", func() bool { return c.Status().Events >= 2 })
	s.Advance(2)
	eventually(t, "the stream was not captured", func() bool { return c.Status().Events >= 6 })
	if st := c.Status(); st.State != StateRunning {
		t.Errorf("capture is %s, %v", st.State, st.Err)
	}
	var got []string
	var ordinals []uint32
	for _, b := range batches(t, log) {
		got = append(got, shape(b)...)
		for i := range b.Events {
			if b.Chunk == nil {
				ordinals = append(ordinals, b.Events[i].Ordinal)
			}
		}
	}
	want := []string{"snapshot nil > 1,n,xxxxxxxxxx", "snapshot nil > 2,-,- stub", "created nil > 3,n,xxxxxxxxxx", "created nil > 4,-,- stub",
		"created nil > 5,n,xxxxxxxxxx", "created nil > 6,n,xxxxxxxxxx"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{1, 2, 3, 1}, ordinals); diff != "" {
		t.Errorf("ordinals (-want +got):\n%s", diff)
	}
}
