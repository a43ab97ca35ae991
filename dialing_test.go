package syncline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dials are what of the standard library connects to somebody.
var dials = map[string][]string{
	"net/http":   {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport", "ProxyFromEnvironment"},
	"net":        {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix"},
	"crypto/tls": {"Dial", "DialWithDialer"},
	"net/smtp":   {"Dial", "SendMail"},
}

// made are types whose values connect to somebody once they are made, with the packages that may make them.
var made = map[string][]string{
	"net/http.Client":    {"internal/httpclient"},
	"net/http.Transport": {"internal/httpclient"},
	"net.Dialer":         {"internal/httpclient", "internal/dialer"},
	"crypto/tls.Dialer":  {"internal/webhook"}, // over the guard's net.Dialer
}

// unguarded are the packages that connect without the guard, each with its reason.
var unguarded = map[string]string{
	"internal/ops":  "the command line asks the server that its user names",
	"internal/demo": "its own servers",
}

// TestWhoConnects: what the configuration names is connected to through internal/httpclient, which has the guard against addresses that are not public,
// or through the driver of a database. Neither the guard nor the rule against redirects and proxies can be forgotten in a new place.
func TestWhoConnects(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		dir := filepath.ToSlash(filepath.Dir(path))
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"), kinds[dir] == support, kinds[dir] == benchmark, kinds[dir] == "", unguarded[dir] != "":
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		imports := map[string]string{}
		for _, spec := range file.Imports {
			full := strings.Trim(spec.Path.Value, `"`)
			name := full[strings.LastIndex(full, "/")+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imports[name] = full
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if from := imports[nameOf(n.X)]; slices.Contains(dials[from], n.Sel.Name) {
					t.Errorf("%s: %s.%s connects without the guard of internal/httpclient", fset.Position(n.Pos()), from, n.Sel.Name)
				}
			case *ast.CompositeLit:
				s, ok := n.Type.(*ast.SelectorExpr)
				if !ok {
					break
				}
				what := imports[nameOf(s.X)] + "." + s.Sel.Name
				if may, known := made[what]; known && slices.Contains(may, dir) {
					seen++
				} else if known {
					t.Errorf("%s: a %s connects without the guard of internal/httpclient", fset.Position(n.Pos()), what)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 4 {
		t.Errorf("%d places make what connects: they are not found as they should be", seen)
	}
}
