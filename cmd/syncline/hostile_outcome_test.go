package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"syncline/internal/hostile"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// failed lists the tasks that wait for a person.
func (w *hostileWorld) failed() []ops.Task {
	w.t.Helper()
	tasks, err := w.client().TaskPages(w.t.Context(), ops.TaskQuery{Choice: ops.Choice{Status: state.TaskFailed}})
	if err != nil {
		w.t.Fatal(err)
	}
	return tasks.Items
}

// parked returns the codes of failed tasks by route and key.
func (w *hostileWorld) parked() map[string]map[string]string {
	w.t.Helper()
	out := map[string]map[string]string{}
	for _, task := range w.failed() {
		if out[task.Route] == nil {
			out[task.Route] = map[string]string{}
		}
		out[task.Route][task.Key] = task.Code
	}
	return out
}

// verify compares every rule whose target can be read: nothing may differ but what is parked.
func (w *hostileWorld) verify(stage string) {
	w.t.Helper()
	v, err := w.client().StartVerification(w.t.Context(), ops.VerificationRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	v = w.ended(v.ID)
	parked := w.parked()
	for _, p := range v.Parts {
		if strings.HasSuffix(p.Rule, "-hook") || strings.HasPrefix(p.Rule, "app-") { // nobody can read them
			continue
		}
		if p.Error != "" || p.Differences() != 0 || p.Unsettled != 0 || p.Parked+p.Held != int64(len(parked[p.Route])) {
			w.t.Errorf("%s: verify of %s = %s %+v, %d are parked", stage, p.Rule, p.Error, p.Tally, len(parked[p.Route]))
		}
	}
	list, err := w.client().Differences(w.t.Context(), v.ID, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range list[:min(len(list), 40)] {
		w.t.Errorf("%s: %s of %.60s %s %v", stage, d.Rule, d.Key, d.Kind, d.Fields)
	}
}

// outcomes tells what became of each value of a source, one paragraph for each.
func (w *hostileWorld) outcomes(system string, columns []hostile.Column, refused map[string]string) string {
	w.t.Helper()
	lite, err := sql.Open("sqlite", "file:"+w.lite+"?mode=ro")
	if err != nil {
		w.t.Fatal(err)
	}
	defer lite.Close() //nolint:errcheck // it was only read
	parked := w.parked()
	var out strings.Builder
	for _, c := range w.known(columns) {
		for i, in := range c.Values {
			id, object := recordID(c.Name, i), system+"_v"
			fmt.Fprintf(&out, "%s %s\n", id, brief(in))
			if refused[id] != "" {
				fmt.Fprintf(&out, "    refused   %s\n", refused[id])
				continue
			}
			holds := func(target, value string, err error) string {
				if code := parked[system+"-v-"+target][id]; code != "" {
					return "parked " + code
				}
				if err != nil {
					return err.Error()
				}
				return value
			}
			var text, stored string
			err := w.dw.QueryRow(w.t.Context(), fmt.Sprintf("SELECT coalesce(%q::text, 'NULL') FROM %s WHERE id = $1", c.Name, object), id).Scan(&text)
			fmt.Fprintf(&out, "    postgres  %s\n", brief(holds("dw", text, err)))
			err = lite.QueryRowContext(w.t.Context(), fmt.Sprintf("SELECT typeof(%q) || ' ' || CASE WHEN typeof(%[1]q) = 'text' AND instr(%[1]q, char(0)) = 0 THEN %[1]q ELSE iif(typeof(%[1]q) IN ('text', 'blob'), hex(%[1]q), quote(%[1]q)) END FROM %[2]s WHERE id = ?",
				c.Name, object), id).Scan(&stored)
			fmt.Fprintf(&out, "    sqlite    %s\n", brief(holds("lite", stored, err)))
			document := holds("hook", string(w.hook.of(object, id)[c.Name]), nil)
			fmt.Fprintf(&out, "    document  %s\n", brief(document))
			// The other targets hold the document; those that cannot be looked into are compared by verify.
			var members map[string]json.RawMessage
			whole, err := w.red.Get(w.t.Context(), object+":"+id).Bytes()
			if err == nil {
				err = json.Unmarshal(whole, &members)
			}
			if got := holds("cache", string(members[c.Name]), err); got != document {
				fmt.Fprintf(&out, "    redis     %s\n", brief(got))
			}
			for _, target := range []string{"hash", "kv", "find"} {
				got := holds(target, "", nil)
				if is := strings.HasPrefix(document, "parked "); is && got != document || !is && got != "" {
					fmt.Fprintf(&out, "    %-9s %s\n", target, cmp.Or(got, "held"))
				}
			}
		}
	}
	return out.String()
}

// brief keeps a text on a line.
func brief(s string) string {
	if len(s) > 160 {
		n := 60
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = fmt.Sprintf("%s… (%d bytes, %x)", s[:n], len(s), sha256.Sum256([]byte(s)))[:n+40]
	}
	s = fmt.Sprintf("%q", s)
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
}

// since leaves out what the server's version has no values for.
func (w *hostileWorld) since(text string, columns []hostile.Column) string {
	for _, c := range columns {
		if !slices.ContainsFunc(w.known(columns), func(k hostile.Column) bool { return k.Name == c.Name }) {
			var kept []string
			skip := false
			for _, line := range strings.SplitAfter(text, "\n") {
				if !strings.HasPrefix(line, " ") {
					skip = strings.HasPrefix(line, c.Name+".")
				}
				if !skip {
					kept = append(kept, line)
				}
			}
			text = strings.Join(kept, "")
		}
	}
	return text
}

// tell asks for everything that waits, and for its record, as a person would: there is an answer, with the code that the task has.
func (w *hostileWorld) tell() {
	w.t.Helper()
	explained := map[string]bool{}
	for _, task := range w.failed() {
		one, err := w.client().Task(w.t.Context(), task.ID)
		if err != nil || one.Code != task.Code || one.Record == nil || !json.Valid(one.Record.After) {
			w.t.Errorf("task of %s on %s = %+v, %v", task.Key, task.Route, one.Code, err)
		}
		record := ops.ExplainDraft{ExplainQuery: ops.ExplainQuery{Entity: task.Source + "/" + task.Entity, Key: task.Key}}
		if explained[record.Entity+record.Key] {
			continue
		}
		explained[record.Entity+record.Key] = true
		x, err := w.client().Explain(w.t.Context(), record)
		if err != nil || len(x.Events) == 0 || len(x.Rules) != len(hostileTargets) {
			w.t.Errorf("explain %s of %s: %d events, %d rules, %v", task.Key, record.Entity, len(x.Events), len(x.Rules), err)
		}
	}
	if len(explained) == 0 {
		w.t.Error("nothing waits")
	}
}

// retryAll has every failed task tried once more, and waits until each was.
func (w *hostileWorld) retryAll() {
	w.t.Helper()
	before := map[string]time.Time{}
	for _, task := range w.failed() {
		before[task.ID] = task.Updated
	}
	if _, err := w.client().RetryTasks(w.t.Context(), ops.Selection{Choice: ops.Choice{Status: state.TaskFailed}}, "another try"); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "each task was tried", func(context.Context) error {
		tried := 0
		for _, task := range w.failed() {
			if at, ok := before[task.ID]; ok && task.Updated.After(at) {
				tried++
			}
		}
		if tried < len(before) {
			return fmt.Errorf("%d of %d", tried, len(before))
		}
		return nil
	})
}
