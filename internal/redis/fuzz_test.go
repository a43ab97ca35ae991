package redis

import (
	"testing"
	"unicode/utf8"

	"syncline"
)

// FuzzParseCursor: a cursor that somebody has changed is read or is damaged.
func FuzzParseCursor(f *testing.F) {
	f.Add("log", "7", "0", "1", "state")
	f.Add("", "-1", "99999999999999999999", "0x1", "\xff")
	f.Fuzz(func(t *testing.T, log, seq, index, epoch, state string) {
		c, s, err := parseCursor([]string{log, seq, index, epoch, state})
		if err != nil {
			if syncline.CodeOf(err) != "cursor_damaged" {
				t.Fatal(err)
			}
			return
		}
		if c.Log != log || s != state {
			t.Fatalf("cursor = %+v, %q", c, s)
		}
	})
}

// FuzzFields: what a hash may hold of a value comes back as the value, by meaning or by its text.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"", "7", "1e400", "NaN", "null", `{"a":1}`, `"x"`, "now", "2024-02-29 23:59:59+00", "{1,NULL}", "a\x00", "\xff"} {
		f.Add(byte(syncline.KindText), byte(syncline.KindText), s)
		f.Add(byte(syncline.KindText), byte(syncline.KindDate), s)
	}
	f.Fuzz(func(t *testing.T, kind, column byte, s string) {
		k, ck := syncline.Kind(kind), syncline.Kind(column)
		if !k.Valid() || !ck.Valid() || k == syncline.KindNull || k == syncline.KindUnset || ck == syncline.KindUnset {
			return
		}
		v := syncline.Raw(k, []byte(s))
		row := syncline.Row{Schema: &syncline.Schema{Columns: []syncline.Column{{Name: "c", Kind: ck}}}, Values: []syncline.Value{v}}
		if (&object{format: Hash}).check(row) != nil {
			return
		}
		fields := appendFields(nil, row)
		back, err := parseFields(row.Schema, map[string]string{"c": string(fields[1].([]byte))})
		if err != nil {
			t.Fatalf("%s in a column of %s: %v", v, ck, err)
		}
		text := k == ck && (k == syncline.KindText || k == syncline.KindRaw || k == syncline.KindBytes)
		if text && utf8.ValidString(s) && !syncline.Equal(back[0], v) {
			t.Fatalf("%s in a column of %s comes back as %s", v, ck, back[0])
		}
	})
}
