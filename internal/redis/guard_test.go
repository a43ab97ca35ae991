package redis

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestTruncateLeavesWhatIsNewerOrForeign(t *testing.T) {
	r := newRig(t, Options{})
	c := client(t, server)
	if err := c.Set(t.Context(), "trunc:foreign", "mine", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Write(put("trunc", 1, "old", 10), put("trunc", 2, "newer", 30), del("trunc", 3, 10), put("other", 1, "kept", 10))
	if _, err := r.Try(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "trunc", Row: syncline.Row{Schema: customer}, Order: syncline.Order{Epoch: 1, Seq: 20}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"2": "newer"}, r.Names("trunc")); diff != "" {
		t.Errorf("records after truncate (-want +got):\n%s", diff)
	}
	if got := r.Names("other"); len(got) != 1 {
		t.Errorf("records of another object = %v", got)
	}
	if v := c.Get(t.Context(), "trunc:foreign").Val(); v != "mine" {
		t.Errorf("foreign key with the object's prefix = %q, want it untouched", v)
	}
	// A replay of what the truncate removed, of a key that it never saw, and what comes after it.
	res := r.Write(put("trunc", 1, "risen", 19), put("trunc", 4, "risen", 19), put("trunc", 3, "new", 21))
	if diff := cmp.Diff([]syncline.Outcome{syncline.OutcomeStale, syncline.OutcomeStale, syncline.OutcomeApplied}, res.Outcomes); diff != "" {
		t.Errorf("outcomes after truncate (-want +got):\n%s", diff)
	}
	// An older one takes nothing back of the newer one.
	if _, err := r.Try(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "trunc", Row: syncline.Row{Schema: customer}, Order: syncline.Order{Epoch: 1, Seq: 12}}); err != nil {
		t.Fatal(err)
	}
	if got := r.Write(put("trunc", 5, "risen", 19)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("what the newer of two truncates removed = outcome %d, want stale", got)
	}
}

func TestTruncateOfManyRecords(t *testing.T) {
	r := newRig(t, Options{})
	var changes []syncline.Change
	for i := range int64(2500) {
		changes = append(changes, put("many", i, "n", 5))
	}
	r.Write(changes...)
	if got := len(r.Names("many")); got != 2500 {
		t.Fatalf("records = %d, want 2500", got)
	}
	if _, err := r.Try(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "many", Row: syncline.Row{Schema: customer}, Order: syncline.Order{Epoch: 1, Seq: 6}}); err != nil {
		t.Fatal(err)
	}
	if got := len(r.Names("many")); got != 0 {
		t.Errorf("records after truncate = %d", got)
	}
}

// until applies a change of another record again and again until done, for at most ten seconds.
func (r *rig) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for seq := syncline.Seq(1000); !done(); seq++ {
		r.Write(put("busy", 1, "n", seq))
		r.Write(put("brief", 99, "n", seq))
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not after ten seconds", what)
		}
	}
}

func TestTombstonesAreForgottenInTime(t *testing.T) {
	for _, c := range []struct {
		keep   time.Duration
		forget bool
	}{{time.Hour, false}, {time.Millisecond, true}} {
		r := newRig(t, Options{Tombstone: c.keep})
		if err := client(t, server).Del(t.Context(), "_syncline_guard:brief", "_syncline_gone:brief", "brief:1", "brief:2").Err(); err != nil {
			t.Fatal(err)
		}
		r.Write(put("brief", 1, "a", 10), put("brief", 2, "b", 10))
		r.Write(del("brief", 1, 11), del("brief", 2, 11))
		r.Write(put("brief", 2, "back", 12))
		if c.forget {
			r.until(t, "the tombstone is gone", func() bool {
				return !client(t, server).HExists(t.Context(), "_syncline_guard:brief", "brief:1").Val()
			})
		}
		got := r.Write(put("brief", 1, "late", 9)).Outcomes[0]
		if (got == syncline.OutcomeApplied) != c.forget {
			t.Errorf("an old change behind a tombstone kept for %s = outcome %d", c.keep, got)
		}
		// A record that came back is not forgotten with its tombstone.
		if got := r.Write(put("brief", 2, "late", 9)).Outcomes[0]; got != syncline.OutcomeStale {
			t.Errorf("an old change of a record that came back = outcome %d, want stale", got)
		}
	}
}

