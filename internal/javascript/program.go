// Package javascript runs the scripts of transforms: one function over one record, in a runtime of its own that nothing is left of
// afterwards. There is no I/O, no clock and no chance, so that the same record gives the same result at every attempt. It is pure; what
// time and memory a script may take is the business of whoever runs it.
package javascript

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"

	"syncline"
)

// MaxCode bounds a script's text, in bytes.
const MaxCode = 64 << 10

// Program is a compiled script. It is immutable and safe for concurrent use.
type Program struct{ program *goja.Program }

// Error is what is wrong with a script's text, at a line and a column from 1.
type Error struct {
	Line, Column int
	Message      string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// A script is the body of a function. It begins on a line of its own, so that its columns are the writer's.
const (
	head = "(function (event, before, after) {\n"
	tail = "\n})"
	name = "script"
)

// noMaps keeps the parser from reading the file that a comment of the script names as its source map.
var noMaps = parser.WithDisableSourceMaps

// Compile checks the text of a script. The error is an *Error.
func Compile(code string) (*Program, error) {
	if len(code) > MaxCode {
		return nil, &Error{1, 1, fmt.Sprintf("a script has %d bytes at most", MaxCode)}
	}
	tree, err := goja.Parse(name, head+code+tail, noMaps)
	if err != nil {
		return nil, at(err, 1)
	}
	if !isFunction(tree) { // a brace too many ends the function that the script is the body of
		return nil, &Error{1, 1, "a closing brace has no opening one"}
	}
	p, err := goja.CompileAST(tree, true)
	if err != nil {
		return nil, at(err, 1)
	}
	return &Program{p}, nil
}

// isFunction reports whether the program is one function and nothing else.
func isFunction(tree *ast.Program) bool {
	if len(tree.Body) != 1 {
		return false
	}
	statement, ok := tree.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return false
	}
	_, ok = statement.Expression.(*ast.FunctionLiteral)
	return ok
}

var place = regexp.MustCompile(`^(?:SyntaxError: )?(?:.*?: )?Line (\d+):(\d+) (.*)$|^(?:SyntaxError: )?(.*?) at \S*?:(\d+):(\d+)$`)

// at makes an Error of what the parser or the compiler says, whose lines are counted with so many before the script's first one.
func at(err error, before int) *Error {
	var list parser.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return &Error{max(list[0].Position.Line-before, 1), max(list[0].Position.Column, 1), list[0].Message}
	}
	m := place.FindStringSubmatch(err.Error())
	if m == nil {
		return &Error{1, 1, err.Error()}
	}
	line, column, message := m[1], m[2], m[3]
	if line == "" {
		line, column, message = m[5], m[6], m[4]
	}
	l, _ := strconv.Atoi(line)
	c, _ := strconv.Atoi(column)
	return &Error{max(l-before, 1), max(c, 1), message}
}

// Code is what went wrong with one record.
type Code = string

const (
	CodeFailed  Code = "script_failed"
	CodeTimeout Code = "script_timeout"
	CodeMemory  Code = "script_memory"
	CodeDepth   Code = "script_depth"
)

// failure is a rejected error that shows no value of the record.
func failure(code, format string, args ...any) *syncline.Error {
	return syncline.Errorf(syncline.Rejected, code, format, args...)
}
