package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	"syncline/internal/hostile"
)

// strangeNames are those of the columns of a table with names that have to be quoted everywhere; the first is its key.
var strangeNames = []string{`Order "No" 'x'`, "select", "UPPER", "a.b", "a,b", "%s", "$1", "?", "ключ", "tab\t", "_id", "_key", "{key}", "a;b", `back\slash`,
	"x123456789x123456789x123456789x123456789x123456789x123456789xyz"}

// strangeTable is called so, in SQL, where there are no schemas.
const strangeTable = `"T; DROP TABLE v; --' ü"`

// strangeObject is what the table of a source is called at SQL targets.
func strangeObject(system string) string { return `"` + system + `; DROP TABLE crm_v; --"" ü"` }

// strangeRecord is the only record of a source's table, by name. Names of pushed fields have no control characters.
func strangeRecord(system string) map[string]any {
	record := map[string]any{strangeNames[0]: 1}
	for i, name := range strangeNames[1:] {
		if system != "app" || !strings.Contains(name, "\t") {
			record[name] = string(rune('a' + i))
		}
	}
	return record
}

// makeStrange makes the table with its record.
func makeStrange(table string, exec func(string)) {
	columns, values := []string{sqlName(strangeNames[0]) + " int NOT NULL PRIMARY KEY"}, []string{"1"}
	for i, name := range strangeNames[1:] {
		columns, values = append(columns, sqlName(name)+" text"), append(values, fmt.Sprintf("'%c'", 'a'+i))
	}
	exec("CREATE TABLE " + table + " (" + strings.Join(columns, ", ") + ")")
	exec("INSERT INTO " + table + " VALUES (" + strings.Join(values, ", ") + ")")
}

func sqlName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// pushStrange sends the record with strange names as an event.
func (w *hostileWorld) pushStrange() {
	w.t.Helper()
	event, err := json.Marshal(map[string]any{"specversion": "1.0", "id": "strange", "source": "app", "type": "strange.created", "data": strangeRecord("app")})
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := http.Post(w.url()+"/v1/events", "application/cloudevents+json", bytes.NewReader(event))
	if err != nil || res.StatusCode != http.StatusAccepted {
		w.t.Fatalf("POST of strange names = %v, %v", res, err)
	}
	_ = res.Body.Close()
}

// strange compares the record with strange names, as it came from each source, by what PostgreSQL and Redis hold of it.
func (w *hostileWorld) strange() {
	w.t.Helper()
	for _, system := range []string{"crm", "file", "till", "app"} {
		want, err := json.Marshal(strangeRecord(system))
		if err != nil {
			w.t.Fatal(err)
		}
		w.holdsStrange(system, string(want))
	}
}

func (w *hostileWorld) holdsStrange(system, want string) {
	w.t.Helper()
	var same, cached bool
	err := w.dw.QueryRow(w.t.Context(), "SELECT to_jsonb(t) = $1::jsonb FROM "+strangeObject(system)+" t", want).Scan(&same)
	if err != nil || !same {
		w.t.Errorf("strange names of %s at PostgreSQL: the same is %v, %v", system, same, err)
	}
	text, err := w.red.Get(w.t.Context(), system+"_strange:1").Result()
	if err == nil {
		err = w.dw.QueryRow(w.t.Context(), "SELECT $1::jsonb = $2::jsonb", text, want).Scan(&cached)
	}
	if err != nil || !cached {
		w.t.Errorf("strange names of %s at Redis are %.500s, %v", system, text, err)
	}
}

// keys compares the records with strange keys by what PostgreSQL and Redis hold of them.
func (w *hostileWorld) keys(n int) {
	w.t.Helper()
	want, err := table(w.t.Context(), w.src, "id, n", "k")
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := table(w.t.Context(), w.dw, "id, n", "crm_k")
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		w.t.Errorf("keys at PostgreSQL, %v (-source +target):\n%s", err, diff)
	}
	names, err := w.red.Keys(w.t.Context(), "crm_k:*").Result()
	if err != nil || len(names) != len(hostile.Keys) {
		w.t.Errorf("the cache has %d keys, %v, want %d", len(names), err, len(hostile.Keys))
	}
	held := map[string]bool{}
	for _, name := range names {
		text, err := w.red.Get(w.t.Context(), name).Bytes()
		var record struct {
			ID string
			N  int
		}
		if err = errors.Join(err, json.Unmarshal(text, &record)); err != nil || record.N != n {
			w.t.Errorf("the record of %.60q is %.100s, %v", name, text, err)
		}
		held[record.ID] = true
	}
	ids, err := table(w.t.Context(), w.src, "md5(id)", "k")
	if err != nil || len(held) != len(ids) {
		w.t.Errorf("the cache has %d records, %v, want %d", len(held), err, len(ids))
	}
	w.strange()
}
