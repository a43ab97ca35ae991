// Package expression compiles and evaluates the expressions of rules and transforms: over `event`, `before` and `after`,
// pure (no clock, no randomness, no input), with exact decimals and with null as in SQL. Null in means null out for
// arithmetic and text functions, a comparison with null is false, only == and != see it; as a condition null is false.
//
// An expression that would run away ends in an error: its length, its nodes and the work of one evaluation are bounded.
package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"syncline"
)

const (
	// maxSource bounds an expression, in bytes.
	maxSource = 16 << 10
	// maxNodes bounds its syntax tree.
	maxNodes = 1000
	// maxWork bounds one evaluation: about one unit for an element looked at or 64 bytes of text made.
	maxWork = 1_000_000
)

// Error is an expression that does not compile. Line and Column count from 1 in the expression, in characters.
type Error struct {
	Line, Column int
	Message      string
	// Suggestion says what would be right; may be empty.
	Suggestion string
	// Unknown is the name that there is not, where that is what is wrong with an expression over names.
	Unknown string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d:%d)", e.Message, e.Line, e.Column) }

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source string
	// root is the tree as it was written, for telling the kind of the result.
	root ast.Node
	code *vm.Program
	refs []ref
}

// envMeter is the name of the meter in the environment; like all names there, no expression can spell it.
const envMeter = "@meter"

// ref is something outside that an expression refers to.
type ref struct {
	side string // "after", "before" or "event"
	what access
	// field is a column, or a field of event.
	field string
	at    file.Location
}

// access is how much of a record is used.
type access byte

const (
	accessField access = '.'
	accessWhole access = '*' // the record as a value
	accessIs    access = '?' // whether there is one
)

// name is the variable's name in the environment.
func (r ref) name() string { return r.side + string(r.what) + r.field }

// Compile parses and checks an expression. The error is an *Error.
func Compile(source string) (*Program, error) { return CompileSides(source, "after", "before") }

// CompileSides does the same with other names for the two records.
func CompileSides(source, after, before string) (*Program, error) {
	return compile(source, map[string]string{after: "after", before: "before", "event": "event"}, nil)
}

// CompileNames compiles an expression over one record without a name of its own: its fields, which are these, stand for themselves. To
// the program they are columns of after.
func CompileNames(source string, fields []string) (*Program, error) {
	names := make(map[string]bool, len(fields))
	for _, f := range fields {
		names[f] = true
	}
	return compile(source, nil, names)
}

func compile(source string, sides map[string]string, fields map[string]bool) (*Program, error) {
	if len(source) > maxSource {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("the expression is longer than %d bytes", maxSource)}
	}
	if strings.TrimSpace(source) == "" {
		return nil, &Error{Line: 1, Column: 1, Message: "the expression is empty"}
	}
	tree, err := parser.ParseWithConfig(source, language())
	if err != nil {
		return nil, compileError(err)
	}
	root := tree.Node
	// The tree that is patched is another one: root stays as it was written.
	tree, err = parser.ParseWithConfig(source, language())
	if err != nil {
		return nil, compileError(err)
	}
	patch := &patcher{source: []rune(source), sides: sides, fields: fields}
	ast.Walk(&tree.Node, patch)
	refs := &references{patch: patch}
	ast.Walk(&tree.Node, refs)
	if patch.err != nil {
		e := compileError(patch.err.Bind(tree.Source))
		e.Suggestion, e.Unknown = patch.hint, patch.unknown
		return nil, e
	}
	env := types.Map{envMeter: types.Any}
	for _, r := range refs.list {
		env[r.name()] = types.Any
	}
	code, err := expr.Compile(source, func(c *conf.Config) {
		limit(c)
		c.WithEnv(env)
		c.Visitors = append(c.Visitors, &patcher{source: []rune(source), sides: sides, fields: fields})
	})
	if err != nil {
		return nil, compileError(err)
	}
	return &Program{source: source, root: root, code: code, refs: refs.list}, nil
}

// limit sets the language: its bounds, its functions, and nothing that would make it impure.
func limit(c *conf.Config) {
	c.MaxNodes = maxNodes
	c.Optimize = false
	for _, name := range builtin.Names {
		if !loops[name] {
			c.Disabled[name] = true
			delete(c.Builtins, name)
		}
	}
	for name, f := range functions {
		expr.Function(name, f.call)(c)
	}
}

func language() *conf.Config {
	c := conf.CreateNew()
	limit(c)
	return c
}

func compileError(err error) *Error {
	var at *file.Error
	if errors.As(err, &at) {
		return &Error{Line: max(at.Line, 1), Column: at.Column + 1, Message: at.Message}
	}
	return &Error{Line: 1, Column: 1, Message: err.Error()}
}

// Columns returns the columns of after that the expression needs; all is set where it needs every one.
func (p *Program) Columns() (names []string, all bool) {
	for _, r := range p.refs {
		switch {
		case r.side != "after":
		case r.what == accessField:
			names = append(names, r.field)
		case r.what == accessWhole:
			all = true
		}
	}
	return names, all
}

// RecordOnly reports whether the result depends on nothing but after.
func (p *Program) RecordOnly() bool {
	return !slices.ContainsFunc(p.refs, func(r ref) bool { return r.side != "after" })
}

// UsesBefore reports whether the result depends on before.
func (p *Program) UsesBefore() bool {
	return slices.ContainsFunc(p.refs, func(r ref) bool { return r.side == "before" })
}

// EventOnly reports whether the result depends on nothing but event.
func (p *Program) EventOnly() bool {
	return !slices.ContainsFunc(p.refs, func(r ref) bool { return r.side != "event" })
}

// String returns the source.
func (p *Program) String() string { return p.source }

// eventFields are what event has, and of which kind each is; KindArray is a list of texts.
var eventFields = map[string]syncline.Kind{
	"id": syncline.KindText, "op": syncline.KindText, "entity": syncline.KindText, "key": syncline.KindText,
	"source": syncline.KindText, "time": syncline.KindTimestampTZ, "priority": syncline.KindText, "changed": syncline.KindArray,
	"correlation": syncline.KindText, "user": syncline.KindText, "session": syncline.KindText, "reason": syncline.KindText,
	"origin": syncline.KindText, "tags": syncline.KindArray, "into": syncline.KindText, "version": syncline.KindInt,
}

func eventNames() string { return strings.Join(slices.Sorted(maps.Keys(eventFields)), ", ") }
