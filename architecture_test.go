package syncline_test

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A kind is a layer of the program. Imports go from a later one to an earlier one, and only as mayImport says.
type kind string

const (
	root      kind = "root"         // the vocabulary and the contracts; standard library only
	pure      kind = "pure"         // no outside system, no loop of its own
	settings  kind = "config"       // nobody below the daemon gets the whole configuration
	connector kind = "connector"    // one for each outside system
	eventLog  kind = "log"          // the only importer of the NATS server
	store     kind = "state"        // the state store
	engine    kind = "engine"       // the loops, what compares, and the API: they meet in the daemon
	composer  kind = "daemon"       // the only one that sees concrete connectors
	program   kind = "program"      // what a person starts
	benchmark kind = "benchmark"    // measures the program, or harms it, from outside; and measures parts of it alone
	support   kind = "test support" // conformance suites, in-memory implementations, servers, the simulation
)

var mayImport = map[kind][]kind{
	root:      {},
	pure:      {root, pure},
	settings:  {root, pure},
	connector: {root, pure},
	eventLog:  {root, pure},
	store:     {root, pure},
	engine:    {root, pure, store},
	composer:  {root, pure, settings, connector, eventLog, store, engine},
	program:   {root, pure, settings, store, engine, composer, program},
	benchmark: {root, pure, settings, eventLog, store, engine, composer, support},
	support:   {root, pure, store, engine, support},
}

// testsMayImport is what the test files of every package may import beside that: real logs and state stores.
var testsMayImport = []kind{support, eventLog, store}

// kinds gives each package its place, by its directory.
var kinds = map[string]kind{
	".": root,

	"internal/access":     pure,
	"internal/alert":      pure,
	"internal/backoff":    pure,
	"internal/cloudevent": pure,
	"internal/dialer":     pure,
	"internal/document":   pure,
	"internal/conflict":   pure,
	"internal/expression": pure,
	"internal/failpoint":  pure,
	"internal/health":     pure,
	"internal/httpclient": pure,
	"internal/javascript": pure,
	"internal/memory":     pure,
	"internal/owner":      pure,
	"internal/packed":     pure,
	"internal/plant":      pure,
	"internal/poll":       pure,
	"internal/pgerror":    pure,
	"internal/pgoutput":   pure,
	"internal/problem":    pure,
	"internal/trial":      pure,
	"internal/rule":       pure,
	"internal/tablefile":  pure,
	"internal/timetable":  pure,
	"internal/transform":  pure,
	"internal/verify":     pure,

	"internal/config": settings,

	"internal/enrich":   connector,
	"internal/httppoll": connector,
	"internal/natskv":   connector,
	"internal/notify":   connector,
	"internal/pgsource": connector,
	"internal/pgtarget": connector,
	"internal/push":     connector,
	"internal/redis":    connector,
	"internal/script":   connector,
	"internal/search":   connector,
	"internal/sqlite":   connector,
	"internal/trace":    connector,
	"internal/webhook":  connector,

	"internal/jetlog": eventLog,
	"internal/state":  store,

	"internal/apply":    engine,
	"internal/between":  engine,
	"internal/capture":  engine,
	"internal/gap":      engine,
	"internal/ops":      engine,
	"internal/schedule": engine,

	"internal/daemon": composer,
	"internal/demo":   program,
	"cmd/syncline":    program,
	"bench":           benchmark,
	"chaos":           benchmark,

	"internal/hostile":    support,
	"internal/logtest":    support,
	"internal/polltest":   support,
	"internal/memlog":     support,
	"internal/memsource":  support,
	"internal/memtarget":  support,
	"internal/sim":        support,
	"internal/sourcetest": support,
	"internal/statetest":  support,
	"internal/targettest": support,
	"internal/testreport": support,
	"internal/testserver": support,
}

// An edge is one import. Both ends are directories of this module, or to is an import path of another one.
type edge struct {
	from, to string
	test     bool // in a test file
}

// exceptions are edges that are right although their kinds forbid them, each with its reason.
var exceptions = map[edge]string{
	{from: "internal/demo", to: "internal/webhook"}:                                       "the receiver of the demo checks signatures as a partner's does",
	{from: "internal/demo", to: "internal/webhook", test: true}:                           "a test sends to that receiver",
	{from: "cmd/syncline", to: "internal/webhook", test: true}:                            "the receiver of the crash test checks signatures as a partner's does",
	{from: "chaos", to: "internal/webhook"}:                                               "the receiver checks signatures as a partner's does",
	{from: "chaos", to: "internal/webhook", test: true}:                                   "a test sends to that receiver",
	{from: "chaos", to: "github.com/nats-io/nats-server/v2/server"}:                       "a NATS server in a process of its own, which can be killed",
	{from: "internal/natskv", to: "github.com/nats-io/nats-server/v2/server", test: true}: "the bucket's server",
}

const natsServer = "github.com/nats-io/nats-server/"

// why says what is wrong with the edge, "" if nothing is. modules are those that go.mod requires, true for the direct ones.
func (e edge) why(modules map[string]bool) string {
	if _, ok := exceptions[e]; ok {
		return ""
	}
	from := kinds[e.from]
	if to, ours := kinds[e.to]; ours {
		switch {
		case slices.Contains(mayImport[from], to), e.test && slices.Contains(testsMayImport, to):
			return ""
		case e.from == e.to && e.test: // the external test package of e.from
			return ""
		case from == connector && to == connector:
			return "connectors never import each other"
		case to == connector:
			return "only the daemon sees concrete connectors"
		case to == support:
			return "what helps tests is imported by tests only"
		}
		return "the " + string(from) + " does not import the " + string(to)
	}
	if !strings.Contains(strings.Split(e.to, "/")[0], ".") {
		return "" // the standard library
	}
	if from == root && !e.test {
		return "the root is standard library only"
	}
	if strings.HasPrefix(e.to, natsServer) && from != eventLog {
		return "only the log imports the NATS server"
	}
	if module := moduleOf(e.to, modules); !modules[module] {
		return "its module is not among those that go.mod requires directly: a new dependency gives its reason, and stands there without // indirect"
	}
	return ""
}

