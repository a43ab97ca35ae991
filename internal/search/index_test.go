package search

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var product = &syncline.Schema{Entity: "product", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "sku", Kind: syncline.KindText},
	{Name: "name", Kind: syncline.KindText, Nullable: true},
	{Name: "price", Kind: syncline.KindDecimal, Nullable: true},
	{Name: "added", Kind: syncline.KindTimestampTZ, Nullable: true},
	{Name: "sold", Kind: syncline.KindBool, Nullable: true},
	{Name: "extra", Kind: syncline.KindJSON, Nullable: true},
	{Name: "_id", Kind: syncline.KindText, Nullable: true},
}}

func productPut(sku, name, price, added, extra string) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: "product", Order: syncline.Order{Epoch: 1, Seq: 5}, Row: syncline.Row{Schema: product, Values: []syncline.Value{
		syncline.Text(sku), syncline.Text(name), syncline.Decimal(price), syncline.Raw(syncline.KindTimestampTZ, []byte(added)),
		syncline.Bool(sku == "A-1"), syncline.JSON([]byte(extra)), syncline.Text("mongo")}}}
}

func TestSearch(t *testing.T) {
	d := directory(t, t.TempDir())
	r := newRig(t, d, Options{Objects: []string{"product"}, Route: "r"})
	gone := productPut("D-4", "手机 to be deleted", "1", "2024-01-01 00:00:00+00", `{}`)
	r.Write(
		productPut("A-1", "华为手机 保护壳", "12.50", "2024-03-01 10:00:00+00", `{"tags":["red","新品"],"size":{"w":7}}`),
		productPut("B-2", "Trail Shoes Größe 42", "-99.90", "2024-05-01 10:00:00+00", `["blue"]`),
		productPut("C-3", "東京タワー ﾎﾟｽﾀｰ", "NaN", "infinity", `"text"`),
		gone)
	gone.Op, gone.Order.Seq = syncline.ChangeDelete, 6
	r.Write(gone)
	ix, err := d.Index("product")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		want  []syncline.Key
	}{
		{"手机", []syncline.Key{"A-1"}},
		{"保护", []syncline.Key{"A-1"}},
		{"タワー", []syncline.Key{"C-3"}},
		{"ポスター", []syncline.Key{"C-3"}},
		{"shoes", []syncline.Key{"B-2"}},
		{"name:GRÖSSE", nil},
		{"name:größe", []syncline.Key{"B-2"}},
		{`"trail shoes"`, []syncline.Key{"B-2"}},
		{`"shoes trail"`, nil},
		{"_key:A-1", []syncline.Key{"A-1"}},
		{"price:>10", []syncline.Key{"A-1"}},
		{"price:<0", []syncline.Key{"B-2"}},
		{`added:>="2024-04-01"`, []syncline.Key{"B-2"}},
		{"sold:true", []syncline.Key{"A-1"}},
		{"extra:新品", []syncline.Key{"A-1"}},
		{"extra:7", []syncline.Key{"A-1"}},
		{"extra:blue", []syncline.Key{"B-2"}},
		{"*", []syncline.Key{"A-1", "B-2", "C-3"}},
		{"-手机", []syncline.Key{"B-2", "C-3"}},
		{"mongo", nil},
		{"nothing", nil},
	} {
		hits, err := ix.Search(t.Context(), c.query, 10)
		if err != nil {
			t.Errorf("Search(%s): %v", c.query, err)
			continue
		}
		var keys []syncline.Key
		for _, h := range hits {
			keys = append(keys, h.Key)
		}
		slices.Sort(keys)
		if diff := cmp.Diff(c.want, keys); diff != "" {
			t.Errorf("Search(%s) (-want +got):\n%s", c.query, diff)
		}
	}
	hits, err := ix.Search(t.Context(), "_key:A-1", 1)
	want := `{"sku":"A-1","name":"华为手机 保护壳","price":12.50,"added":"2024-03-01T10:00:00Z","sold":true,"extra":{"tags":["red","新品"],"size":{"w":7}},"_id":"mongo"}`
	if err != nil || len(hits) != 1 || string(hits[0].Document) != want {
		t.Errorf("the hit's document = %+v, %v, want %s", hits, err, want)
	}
	if _, err := ix.Search(t.Context(), `price:>`, 1); syncline.CodeOf(err) != "search_query" || syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("Search of a malformed query = %v, want search_query", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ix.Search(ctx, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Search with a cancelled context = %v", err)
	}
}

