package transform

import "slices"

// FilterColumns are the source's columns that decide whether a record is left out.
func (p *Plan) FilterColumns() (columns []int) {
	var needed []int
	for o := len(p.ops) - 1; o >= 0; o-- {
		if op := &p.ops[o]; op.writes < 0 || slices.Contains(needed, op.writes) {
			needed = append(needed, op.reads...)
		}
	}
	for _, r := range needed {
		if r < len(p.in.Columns) && !slices.Contains(columns, r) {
			columns = append(columns, r)
		}
	}
	return columns
}

// KeyCopied reports whether the parts of the target's key are those of the source's key as they are, whatever they are called.
func (p *Plan) KeyCopied() bool {
	return !slices.ContainsFunc(p.keyOps, func(op operation) bool { return op.formula != "" })
}
