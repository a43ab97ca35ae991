package tablefile

import (
	"testing"

	"syncline"
)

// FuzzFiles: a table of any text is read, each row with a value for each column, or refused.
func FuzzFiles(f *testing.F) {
	f.Add("code,name\nDE,Germany\n", `{"DE":"Germany"}`)
	f.Add("\xef\xbb\xbfcode,name\n\"a\"\"b\",\"x\ny\"\n", `[{"code":"DE","name":1e400}]`)
	f.Add("code\n", `{"a":{"b":[[[]]]}}`)
	f.Add("", "null")
	f.Fuzz(func(t *testing.T, csv, json string) {
		o := Options{Columns: []Column{{Name: "name", Kind: syncline.KindText}}}
		for _, read := range []func(*reader) error{func(r *reader) error { return r.readCSV([]byte(csv)) }, func(r *reader) error { return r.readJSON([]byte(json)) }} {
			r := &reader{Options: &o, rows: make(Rows)}
			if err := read(r); err != nil {
				continue
			}
			for key, values := range r.rows {
				if len(values) != 1 {
					t.Fatalf("the row of %q has %d values", key, len(values))
				}
			}
		}
	})
}
