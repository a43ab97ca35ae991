package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctor: it says what there is to say before a server runs, beside one, of one that is at work on other files, and of files that are no configuration; and
// it makes nothing.
func TestDoctor(t *testing.T) {
	p := newProgram(t, shopConfig)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	doctor := func(code int, args ...string) map[string]string {
		t.Helper()
		out, talk := p.command(code, append([]string{"doctor", "-o", "json", "-c", p.config}, args...)...)
		var list []diagnosis
		if err := json.Unmarshal([]byte(out), &list); err != nil || talk != "" {
			t.Fatalf("doctor prints %s, %v, %s", out, err, talk)
		}
		found := make(map[string]string)
		for _, d := range list {
			found[d.About] += d.Level + " " + d.Code + " " + d.What + "\n"
		}
		return found
	}
	want := func(when string, found map[string]string, about, text string) {
		t.Helper()
		if !strings.Contains(found[about], text) {
			t.Errorf("%s, doctor says of %s: %q, want %q", when, about, found[about], text)
		}
	}
	before := doctor(exitOK)
	want("before a start", before, "configuration", "ok  valid: 2 systems, 2 rules")
	want("before a start", before, "shop", "ok")
	want("before a start", before, "log.dir", "will be made")
	want("before a start", before, "server", "warning server_not_running")
	if _, err := os.Stat(filepath.Join(p.dir, "syncline-data")); !os.IsNotExist(err) {
		t.Errorf("doctor has made a directory: %v", err)
	}

	p.start()
	p.caughtUp()
	p.ready()
	beside := doctor(exitOK)
	want("beside a server", beside, "server", "runs and is ready")
	want("beside a server", beside, "server", "ok  it is at work on this configuration")
	if !strings.Contains(beside["health"], "the disk of the logs has") { // that of the machine, which may be nearly full
		want("beside a server", beside, "health", "ok  healthy")
	}
	want("beside a server", beside, "log.dir", "can be written")
	other := p.edited("price < 10", "price < 11", "sqlite:", "sqlite:"+p.dir+"/")
	found := doctor(exitOK, "-c", other)
	want("with other files", found, "server", "warning other_configuration")

	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, "file")
	for name, test := range map[string]struct {
		text  string
		code  int
		about string
		want  string
	}{
		"a reference that finds nothing": {strings.Replace(string(text), "sqlite:report.db", "${DOCTOR_TEST_NOWHERE}", 1), exitConfig, "configuration", "problem missing_variable"},
		"a log below a file":             {string(text) + "log: {dir: file/log}\n", exitFailed, "log.dir", "problem directory_unwritable"},
		"more than the disk has":         {string(text) + "log: {max_bytes: 900000TB}\n", exitOK, "log.dir", "warning log_disk_small"},
		"no table":                       {strings.Replace(string(text), "table: item", "table: nothing", 1), exitFailed, "shop", "problem"},
	} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.config, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		found := doctor(test.code)
		want(name, found, test.about, test.want)
		want(name, found, "server", "runs and is ready")
	}
}
