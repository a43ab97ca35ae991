package tablefile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
)

// columns of a test: an optional price as a decimal, and a name.
var columns = []Column{{Name: "net.price", Kind: syncline.KindDecimal, Optional: true}, {Name: "name", Kind: syncline.KindText}}

func open(t *testing.T, name, text string, o Options) (*File, error) {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(o.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(o)
}

func TestRows(t *testing.T) {
	for name, text := range map[string]string{
		"list.json":   `[{"sku": 7, "name": "seven", "net": {"price": 1.50}}, {"sku": "x", "name": null}]`,
		"object.json": `{"7": {"name": "seven", "net.price": "ignored", "net": {"price": 1.50}}, "x": {"name": null}}`,
		"table.csv":   "sku,name,net.price\n7,seven,1.50\nx,,\n",
	} {
		f, err := open(t, name, text, Options{Key: "sku", Columns: columns})
		if err != nil {
			t.Fatal(err)
		}
		rows := f.Rows()
		if got, want := fmt.Sprint(rows.Find(syncline.Decimal("7.0"))), "[decimal(1.50) text(seven)]"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if got := rows.Find(syncline.Text("x")); len(got) != 2 || !got[0].IsNull() || got[1].Text() != "" {
			t.Errorf("%s: %v, want nothing of the second", name, got)
		}
		if got := rows.Find(syncline.Text("y")); got != nil {
			t.Errorf("%s: %v for a key that is not there", name, got)
		}
	}
}

func TestWhatIsWrongWithAFileNamesThePlaceAndNoValue(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a.csv", "", "it has no line with the names of its columns"},
		{"a.csv", "sku,name\n", `its first line does not name the column "net.price"`},
		{"a.csv", "sku,name,net.price\ns3cret,a,1\ns3cret,b,2\n", "line 3 has a key that was there before"},
		{"a.csv", "sku,name,net.price\n1,a,s3cret\n", "line 2: "},
		{"a.csv", "sku,name,net.price\n1,s3cret\"b,2\n", "line 2 is not CSV with 3 columns"},
		{"a.csv", "sku,name,net.price\n\"s3cret\n1,a,2\n", "line 3 is not CSV with 3 columns"},
		{"a.csv", "sku,name,net.price\n1,s3cret\n", "line 2 is not CSV with 3 columns"},
		{"a.json", `[{"sku": 1, "net": {"price": 1}}]`, `entry 1 has no field "name"`},
		{"a.json", `[{"name": "s3cret"}]`, `entry 1 has no field "sku"`},
		{"a.json", `{"s3cret": 5}`, "entry 1 by name is no object"},
		{"a.json", `{"s3cret": {"name": "x"}}`, `no entry has a field "net.price"`},
		{"a.json", `"s3cret"`, "it is neither a JSON object nor a list of objects"},
	} {
		_, err := open(t, tt.name, tt.text, Options{Key: "sku", Columns: columns})
		if err == nil || !strings.HasPrefix(err.Error(), "the file "+tt.name+": "+tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Open(%q) = %v, want %s", tt.text, err, tt.want)
		}
	}
}

// TestAFileThatIsAwayIsReportedOnce, and again once it was back.
func TestAFileThatIsAwayIsReportedOnce(t *testing.T) {
	const text = "sku,name,net.price\n7,seven,1\n"
	f, err := open(t, "a.csv", text, Options{Key: "sku", Columns: columns, Reload: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	away := func(want int) {
		t.Helper()
		if err := os.Remove(f.o.Path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if rows := f.Rows(); len(rows) != 1 {
				t.Errorf("%d rows of a file that is away, want the earlier one", len(rows))
			}
		}
		if got := strings.Count(log.String(), "cannot be read again"); got != want {
			t.Errorf("it was reported %d times, want %d:\n%s", got, want, &log)
		}
	}
	away(1)
	if err := os.WriteFile(f.o.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Rows()
	away(2)
}

// TestAChangedFileIsReadAgain, also where it is as long as before; one that is broken is not.
func TestAChangedFileIsReadAgain(t *testing.T) {
	f, err := open(t, "a.csv", "sku,name,net.price\n7,seven,1\n", Options{Key: "sku", Columns: columns, Reload: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	changed := f.changed
	for _, step := range []struct{ text, want string }{
		{"sku,name,net.price\n7,eight,1\n", "[decimal(1) text(eight)]"},
		{"sku,name,net.price\n7,nine,s3cret\n", "[decimal(1) text(eight)]"},
		{"sku,name,net.price\n7,,\n", "[null text()]"},
	} {
		changed = changed.Add(time.Hour)
		if err := errors.Join(os.WriteFile(f.o.Path, []byte(step.text), 0o600), os.Chtimes(f.o.Path, changed, changed)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.Rows().Find(syncline.Int(7))); got != step.want {
			t.Errorf("after %q: %s, want %s", step.text, got, step.want)
		}
	}
}

// TestAFileThatIsTooLargeIsRefused: read up to its bound, it would lack rows.
func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	f, err := open(t, "a.csv", "sku,name,net.price\n7,seven,1\n", Options{Key: "sku", Columns: columns})
	if err == nil {
		err = os.Truncate(f.o.Path, maxSize+1)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.load(); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("load = %v, want it refused for its size", err)
	}
}
