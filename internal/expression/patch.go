package expression

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// loops are the built-in functions with a predicate that stay; every turn of their loops is counted.
var loops = map[string]bool{"all": true, "none": true, "any": true, "one": true, "filter": true, "map": true, "find": true,
	"findIndex": true, "findLast": true, "findLastIndex": true, "count": true, "reduce": true, "sum": true}

// operators maps those of the language to functions that know null, decimals and times.
var operators = map[string]string{"==": "@eq", "!=": "@ne", "<": "@lt", "<=": "@le", ">": "@gt", ">=": "@ge", "+": "@add", "-": "@sub",
	"*": "@mul", "/": "@div", "%": "@mod", "in": "@in", "contains": "@contains", "startsWith": "@starts", "endsWith": "@ends",
	"matches": "@matches", "..": "@range"}

// truths are functions whose result is always true or false.
var truths = map[string]bool{"@eq": true, "@ne": true, "@lt": true, "@le": true, "@gt": true, "@ge": true, "@in": true, "@contains": true,
	"@starts": true, "@ends": true, "@matches": true, "@truth": true}

// patcher rewrites a tree, from the leaves up: columns become variables of their own, so that only those that are used are
// made; operators become calls of ours. It notes the first thing that cannot be.
type patcher struct {
	source []rune // what was parsed; locations count in it
	// sides are the names of the records and the event, and what each stands for: after, before or event.
	sides map[string]string
	// fields are those of the record that has no name; nil where the records have names.
	fields map[string]bool
	// declared are the names that the expression gives itself.
	declared map[string]bool
	err      *file.Error
	hint     string // the way out of err
	unknown  string // the name that err is about
}

func (p *patcher) fail(n ast.Node, hint, format string, args ...any) {
	if p.err == nil {
		p.hint = hint
		p.err = &file.Error{Location: n.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

// Visit implements ast.Visitor.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		p.identifier(node, n)
	case *ast.FloatNode:
		// The node's own value is a float, which is only near to what was written.
		at := n.Location()
		d, err := parseDecimal(strings.ReplaceAll(string(p.source[at.From:at.To]), "_", ""))
		if err != nil {
			p.fail(n, "", "the number cannot be read")
			return
		}
		ast.Patch(node, &ast.ConstantNode{Value: d})
	case *ast.MemberNode:
		p.member(node, n)
	case *ast.SliceNode:
		from, to := n.From, n.To
		if from == nil {
			from = &ast.NilNode{}
		}
		if to == nil {
			to = &ast.NilNode{}
		}
		p.replace(node, "@slice", n.Node, from, to)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			p.replace(node, map[string]string{"-": "@neg", "+": "@pos"}[n.Operator], n.Node)
			return
		}
		n.Node = p.truth(n.Node)
	case *ast.BinaryNode:
		p.binary(node, n)
	case *ast.ConditionalNode:
		n.Cond = p.truth(n.Cond)
	case *ast.CallNode:
		p.userCall(n)
	case *ast.BuiltinNode:
		p.loop(node, n)
	case *ast.VariableDeclaratorNode:
		if _, side := p.sides[n.Name]; side || p.fields[n.Name] || n.Name == "after" || n.Name == "before" {
			p.fail(n, "", "%s cannot be declared", n.Name)
		}
		if p.declared == nil {
			p.declared = make(map[string]bool)
		}
		p.declared[n.Name] = true
	}
}

// call makes a call of one of our functions, which all take the meter first.
func (p *patcher) call(at ast.Node, name string, args ...ast.Node) ast.Node {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: append([]ast.Node{&ast.IdentifierNode{Value: envMeter}}, args...)}
	call.SetLocation(at.Location())
	call.Callee.SetLocation(at.Location())
	return call
}

func (p *patcher) replace(node *ast.Node, name string, args ...ast.Node) {
	ast.Patch(node, p.call(*node, name, args...))
}

// truth makes a condition of a node: null is false, and anything but true and false is an error.
func (p *patcher) truth(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.BoolNode:
		return n
	case *ast.UnaryNode:
		return n
	case *ast.BinaryNode:
		if n.Operator != "??" {
			return n
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && truths[id.Value] {
			return n
		}
	}
	return p.call(n, "@truth", n)
}

func (p *patcher) variable(node *ast.Node, side string, what access, field string) {
	ast.Patch(node, &ast.IdentifierNode{Value: ref{side: side, what: what, field: field}.name()})
}

// identifier takes a record for used as a value; member and binary take it back where it is not.
func (p *patcher) identifier(node *ast.Node, n *ast.IdentifierNode) {
	if side, ok := p.sides[n.Value]; ok {
		p.variable(node, side, accessWhole, "")
		return
	}
	if p.fields[n.Value] {
		p.variable(node, "after", accessField, n.Value)
		return
	}
	switch n.Value {
	case "after", "before":
		p.fail(n, "", "unknown name %s", n.Value)
	case "$env":
		p.fail(n, "", "unknown name $env")
	}
}

// references lists what a patched tree refers to, each once.
type references struct {
	patch *patcher
	list  []ref
}