func TestRecordsExpire(t *testing.T) {
	for _, format := range []Format{JSON, Hash} {
		object := "fleeting-" + string(format)
		r := newRig(t, Options{Tombstone: time.Millisecond, Objects: map[string]Object{object: {Format: format, TTL: 20 * time.Millisecond}}})
		c := client(t, server)
		r.Write(put(object, 1, "a", 10))
		if ttl := c.PTTL(t.Context(), object+":1").Val(); ttl <= 0 || ttl > 20*time.Millisecond {
			t.Errorf("%s: time to live = %s, want at most 20ms", format, ttl)
		}
		r.until(t, "the record has expired", func() bool { return len(r.Names(object)) == 0 })
		r.until(t, "its version is forgotten", func() bool {
			r.Write(put(object, 2, "b", 10))
			return !c.HExists(t.Context(), "_syncline_guard:"+object, object+":1").Val()
		})
	}
}

// TestAnExpiredRecordKeepsItsVersion for as long as a tombstone does: an old change does not bring it back.
func TestAnExpiredRecordKeepsItsVersion(t *testing.T) {
	const object = "spent"
	r := newRig(t, Options{Objects: map[string]Object{object: {TTL: 20 * time.Millisecond}}})
	r.Write(put(object, 1, "a", 10))
	r.until(t, "the record has expired", func() bool { return len(r.Names(object)) == 0 })
	if got := r.Write(put(object, 1, "late", 9)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("an old change of a record that has expired = outcome %d, want stale", got)
	}
}