// TestRecordsAndCursorAreOneBatch counts what reaches the index: a crash falls between batches, never inside one.
func TestRecordsAndCursorAreOneBatch(t *testing.T) {
	r := newRig(t, directory(t, t.TempDir()), Options{Objects: []string{"c"}, Route: "r"})
	batches := func() any { return r.home.bleve.StatsMap()["index"].(map[string]any)["batches"] }
	before := batches().(uint64)
	r.Write(put("c", 1, "a", 5), put("c", 2, "b", 5), del("c", 1, 6), truncate("c", 7), put("c", 3, "c", 8))
	r.Write()
	if got := batches().(uint64) - before; got != 2 {
		t.Errorf("two Writes made %d batches, want 2", got)
	}
}

func TestTruncateLeavesWhatIsNewer(t *testing.T) {
	d := directory(t, t.TempDir())
	r := newRig(t, d, Options{Objects: []string{"c"}, Route: "r"})
	r.Write(put("c", 1, "newer", 30), put("other", 1, "kept", 10), put("c", 2, "old", 10), del("c", 3, 10))
	r.Write(put("c", 4, "in the same write", 19), truncate("c", 20), put("c", 2, "after", 21))
	if diff := cmp.Diff(map[string]string{"1": "newer", "2": "after"}, r.Names("c")); diff != "" {
		t.Errorf("records after truncate (-want +got):\n%s", diff)
	}
	if got := r.Names("other"); len(got) != 1 {
		t.Errorf("records of another object = %v", got)
	}
	res := r.Write(put("c", 4, "risen", 19), put("c", 5, "risen", 19), put("c", 3, "new", 21), truncate("c", 12))
	want := []syncline.Outcome{syncline.OutcomeStale, syncline.OutcomeStale, syncline.OutcomeApplied, syncline.OutcomeApplied}
	if diff := cmp.Diff(want, res.Outcomes); diff != "" {
		t.Errorf("outcomes after truncate (-want +got):\n%s", diff)
	}
	if got := len(r.Names("c")); got != 3 {
		t.Errorf("records after an old truncate = %d, want 3", got)
	}
	if got := r.Write(put("c", 6, "risen", 19)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("what the newer of two truncates removed = outcome %d, want stale", got)
	}
}

func TestTombstonesAreForgottenInTime(t *testing.T) {
	for _, c := range []struct {
		keep time.Duration
		want syncline.Outcome
	}{{time.Hour, syncline.OutcomeStale}, {time.Nanosecond, syncline.OutcomeApplied}} {
		d := directory(t, t.TempDir())
		r := newRig(t, d, Options{Objects: []string{"c"}, Route: "r", Tombstone: c.keep})
		r.Write(put("c", 1, "a", 10), put("c", 2, "b", 10))
		r.Write(del("c", 1, 11), del("c", 2, 11))
		r.Write(put("c", 2, "back", 12))
		ix, err := d.Index("c")
		if err != nil {
			t.Fatal(err)
		}
		ix.purged = time.Time{}
		poll(t, "the purge", func() bool {
			r.Write(put("c", 3, "n", r.Cursor.Seq+20))
			n, err := ix.bleve.DocCount()
			return err == nil && (n == 2) == (c.want == syncline.OutcomeApplied)
		})
		res := r.Write(put("c", 1, "late", 9), put("c", 2, "late", 9))
		if diff := cmp.Diff([]syncline.Outcome{c.want, syncline.OutcomeStale}, res.Outcomes); diff != "" {
			t.Errorf("old changes behind tombstones kept for %s (-want +got):\n%s", c.keep, diff)
		}
	}
}

// poll waits until done, for at most ten seconds.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not after ten seconds", what)
		}
	}
}

