package redis

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"syncline"
)

// strayKeys lists the strays of an object, marked with + where they are records.
func strayKeys(t *testing.T, target *Target, object string) string {
	t.Helper()
	found := make(map[string]int)
	err := target.Strays(t.Context(), object, customer, func(_ int, list []syncline.Stray) error {
		for _, s := range list {
			k, _ := s.Row.Key()
			mark := ""
			if s.Record {
				mark = "+"
			}
			found[string(k)+mark]++
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Strays(%s): %v", object, err)
	}
	for k, n := range found {
		if n > 1 {
			t.Errorf("%s is told %d times", k, n)
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), " ")
}

// TestStraysAreWhatNoRouteHasWritten under the prefix of an object, of the type that its records have, and not another object's.
func TestStraysAreWhatNoRouteHasWritten(t *testing.T) {
	for _, format := range []Format{JSON, Hash} {
		t.Run(string(format), func(t *testing.T) {
			name := fmt.Sprintf("stray%s%d", format, instances.Add(1))
			o := Options{Objects: map[string]Object{name: {Format: format}, name + ":old": {Format: format}, name + "[x]": {Format: format}}}
			r := newRig(t, o)
			c := client(t, server)
			set := func(key string, fields ...string) {
				t.Helper()
				var err error
				switch {
				case format == Hash:
					err = c.HSet(t.Context(), key, fields).Err()
				case len(fields) == 1:
					err = c.Set(t.Context(), key, fields[0], 0).Err()
				default:
					err = c.Set(t.Context(), key, `{"id": `+fields[1]+`, "name": "x"}`, 0).Err()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r.Write(put(name, 1, "a", 10), put(name, 2, "b", 10), put(name+":old", 5, "c", 10), del(name, 8, 10), put(name+"[x]", 6, "d", 10))
			if got := strayKeys(t, r.Target, name); got != "" {
				t.Errorf("strays among what was written = %s", got)
			}
			set(name+":3", "id", "3")     // a record
			set(name+":4", "id", "44")    // another one's
			set(name+":8", "id", "8")     // where one was deleted
			set(name+":word", "id", "9")  // where no record can be
			set(name+":old:7", "id", "7") // another object's
			set(name+"[x]:9", "id", "9")
			if format == Hash {
				set(name+":10", "count", "3")
			} else {
				set(name+":10", "count")
			}
			if err := c.LPush(t.Context(), name+":11", "a list").Err(); err != nil {
				t.Fatal(err)
			}
			for object, want := range map[string]string{name: "10 3+ 4 8+", name + ":old": "7+", name + "[x]": "9+"} {
				if got := strayKeys(t, r.Target, object); got != want {
					t.Errorf("strays of %s = %s, want %s", object, got, want)
				}
			}
			// A route that writes there makes it its own.
			r.Write(put(name, 3, "a", 20), put(name, 4, "a", 20))
			if got, want := strayKeys(t, r.Target, name), "10 8+"; got != want {
				t.Errorf("strays after a write = %s, want %s", got, want)
			}
		})
	}
}

// TestStraysAmongManyKeys are found on each page, once.
func TestStraysAmongManyKeys(t *testing.T) {
	r := newRig(t, Options{})
	c := client(t, server)
	crowd := fmt.Sprintf("crowd%d", instances.Add(1))
	var changes []syncline.Change
	for i := range int64(3000) {
		changes = append(changes, put(crowd, i, "n", 5))
	}
	r.Write(changes...)
	var want []string
	for i := range 40 {
		key := strconv.Itoa(9000 + i)
		want = append(want, key+"+")
		if err := c.Set(t.Context(), crowd+":"+key, `{"id": `+key+`}`, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := strayKeys(t, r.Target, crowd); got != strings.Join(want, " ") {
		t.Errorf("strays = %s", got)
	}
}

// TestNoStraysWithoutAPrefix: nothing tells such keys from anybody's.
func TestNoStraysWithoutAPrefix(t *testing.T) {
	r := newRig(t, Options{Objects: map[string]Object{"bare": {KeyTemplate: "{id}:bare"}}})
	err := r.Target.Strays(t.Context(), "bare", customer, func(int, []syncline.Stray) error { return nil })
	if syncline.CodeOf(err) != "redis_no_prefix" {
		t.Errorf("Strays = %v", err)
	}
}

// TestPlaces: the way from a record to its key leads back.
func TestPlaces(t *testing.T) {
	pair := &syncline.Schema{Entity: "pair", Key: []int{0, 1}, Columns: []syncline.Column{{Name: "a", Kind: syncline.KindText}, {Name: "b", Kind: syncline.KindText}}}
	texts := []string{"x", "", "x:y", "a,b", "100%", "ü", ":", "x:", "}"}
	for _, template := range []string{"p:{a}:{b}", "p:{key}", "{object}/{a}/{b}/end", "{{t}}p:{b}:{a}", "p:{a}::{b}"} {
		ob, err := newObject("obj", Object{KeyTemplate: template})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range texts {
			for _, b := range texts {
				row := syncline.Row{Schema: pair, Values: []syncline.Value{syncline.Text(a), syncline.Text(b)}}
				key, err := ob.appendKey(nil, row)
				if err != nil {
					t.Fatalf("%s: %v", template, err)
				}
				was, _ := row.Key()
				back, ok := ob.rowOf(pair, string(key))
				if is, _ := back.Key(); !ok || is != was {
					t.Errorf("%s: %q is the place of %q (%v), want %q", template, key, is, ok, was)
				}
			}
		}
		if _, ok := ob.rowOf(pair, "p"); ok {
			t.Errorf("%s: p is the place of a record", template)
		}
	}
}

// TestStraysUnderALongerPrefix are the other object's, also where the key of this one could be spelled so.
func TestStraysUnderALongerPrefix(t *testing.T) {
	named := &syncline.Schema{Entity: "named", Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindText}}}
	name := fmt.Sprintf("long%d", instances.Add(1))
	r := newRig(t, Options{})
	r.Write(put(name, 1, "a", 10), put(name+":old", 1, "b", 10))
	for _, key := range []string{":new:7", ":old:7"} {
		if err := client(t, server).Set(t.Context(), name+key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for object, want := range map[string]string{name: "new:7", name + ":old": "7"} {
		var got []string
		err := r.Target.Strays(t.Context(), object, named, func(_ int, found []syncline.Stray) error {
			for _, s := range found {
				k, _ := s.Row.Key()
				got = append(got, string(k))
			}
			return nil
		})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("strays of %s = %v, %v, want %s", object, got, err, want)
		}
	}
}