func TestRowsOfASecondRouteShareTheGuard(t *testing.T) {
	a, b := newRig(t, Options{}), newRig(t, Options{})
	a.Write(put("shared", 1, "newer", 20))
	if got := b.Write(put("shared", 1, "older", 19)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("an older change by another route = outcome %d, want stale", got)
	}
	if diff := cmp.Diff(map[string]string{"1": "newer"}, maps.Clone(b.Names("shared"))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestPausedOwnerWritesNothing(t *testing.T) {
	r := newRig(t, Options{})
	if _, _, _, err := r.Own(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []syncline.Change{put("paused", 1, "late", 5), {Op: syncline.ChangeTruncate, Object: "paused", Row: syncline.Row{Schema: customer}}} {
		if _, err := r.Try(true, c); syncline.CodeOf(err) != "fenced" {
			t.Errorf("Apply of a paused owner = %v, want fenced", err)
		}
	}
	if got := r.Names("paused"); len(got) != 0 {
		t.Errorf("records of a paused owner = %v", got)
	}
}

func TestKeyTemplate(t *testing.T) {
	lines := &syncline.Schema{Entity: "line", Key: []int{1, 0}, Version: -1, Columns: []syncline.Column{
		{Name: "no", Kind: syncline.KindInt}, {Name: "doc", Kind: syncline.KindText}, {Name: "text", Kind: syncline.KindText}}}
	row := syncline.Row{Schema: lines, Values: []syncline.Value{syncline.Int(7), syncline.Text("a,b:c"), syncline.Unset}}
	for _, c := range []struct{ template, want, code string }{
		{"", "obj:a%2Cb:c,7", ""},
		{"{key}", "a%2Cb:c,7", ""},
		{"v1/{object}/{key}", "v1/obj/a%2Cb:c,7", ""},
		{"l:{doc}/{no}!", "l:a%2Cb:c/7!", ""},
		{"l:{no}:{doc}", "l:7:a%2Cb:c", ""},
		{"l:{doc}:{no}", "l:a%2Cb%3Ac:7", ""},
		{"l:{doc}b{object}:{no}", "l:a%2C%62:cbobj:7", ""},
		{"l:{doc}:{key}", "l:a%2Cb:c:a%2Cb:c,7", ""},
		{"{doc}:{object}", "", "redis_key_template"},
		{"{doc}{no}", "", "redis_key_template"},
		{"{doc}20{no}", "", "redis_key_template"},
		{"{{crm}}:{key}", "{crm}:a%2Cb:c,7", ""},
		{"l:{doc}", "", "redis_key_template"},
		{"l:{doc}:{text}", "", "redis_key_template"},
		{"l:{none}", "", "redis_key_template"},
		{"l:{doc", "", "redis_key_template"},
		{"l:doc}", "", "redis_key_template"},
		{"l:{}", "", "redis_key_template"},
		{"constant", "", "redis_key_template"},
	} {
		var got []byte
		ob, err := newObject("obj", Object{KeyTemplate: c.template})
		if err == nil {
			got, err = ob.appendKey(nil, row)
		}
		if string(got) != c.want || c.code != "" && (syncline.CodeOf(err) != c.code || syncline.ClassOf(err) != syncline.Fatal) || c.code == "" && err != nil {
			t.Errorf("key by %q = %q, %v, want %q %s", c.template, got, err, c.want, c.code)
		}
	}
	if ob, err := newObject("o", Object{Format: "xml"}); syncline.CodeOf(err) != "redis_format" {
		t.Errorf("newObject with format xml = %v, %v", ob, err)
	}
}

// The texts of two columns may have in them what stands between the columns.
func FuzzTemplateOfTwoColumns(f *testing.F) {
	pair := &syncline.Schema{Entity: "line", Key: []int{0, 1}, Version: -1, Columns: []syncline.Column{{Name: "sku", Kind: syncline.KindText}, {Name: "place", Kind: syncline.KindText}}}
	for _, s := range []string{":", "/", "-item-", "%", "2", "A:", "x", "·", "%3A:", "{object}"} {
		f.Add(s, "A"+s+"1", "2", "A", "1"+s+"2")
		f.Add(s, "A:1", "2", "A", "1:2")
		f.Add(s, "A%3A", "2", "A:", "2")
		f.Add(s, "", s, s, "")
	}
	f.Fuzz(func(t *testing.T, between, a, b, c, d string) {
		ob, err := newObject("o", Object{KeyTemplate: "line:{sku}" + between + "{place}"})
		if err != nil || a == c && b == d {
			return
		}
		one, err := ob.appendKey(nil, syncline.Row{Schema: pair, Values: []syncline.Value{syncline.Text(a), syncline.Text(b)}})
		if err != nil {
			return
		}
		two, err := ob.appendKey(nil, syncline.Row{Schema: pair, Values: []syncline.Value{syncline.Text(c), syncline.Text(d)}})
		if err != nil || string(one) == string(two) {
			t.Errorf("%q between the columns gives (%q, %q) and (%q, %q) the keys %q and %q, %v", between, a, b, c, d, one, two, err)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"customer:{id}", "{{a}}:{id}", "}}{{", "{", "{}", "a{{{id}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ob, err := newObject("o", Object{KeyTemplate: s})
		if err != nil {
			return
		}
		a, errA := ob.appendKey(nil, put("o", 1, "", 1).Row)
		b, errB := ob.appendKey(nil, put("o", 2, "", 1).Row)
		if (errA == nil) != (errB == nil) || errA == nil && string(a) == string(b) {
			t.Errorf("template %q gives two records the keys %q (%v) and %q (%v)", s, a, errA, b, errB)
		}
	})
}

func FuzzField(f *testing.F) {
	f.Add(byte(syncline.KindArray), byte(syncline.KindInt), "[0:1]={1,2}")
	f.Add(byte(syncline.KindTimestampTZ), byte(0), "2024-01-01 00:00:00+00")
	f.Fuzz(func(t *testing.T, kind, elem byte, text string) {
		c := &syncline.Column{Name: "c", Kind: syncline.Kind(kind), Elem: syncline.Kind(elem)}
		if !c.Kind.Valid() {
			return
		}
		v, err := parseField(c, text)
		if err != nil || v.IsNull() || v.IsUnset() || v.Kind() != c.Kind {
			return
		}
		again, err := parseField(c, string(fieldText(c, v)))
		if err != nil || !syncline.Equal(v, again) {
			t.Errorf("%s became %s, %v", v, again, err)
		}
	})
}