// moduleOf returns the module that the import path belongs to: the longest one that it begins with.
func moduleOf(path string, modules map[string]bool) string {
	for ; path != "."; path = filepath.Dir(path) {
		if _, ok := modules[path]; ok {
			return path
		}
	}
	return ""
}

func TestImportsGoOneWay(t *testing.T) {
	modules := readModules(t)
	edges := readEdges(t)
	found := map[string]bool{}
	for _, e := range edges {
		found[e.from] = true
		if _, ok := kinds[e.from]; !ok {
			t.Errorf("package %s has no place: give it its kind above", e.from)
			continue
		}
		if why := e.why(modules); why != "" {
			t.Errorf("bad edge %s -> %s: %s", e.from, e.to, why)
		}
	}
	for dir := range kinds {
		if !found[dir] {
			t.Errorf("there is no package %s any more", dir)
		}
	}
	for e, why := range exceptions {
		if !slices.Contains(edges, e) {
			t.Errorf("nothing imports %s from %s any more: the exception %q can go", e.to, e.from, why)
		}
	}
}

// What the walk would name, if it were there.
func TestBadEdgesAreNamed(t *testing.T) {
	modules := map[string]bool{
		"github.com/nats-io/nats-server/v2": true, "github.com/nats-io/nats.go": true, "github.com/spf13/pflag": false,
	}
	for _, c := range []struct {
		edge
		want string
	}{
		{edge{from: ".", to: "strings"}, ""},
		{edge{from: ".", to: "internal/backoff"}, "the root does not import the pure"},
		{edge{from: ".", to: "github.com/nats-io/nats.go"}, "the root is standard library only"},
		{edge{from: ".", to: "github.com/nats-io/nats.go", test: true}, ""},
		{edge{from: "internal/rule", to: "internal/expression"}, ""},
		{edge{from: "internal/rule", to: "internal/state"}, "the pure does not import the state"},
		{edge{from: "internal/redis", to: "internal/natskv"}, "connectors never import each other"},
		{edge{from: "internal/redis", to: "internal/natskv", test: true}, "connectors never import each other"},
		{edge{from: "internal/push", to: "internal/state"}, "the connector does not import the state"},
		{edge{from: "internal/push", to: "internal/state", test: true}, ""},
		{edge{from: "internal/redis", to: "internal/config"}, "the connector does not import the config"},
		{edge{from: "internal/redis", to: "internal/targettest"}, "what helps tests is imported by tests only"},
		{edge{from: "internal/redis", to: "internal/targettest", test: true}, ""},
		{edge{from: "internal/state", to: "internal/apply"}, "the state does not import the engine"},
		{edge{from: "internal/apply", to: "internal/sqlite"}, "only the daemon sees concrete connectors"},
		{edge{from: "internal/apply", to: "internal/capture"}, "the engine does not import the engine"},
		{edge{from: "internal/apply", to: "internal/jetlog"}, "the engine does not import the log"},
		{edge{from: "internal/ops", to: "internal/daemon"}, "the engine does not import the daemon"},
		{edge{from: "internal/daemon", to: "internal/sqlite"}, ""},
		{edge{from: "internal/daemon", to: "internal/demo"}, "the daemon does not import the program"},
		{edge{from: "cmd/syncline", to: "internal/sqlite"}, "only the daemon sees concrete connectors"},
		{edge{from: "internal/jetlog", to: "github.com/nats-io/nats-server/v2/server"}, ""},
		{edge{from: "internal/daemon", to: "github.com/nats-io/nats-server/v2/server"}, "only the log imports the NATS server"},
		{edge{from: "internal/natskv", to: "github.com/nats-io/nats.go/jetstream"}, ""},
		{edge{from: "cmd/syncline", to: "github.com/spf13/pflag"}, "its module is not among those"},
		{edge{from: "cmd/syncline", to: "example.com/unheard/of"}, "its module is not among those"},
	} {
		if got := c.why(modules); !strings.HasPrefix(got, c.want) || got != "" && c.want == "" {
			t.Errorf("%s -> %s (test: %v) = %q, want %q", c.from, c.to, c.test, got, c.want)
		}
	}
}

// readEdges returns the imports of all files of this module, whatever their build tags.
func readEdges(t *testing.T) []edge {
	var edges []edge
	seen := map[edge]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rest, ours := strings.CutPrefix(to, "syncline/"); ours {
				to = rest
			} else if to == "syncline" {
				to = "."
			}
			e := edge{filepath.ToSlash(filepath.Dir(path)), to, strings.HasSuffix(path, "_test.go")}
			if !seen[e] {
				seen[e] = true
				edges = append(edges, e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return edges
}

// readModules returns the modules that go.mod requires, true for those that it requires directly.
func readModules(t *testing.T) map[string]bool {
	file, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	modules := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "require "))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") {
			modules[fields[0]] = !strings.HasSuffix(lines.Text(), "// indirect")
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return modules
}