// Visit implements ast.Visitor.
func (r *references) Visit(node *ast.Node) {
	id, ok := (*node).(*ast.IdentifierNode)
	if !ok {
		return
	}
	at := strings.IndexAny(id.Value, ".*?")
	if at < 0 {
		r.patch.free(id)
		return
	}
	found := ref{side: id.Value[:at], what: access(id.Value[at]), field: id.Value[at+1:], at: id.Location()}
	if found.side == "event" && found.what == accessWhole {
		r.patch.fail(id, "it has "+eventNames(), "event is not a value")
		return
	}
	if !slices.ContainsFunc(r.list, func(o ref) bool { return o.name() == found.name() }) {
		r.list = append(r.list, found)
	}
}

// free refuses a name that is neither a field, a function nor declared, where the record has no name.
func (p *patcher) free(id *ast.IdentifierNode) {
	if _, function := functions[id.Value]; p.fields == nil || function || p.declared[id.Value] || strings.HasPrefix(id.Value, "@") {
		return
	}
	if p.err == nil {
		p.unknown = id.Value
	}
	p.fail(id, "", "unknown name %s", id.Value)
}

// record tells which record the node stands for as a whole.
func record(n ast.Node) string {
	if id, ok := n.(*ast.IdentifierNode); ok {
		if side, whole := strings.CutSuffix(id.Value, string(accessWhole)); whole {
			return side
		}
	}
	return ""
}

func (p *patcher) member(node *ast.Node, n *ast.MemberNode) {
	name, constant := n.Property.(*ast.StringNode)
	switch side := record(n.Node); {
	case side == "":
		p.replace(node, "@get", n.Node, n.Property)
	case !constant:
		p.fail(n, "", "the fields of %s are named as in %s.name or %s[\"name\"]", side, side, side)
	case side == "event":
		if _, ok := eventFields[name.Value]; !ok {
			p.fail(n, "it has "+eventNames(), "event has no field %q", name.Value)
			return
		}
		p.variable(node, side, accessField, name.Value)
	default:
		p.variable(node, side, accessField, name.Value)
	}
}

func (p *patcher) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "&&", "||", "and", "or":
		n.Left, n.Right = p.truth(n.Left), p.truth(n.Right)
		return
	case "==", "!=":
		for _, pair := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
			side := record(pair[0])
			if _, null := pair[1].(*ast.NilNode); !null || side == "" || side == "event" {
				continue
			}
			var is ast.Node = pair[0]
			p.variable(&is, side, accessIs, "")
			*node = is
			if n.Operator == "==" {
				*node = &ast.UnaryNode{Operator: "not", Node: is}
				(*node).SetLocation(n.Location())
			}
			return
		}
	case "??":
		return
	case "matches":
		if pattern, ok := n.Right.(*ast.StringNode); ok {
			re, err := compilePattern(pattern.Value)
			if err != nil {
				p.fail(n.Right, "", "the pattern cannot be read: %v", err)
				return
			}
			constant := &ast.ConstantNode{Value: re}
			constant.SetLocation(n.Right.Location())
			n.Right = constant
		}
	}
	name, ok := operators[n.Operator]
	if !ok {
		p.fail(n, "", "the operator %s is not available", n.Operator)
		return
	}
	p.replace(node, name, n.Left, n.Right)
}

func (p *patcher) userCall(n *ast.CallNode) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		p.fail(n, "there are the functions "+functionNames(), "there are no methods")
		return
	}
	f, ok := functions[id.Value]
	if !ok {
		p.fail(n, "there are "+functionNames(), "there is no function %s", id.Value)
		return
	}
	if len(n.Arguments) < f.least || len(n.Arguments) > f.most {
		p.fail(n, "", "%s takes %s", id.Value, f.arity())
		return
	}
	n.Arguments = append([]ast.Node{&ast.IdentifierNode{Value: envMeter}}, n.Arguments...)
}

// loop counts the turns of a loop, makes null an empty list, and null results of its predicate false.
func (p *patcher) loop(node *ast.Node, n *ast.BuiltinNode) {
	if !loops[n.Name] {
		p.fail(n, "there are "+functionNames(), "there is no function %s", n.Name)
		return
	}
	n.Arguments[0] = p.call(n, "@list", n.Arguments[0])
	if len(n.Arguments) > 1 {
		if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok {
			body := predicate.Node
			if n.Name != "map" && n.Name != "reduce" && n.Name != "sum" {
				body = p.truth(body)
			}
			predicate.Node = p.call(body, "@tick", body)
		}
	}
	// The backward loops of the library leave a value on its stack for each turn, which an operand or element beside them then is.
	switch list := n.Arguments[0]; n.Name {
	case "findLast":
		ast.Patch(node, p.reversed("find", n))
	case "findLastIndex":
		p.replace(node, "@mirrored", list, p.reversed("findIndex", n))
	}
	if n.Name == "sum" {
		var list ast.Node = n.Arguments[0]
		if len(n.Arguments) > 1 {
			list = &ast.BuiltinNode{Name: "map", Arguments: n.Arguments}
			list.SetLocation(n.Location())
		}
		p.replace(node, "@sum", list)
	}
}

// reversed is the loop of this name over the elements from the last to the first.
func (p *patcher) reversed(name string, n *ast.BuiltinNode) ast.Node {
	loop := &ast.BuiltinNode{Name: name, Arguments: []ast.Node{p.call(n, "reverse", n.Arguments[0]), n.Arguments[1]}}
	loop.SetLocation(n.Location())
	return loop
}
