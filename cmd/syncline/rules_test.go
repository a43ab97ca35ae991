package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testedRules = `version: 1
systems:
  crm: {type: sqlite, path: crm.db, capture: {entities: {customer: {}}}}
  dw: {type: sqlite, path: dw.db}
rules:
  - id: customers
    from: crm/customer
    to: dw/customer
    when: 'after.tier != "test"'
    transform: [{rename: {name: customer_name}}]
    tests:
      - {name: moves, event: {after: {id: 1, name: Zoë, tier: gold}}, expect: {id: 1, customer_name: NAME, tier: gold}}
      - {name: stays out, event: {after: {id: 1, tier: test}}, expect: filtered}
`

func TestRules(t *testing.T) {
	dir := t.TempDir()
	file, event := filepath.Join(dir, "syncline.yaml"), filepath.Join(dir, "event.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(event, `{"op": "updated", "after": {"id": 7, "name": "Ann", "tier": "gold"}}`)
	call := func(args ...string) (string, string, int) {
		var out, talk bytes.Buffer
		code := run(t.Context(), append([]string{"-c", file}, args...), &out, &talk)
		return out.String(), talk.String(), code
	}
	write(file, strings.ReplaceAll(testedRules, "NAME", "Zoë"))
	for _, args := range [][]string{{"rules", "test"}, {"rules", "test", "customers"}, {"validate"}} {
		if out, talk, code := call(args...); code != exitOK || !strings.Contains(talk, "2 tests passed") {
			t.Errorf("%v = %d\n%s%s", args, code, out, talk)
		}
	}
	if out, talk, code := call("rules", "try", "customers", "--event", event); code != exitOK || !strings.Contains(out, `+ customer_name: "Ann"`) || !strings.Contains(out, "one record") {
		t.Errorf("rules try = %d\n%s%s", code, out, talk)
	}
	out, _, code := call("rules", "try", "customers", "--event", event, "-o", "json")
	var view struct {
		Matched bool
		Records []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &view); err != nil || code != exitOK || !view.Matched || len(view.Records) != 1 || view.Records[0]["customer_name"] != "Ann" {
		t.Errorf("rules try -o json = %d, %v\n%s", code, err, out)
	}
	if out, _, code := call("rules"); code != exitOK || !strings.Contains(out, "customers") || !strings.Contains(out, "rename") {
		t.Errorf("rules = %d\n%s", code, out)
	}

	write(file, strings.ReplaceAll(testedRules, "NAME", "Zo"))
	for _, args := range [][]string{{"rules", "test"}, {"validate"}, {"validate", "-o", "json"}} {
		if out, talk, code := call(args...); code != exitFailed || !strings.Contains(out, `customer_name: want "Zo", got "Zoë"`) || !strings.Contains(talk, "1 of 2 tests") {
			t.Errorf("%v with a failing test = %d, want %d\n%s%s", args, code, exitFailed, out, talk)
		}
	}
	write(event, `{"event": {"after": {"id": 7}}}`)
	if _, talk, code := call("rules", "try", "customers", "--event", event); code != exitConfig || !strings.Contains(talk, "below `event` by itself") {
		t.Errorf("rules try of an event as in a request = %d\n%s", code, talk)
	}
	write(event, `{"after": 5}`)
	for want, args := range map[int][]string{exitConfig: {"rules", "try", "customers", "--event", event}, exitUsage: {"rules", "try", "nobody", "--event", event}, exitFailed: {"rules", "try", "customers", "--event", event + "x"}} {
		if out, talk, code := call(args...); code != want {
			t.Errorf("%v = %d, want %d\n%s%s", args, code, want, out, talk)
		}
	}
}
