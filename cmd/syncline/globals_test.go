package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/config"
)

func TestServerOnThisMachine(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8484":     "http://127.0.0.1:8484",
		"0.0.0.0:9000":       "http://127.0.0.1:9000",
		":9000":              "http://127.0.0.1:9000",
		"[::]:9000":          "http://[::1]:9000",
		"[::1]:9000":         "http://[::1]:9000",
		"sync.internal:9000": "http://sync.internal:9000",
		"nonsense":           "http://127.0.0.1:8484",
	} {
		if got := local(config.HTTP{Listen: listen}); got != want {
			t.Errorf("local(%s) = %s, want %s", listen, got, want)
		}
	}
	if got, want := local(config.HTTP{Listen: "0.0.0.0:1", TLS: &config.TLS{}}), "https://127.0.0.1:1"; got != want {
		t.Errorf("local with TLS = %s, want %s", got, want)
	}
}

// TestCommandsAskTheServerOfTheConfiguration: without --server and SYNCLINE_SERVER the address is that of the file, whatever else is in it.
func TestCommandsAskTheServerOfTheConfiguration(t *testing.T) {
	t.Setenv("SYNCLINE_SERVER", "")
	p := newProgram(t, shopConfig)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	out, _ := p.command(exitOK, "status", "-c", p.config)
	if !strings.Contains(out, "report") {
		t.Errorf("status prints:\n%s", out)
	}
	edited := p.edited("< 10", "< 5", `"sqlite:shop.db"`, `"${NOWHERE_HERE}"`)
	if _, talk := p.command(exitConfig, "plan", "-c", edited); !strings.Contains(talk, "NOWHERE_HERE") || strings.Contains(talk, "no server runs") {
		t.Errorf("plan has not asked the server: %s", talk)
	}
	if out, _ := p.command(exitOK, "plan", "-c", p.edited("< 10", "< 5")); !strings.Contains(out, "rule cheap: changed") {
		t.Errorf("plan prints:\n%s", out)
	}
	p.command(exitConfig, "status", "-c", filepath.Join(p.dir, "nothing.yaml"))
	t.Chdir(p.dir) // with the file by its default name
	p.command(exitOK, "routes")
	t.Setenv("SYNCLINE_SERVER", "http://127.0.0.1:1")
	p.command(exitUnreachable, "routes")
}

// TestACutConfigurationIsNotApplied: a file that ends before its rules would take all of them away.
func TestACutConfigurationIsNotApplied(t *testing.T) {
	p := newProgram(t, shopConfig)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "rules:")
	path := filepath.Join(t.TempDir(), "cut.yaml")
	for _, rest := range []string{"", "rules:\n"} {
		if err := os.WriteFile(path, []byte(head+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"plan", "apply"} {
			if _, talk := p.command(exitFailed, command, "-c", path, "--server", p.url()); !strings.Contains(talk, "rules_missing") || !strings.Contains(talk, "rules: []") {
				t.Errorf("%s of a file that ends with %q: %s", command, rest, talk)
			}
		}
	}
	if routes, err := p.client().Routes(t.Context()); err != nil || len(routes) != 2 {
		t.Errorf("routes = %+v, %v", routes, err)
	}
	if err := os.WriteFile(path, []byte(head+"rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command(exitOK, "apply", "-c", path, "--server", p.url())
	if routes, err := p.client().Routes(t.Context()); err != nil || len(routes) != 0 {
		t.Errorf("routes after a configuration that says so = %+v, %v", routes, err)
	}
}

// TestCheckFindsThatATokenIsMissing: what would refuse to start is found by run --check, which makes nothing.
func TestCheckFindsThatATokenIsMissing(t *testing.T) {
	dir := t.TempDir()
	makeShop(t, filepath.Join(dir, "shop.db"))
	path := filepath.Join(dir, "syncline.yaml")
	text := "version: 1\nhttp: {listen: \"0.0.0.0:0\"}\n" + shopConfig
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(code int) string {
		t.Helper()
		var out, talk strings.Builder
		if got := run(t.Context(), []string{"run", "--check", "-c", path}, &out, &talk); got != code {
			t.Fatalf("run --check: exit code %d, want %d\n%s%s", got, code, out.String(), talk.String())
		}
		return out.String()
	}
	if out := check(exitUnreachable); !strings.Contains(out, "insecure_listen") || !strings.Contains(out, "syncline token create") {
		t.Errorf("run --check without a token prints:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "syncline-data")); !os.IsNotExist(err) {
		t.Errorf("run --check has made a state store: %v", err)
	}
	var out, talk strings.Builder
	if got := run(t.Context(), []string{"token", "create", "--role", "admin", "--name", "ada", "-c", path}, &out, &talk); got != exitOK {
		t.Fatalf("token create: exit code %d\n%s", got, talk.String())
	}
	if out := check(exitOK); !strings.Contains(out, "can be served on 0.0.0.0:0") {
		t.Errorf("run --check with a token prints:\n%s", out)
	}
}
