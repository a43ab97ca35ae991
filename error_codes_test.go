package syncline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The codes that the program can give and those that docs/errors.md explains are the same. What a code is, is read from the
// names in the source: whatever is passed for a parameter, set in a field or a variable, or returned for a result called
// code, and every constant of a type or with a name of that kind. A code that gets to an error in another way is not seen,
// so it is reported as documented in vain.
func TestEveryErrorCodeIsDocumented(t *testing.T) {
	documented := readDocumentedCodes(t)
	given := readGivenCodes(t)
	if len(given) < 100 || len(documented) < 100 {
		t.Fatalf("%d codes given, %d documented: they are not read as they should be", len(given), len(documented))
	}
	for code, places := range given {
		if !documented[code] && !slices.Contains(notOurs, code) {
			t.Errorf("the code %s has no row in docs/errors.md: %s", code, strings.Join(places, ", "))
		}
	}
	for code := range documented {
		if given[code] == nil {
			t.Errorf("docs/errors.md explains %s, which nothing gives", code)
		}
	}
}

// notOurs stand for what has no code; docs/errors.md says so in its introduction.
var notOurs = []string{"canceled", "unknown"}

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)`")

func readDocumentedCodes(t *testing.T) map[string]bool {
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, row := range codeRow.FindAllSubmatch(page, -1) {
		codes[string(row[1])] = true
	}
	return codes
}

// readGivenCodes returns the codes in the source, with the places where they stand.
func readGivenCodes(t *testing.T) map[string][]string {
	c := &codeReader{fset: token.NewFileSet(), packages: map[string][]*ast.File{}, takers: map[string]map[string]int{}, structs: map[string]map[string]int{}, codes: map[string][]string{}}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch dir := filepath.ToSlash(filepath.Dir(path)); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"), kinds[dir] == support, kinds[dir] == benchmark:
			return nil
		default:
			file, err := parser.ParseFile(c.fset, path, nil, parser.SkipObjectResolution)
			c.packages[dir] = append(c.packages[dir], file)
			return err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range c.packages {
		c.takers[dir], c.structs[dir] = map[string]int{}, map[string]int{}
		for _, file := range files {
			c.declare(dir, file)
		}
	}
	for dir, files := range c.packages {
		for _, file := range files {
			c.read(dir, file)
		}
	}
	return c.codes
}

// codeReader finds the codes in the syntax of the source.
type codeReader struct {
	fset     *token.FileSet
	packages map[string][]*ast.File
	// takers are, by package, the functions that take a code, with its place among the arguments.
	takers map[string]map[string]int
	// structs are, by package, the types with a field for a code, with its place among the fields.
	structs map[string]map[string]int
	codes   map[string][]string
}

func isCodeName(name string) bool { return name == "code" || name == "Code" }

// placeOf returns where a code stands among parameters, fields or results; -1 if there is none.
func placeOf(list *ast.FieldList) int {
	place := 0
	for _, field := range list.List {
		for _, name := range field.Names {
			if t, ok := field.Type.(*ast.Ident); ok && isCodeName(name.Name) && (t.Name == "string" || isCodeName(t.Name)) {
				return place
			}
			place++
		}
	}
	return -1
}

// declare notes the functions and types of the file that take a code.
func (c *codeReader) declare(dir string, file *ast.File) {
	note := func(in map[string]int, name string, list *ast.FieldList) {
		if place := placeOf(list); place >= 0 {
			in[name] = place
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			note(c.takers[dir], n.Name.Name, n.Type.Params)
		case *ast.AssignStmt:
			for i, value := range n.Rhs {
				if f, ok := value.(*ast.FuncLit); ok && i < len(n.Lhs) {
					note(c.takers[dir], nameOf(n.Lhs[i]), f.Type.Params)
				}
			}
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok {
				note(c.structs[dir], n.Name.Name, s.Fields)
			}
		}
		return true
	})
}

// nameOf returns the last name of an expression such as x or x.y.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func (c *codeReader) read(dir string, file *ast.File) {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if path == "syncline" {
			path = "syncline/."
		}
		imports[name] = path
	}
	var results []int // of the functions around a node: where their result code stands
	var around []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			if last := around[len(around)-1]; isFunc(last) {
				results = results[:len(results)-1]
			}
			around = around[:len(around)-1]
			return true
		}
		around = append(around, n)
		switch n := n.(type) {
		case *ast.FuncDecl:
			results = append(results, resultOf(n.Type))
		case *ast.FuncLit:
			results = append(results, resultOf(n.Type))
		case *ast.ReturnStmt:
			if place := results[len(results)-1]; place >= 0 && place < len(n.Results) {
				c.add(n.Results[place])
			}
		case *ast.CallExpr:
			if place, ok := c.taker(dir, imports, n.Fun); ok && place < len(n.Args) {
				c.add(n.Args[place])
			}
		case *ast.KeyValueExpr:
			if isCodeName(nameOf(n.Key)) {
				c.add(n.Value)
			}
		case *ast.CompositeLit:
			c.composite(dir, n, n.Type)
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if isCodeName(nameOf(left)) && i < len(n.Rhs) {
					c.add(n.Rhs[i])
				}
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) && (strings.HasPrefix(strings.ToLower(name.Name), "code") || n.Type != nil && isCodeName(nameOf(n.Type))) {
					c.add(n.Values[i])
				}
			}
		}
		return true
	})
}

func isFunc(n ast.Node) bool {
	switch n.(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		return true
	}
	return false
}

func resultOf(f *ast.FuncType) int {
	if f.Results == nil {
		return -1
	}
	return placeOf(f.Results)
}

// taker returns the place of the code among the arguments of a call.
func (c *codeReader) taker(dir string, imports map[string]string, fun ast.Expr) (int, bool) {
	if s, ok := fun.(*ast.SelectorExpr); ok {
		if path, ok := imports[nameOf(s.X)]; ok {
			dir = strings.TrimPrefix(path, "syncline/")
		}
	}
	place, ok := c.takers[dir][nameOf(fun)]
	return place, ok
}

// composite reads the codes of struct literals without field names, by themselves or as elements.
func (c *codeReader) composite(dir string, lit *ast.CompositeLit, typ ast.Expr) {
	var element ast.Expr
	place := -1
	switch t := typ.(type) {
	case *ast.Ident:
		if p, ok := c.structs[dir][t.Name]; ok {
			place = p
		}
	case *ast.StructType:
		place = placeOf(t.Fields)
	case *ast.ArrayType:
		element = t.Elt
	case *ast.MapType:
		element = t.Value
	}
	for i, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			e = kv.Value
		} else if i == place {
			c.add(e)
		}
		if inner, ok := e.(*ast.CompositeLit); ok && element != nil && inner.Type == nil {
			c.composite(dir, inner, element)
		}
	}
}

// sqlState is what PostgreSQL calls a code; it is never one of ours.
var sqlState = regexp.MustCompile("^[0-9A-Z]{5}$")

// add notes the code if the expression is one.
func (c *codeReader) add(e ast.Expr) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return
	}
	if code, err := strconv.Unquote(lit.Value); err == nil && code != "" && !sqlState.MatchString(code) {
		c.codes[code] = append(c.codes[code], c.fset.Position(lit.Pos()).String())
	}
}
