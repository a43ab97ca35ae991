package expression

import (
	"github.com/expr-lang/expr/ast"

	"syncline"
)

// results are the kinds of what functions return where it does not depend on their arguments.
var results = map[string]syncline.Kind{
	"lower": syncline.KindText, "upper": syncline.KindText, "trim": syncline.KindText, "trimPrefix": syncline.KindText,
	"trimSuffix": syncline.KindText, "replace": syncline.KindText, "repeat": syncline.KindText, "join": syncline.KindText,
	"string": syncline.KindText, "toJSON": syncline.KindText, "hasPrefix": syncline.KindBool, "hasSuffix": syncline.KindBool,
	"indexOf": syncline.KindInt, "len": syncline.KindInt, "int": syncline.KindInt, "float": syncline.KindFloat,
	"decimal": syncline.KindDecimal, "date": syncline.KindTimestampTZ, "year": syncline.KindInt, "month": syncline.KindInt,
	"day": syncline.KindInt, "hour": syncline.KindInt, "minute": syncline.KindInt, "second": syncline.KindInt,
	"weekday": syncline.KindInt, "unix": syncline.KindInt, "split": syncline.KindJSON, "keys": syncline.KindJSON,
	"values": syncline.KindJSON, "concat": syncline.KindJSON, "sort": syncline.KindJSON, "reverse": syncline.KindJSON,
	"uniq": syncline.KindJSON, "map": syncline.KindJSON, "filter": syncline.KindJSON, "all": syncline.KindBool,
	"none": syncline.KindBool, "any": syncline.KindBool, "one": syncline.KindBool, "count": syncline.KindInt,
	"findIndex": syncline.KindInt, "findLastIndex": syncline.KindInt,
}

// infer tells the kind of an expression's result, KindNull where it cannot.
func infer(node ast.Node, after, before *syncline.Schema) syncline.Kind {
	of := func(n ast.Node) syncline.Kind { return infer(n, after, before) }
	switch n := node.(type) {
	case *ast.BoolNode:
		return syncline.KindBool
	case *ast.IntegerNode:
		return syncline.KindInt
	case *ast.FloatNode:
		return syncline.KindDecimal
	case *ast.StringNode:
		return syncline.KindText
	case *ast.ArrayNode, *ast.MapNode:
		return syncline.KindJSON
	case *ast.ChainNode:
		return of(n.Node)
	case *ast.ConditionalNode:
		return common(of(n.Exp1), of(n.Exp2), isNil(n.Exp1), isNil(n.Exp2))
	case *ast.VariableDeclaratorNode:
		return of(n.Expr)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			return of(n.Node)
		}
		return syncline.KindBool
	case *ast.BinaryNode:
		return inferBinary(n, of)
	case *ast.MemberNode:
		return inferMember(n, after, before)
	case *ast.SliceNode:
		if k := of(n.Node); k == syncline.KindText {
			return k
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return inferCall(id.Value, n.Arguments, of)
		}
	case *ast.BuiltinNode:
		return results[n.Name]
	}
	return syncline.KindNull
}

func inferBinary(n *ast.BinaryNode, of func(ast.Node) syncline.Kind) syncline.Kind {
	switch n.Operator {
	case "??":
		return common(of(n.Left), of(n.Right), isNil(n.Left), isNil(n.Right))
	case "..":
		return syncline.KindJSON
	case "+", "-", "*", "/", "%":
		l, r := of(n.Left), of(n.Right)
		switch {
		case l == syncline.KindText && r == l && n.Operator == "+":
			return syncline.KindText
		case !l.Number() || !r.Number():
			return syncline.KindNull
		case l == syncline.KindFloat || r == syncline.KindFloat:
			return syncline.KindFloat
		case l == syncline.KindInt && r == l && n.Operator != "/":
			return syncline.KindInt
		}
		return syncline.KindDecimal
	}
	return syncline.KindBool
}

func inferMember(n *ast.MemberNode, after, before *syncline.Schema) syncline.Kind {
	id, ok := n.Node.(*ast.IdentifierNode)
	name, ok2 := n.Property.(*ast.StringNode)
	if !ok || !ok2 {
		return syncline.KindNull
	}
	schema := after
	switch id.Value {
	case "event":
		if k := eventFields[name.Value]; k != syncline.KindArray {
			return k
		}
		return syncline.KindJSON
	case "before":
		schema = before
	case "after":
	default:
		return syncline.KindNull
	}
	if i := schema.Index(name.Value); i >= 0 {
		return schema.Columns[i].Kind
	}
	return syncline.KindNull
}

func inferCall(name string, args []ast.Node, of func(ast.Node) syncline.Kind) syncline.Kind {
	if k, ok := results[name]; ok {
		return k
	}
	switch name {
	case "abs", "round", "floor", "ceil":
		if k := of(args[0]); k.Number() {
			return k
		}
	case "min", "max":
		kind := of(args[0])
		for _, a := range args[1:] {
			kind = common(kind, of(a), false, false)
		}
		if len(args) > 1 || kind.Number() {
			return kind
		}
	}
	return syncline.KindNull
}

// common is the kind of what is one or the other.
func common(a, b syncline.Kind, aNil, bNil bool) syncline.Kind {
	switch {
	case aNil || a == b:
		return b
	case bNil:
		return a
	case !a.Number() || !b.Number():
		return syncline.KindNull
	case a == syncline.KindFloat || b == syncline.KindFloat:
		return syncline.KindFloat
	}
	return syncline.KindDecimal
}

func isNil(n ast.Node) bool {
	_, ok := n.(*ast.NilNode)
	return ok
}