// TestRoutesShareAnIndex lets two routes write the same records in opposite order, beside searches.
func TestRoutesShareAnIndex(t *testing.T) {
	d := directory(t, t.TempDir())
	a, b := newRig(t, d, Options{Objects: []string{"c"}, Route: "a"}), newRig(t, d, Options{Objects: []string{"other"}, Route: "b"})
	const rounds = 10
	write := func(r *rig, from, step int) error {
		for n := range rounds {
			seq := syncline.Seq(from + step*n)
			var changes []syncline.Change
			for k := range int64(20) {
				changes = append(changes, put("c", k, fmt.Sprint("by ", seq), seq), put("other", k, fmt.Sprint("by ", seq), seq))
			}
			if _, err := r.Try(false, changes...); err != nil {
				return err
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	var errs [3]error
	wg.Go(func() { errs[0] = write(a, 100, 2) })
	wg.Go(func() { errs[1] = write(b, 99+2*rounds, -2) })
	wg.Go(func() {
		for range rounds {
			ix, err := d.Index("c")
			if err == nil {
				_, err = ix.Search(t.Context(), "by", 5)
			}
			errs[2] = errors.Join(errs[2], err)
		}
	})
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{"c", "other"} {
		for k, v := range a.Names(object) {
			if want := fmt.Sprint("by ", 99+2*rounds); v != want {
				t.Errorf("%s %s = %q, want %q", object, k, v, want)
			}
		}
	}
}

func TestDirectoryTroubles(t *testing.T) {
	path := t.TempDir()
	if _, err := Open(filepath.Join(path, "file", "sub")); err != nil {
		t.Errorf("Open makes the directories above: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(path, "plain")); syncline.CodeOf(err) != "search_directory" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Open of a file = %v, want search_directory", err)
	}

	d := directory(t, path)
	if f := Check(path); len(f) != 1 || f[0].Level != "ok" {
		t.Errorf("Check = %v", f)
	}
	for _, name := range []string{"../up", "a/b", "", "..", "日本"} {
		if _, err := d.Index(name); err != nil {
			t.Errorf("Index(%q): %v", name, err)
		}
	}
	if entries, err := filepath.Glob(filepath.Join(path, "*"+suffix)); err != nil || len(entries) != 5 {
		t.Errorf("indexes in the directory = %q, %v, want 5", entries, err)
	}

	// Another process holds the lock: a second directory on the same path stands for it.
	second := directory(t, path)
	if _, err := second.Index("a/b"); syncline.CodeOf(err) != "search_unavailable" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("Index that another process has open = %v, want search_unavailable", err)
	}
	if err := os.MkdirAll(filepath.Join(path, "half"+suffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Index("half"); syncline.CodeOf(err) != "search_damaged" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Index without its files = %v, want search_damaged", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Index("c"); syncline.CodeOf(err) != "search_closed" {
		t.Errorf("Index of a closed directory = %v, want search_closed", err)
	}
}

func TestWritesAfterTheDirectoryIsClosed(t *testing.T) {
	d := directory(t, t.TempDir())
	r := newRig(t, d, Options{Objects: []string{"c"}, Route: "r"})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Try(false, put("c", 1, "n", 5)); err == nil || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("Apply after Close = %v, want transient", err)
	}
	if err := r.Scan(t.Context(), "c", customer, func(syncline.Row) error { return nil }); err == nil {
		t.Error("Scan after Close = nil")
	}
}

func TestCursorThatIsNoCursor(t *testing.T) {
	d := directory(t, t.TempDir())
	r := newRig(t, d, Options{Objects: []string{"c"}, Route: "r"})
	if err := r.home.bleve.SetInternal(r.Target.cursor, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Own(t.Context(), 0); syncline.CodeOf(err) != "cursor_damaged" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Own of a damaged cursor = %v, want cursor_damaged", err)
	}
	r.PlaceOver()
}

func TestChangesThatARecordTargetCannotDo(t *testing.T) {
	newRig(t, directory(t, t.TempDir()), Options{Objects: []string{"c"}, Route: "r"}).RefusesParts()
}

func TestScanPassesItsCallersErrorOn(t *testing.T) {
	r := newRig(t, directory(t, t.TempDir()), Options{Objects: []string{"c"}, Route: "r"})
	r.Write(put("c", 1, "n", 5))
	stop := errors.New("enough")
	if err := r.Scan(t.Context(), "c", customer, func(syncline.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Scan = %v, want the caller's own error", err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("l0000000000000000001"))
	f.Add([]byte("d-000000000000000001"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, term []byte) {
		e, err := parseEntry(term)
		if err != nil {
			return
		}
		if again, err := parseEntry(e.text()); err != nil || again != e {
			t.Errorf("parseEntry(%q) = %+v, and of its text %+v, %v", term, e, again, err)
		}
	})
}

// FuzzRecord indexes any text as any kind: whatever a source holds must neither crash the index nor change on its way.
func FuzzRecord(f *testing.F) {
	d, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	ix, err := d.Index("c")
	if err != nil {
		f.Fatal(err)
	}
	b := newBuilder(ix.bleve.Mapping())
	f.Add(byte(syncline.KindJSON), `[{"a":[1e400,"手机"]}]`)
	f.Add(byte(syncline.KindTimestampTZ), "9999-12-31 23:59:59+00")
	f.Add(byte(syncline.KindText), strings.Repeat("long", 100))
	f.Fuzz(func(t *testing.T, kind byte, text string) {
		k := syncline.Kind(kind)
		if !k.Valid() {
			return
		}
		s := &syncline.Schema{Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "v", Kind: k, Elem: syncline.KindText}}}
		doc := b.record("1", 7, syncline.Row{Schema: s, Values: []syncline.Value{syncline.Int(1), syncline.Raw(k, []byte(text))}})
		batch := ix.bleve.NewBatch()
		if err := batch.IndexAdvanced(doc); err != nil {
			t.Errorf("IndexAdvanced: %v", err)
		}
	})
}
