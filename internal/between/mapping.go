package between

import (
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// Mapping pairs the columns of both sides. A Record has one value for each pair.
type Mapping struct {
	// names are the shared names of the pairs: those of the first side.
	names []string
	// schemas are of each side's own columns, in the order of the pairs: what is read and written there.
	schemas [2]*syncline.Schema
	// warnings tell what is left out, for the operator.
	warnings []string
}

// Columns are the shared columns, as the first side has them.
func (m *Mapping) Columns() []syncline.Column { return m.schemas[0].Columns }

// newMapping pairs the columns of two tables: those that fields names (first side: second side), and those with the same name. Columns
// that only one side has are left alone, and so are computed ones.
func newMapping(sides [2]Side, tables [2]*syncline.Schema, fields map[string]string, ignore []string) (*Mapping, error) {
	m := &Mapping{}
	var pairs [][2]int
	for i := range tables[0].Columns {
		name := tables[0].Columns[i].Name
		if strings.HasPrefix(name, "_syncline_") || slices.Contains(ignore, name) {
			continue // the first is what we keep there ourselves
		}
		partner, named := fields[name]
		if !named {
			partner = name
			if slices.Contains(values(fields), name) {
				continue
			}
		}
		if j := tables[1].Index(partner); j >= 0 {
			pairs = append(pairs, [2]int{i, j})
		}
	}
	for first, second := range fields {
		for side, name := range []string{first, second} {
			if tables[side].Index(name) < 0 {
				return nil, syncline.Errorf(syncline.Fatal, "between_column_missing", "%s has no column %q, which `fields` names", sides[side], name).
					WithFix("correct `fields`, or add the column, then `syncline resume ROUTE`")
			}
		}
	}
	for side, t := range tables {
		m.schemas[side] = &syncline.Schema{Entity: t.Entity, Table: t.Table, Version: -1}
	}
	for _, name := range ignore {
		if tables[0].Index(name) < 0 {
			return nil, syncline.Errorf(syncline.Fatal, "between_column_missing", "%s has no column %q, which `ignore` names", sides[0], name).
				WithFix("correct `ignore`: it takes the first side's names")
		}
	}
	for _, p := range pairs {
		a, b := &tables[0].Columns[p[0]], &tables[1].Columns[p[1]]
		if a.Generated != "" || b.Generated != "" {
			m.warnings = append(m.warnings, "column "+strconv.Quote(a.Name)+" is computed on one side: it is left out")
			continue
		}
		if !sameKind(a, b) {
			return nil, syncline.Errorf(syncline.Fatal, "between_kinds", "column %q of %s is of kind %s, column %q of %s of kind %s: values do not go there and back unchanged",
				a.Name, sides[0], a.Kind, b.Name, sides[1], b.Kind).WithFix("give both columns the same kind of type, or rename one of them so that they are not paired")
		}
		m.names = append(m.names, a.Name)
		m.schemas[0].Columns = append(m.schemas[0].Columns, *a)
		m.schemas[1].Columns = append(m.schemas[1].Columns, *b)
	}
	if err := m.pairKeys(sides, tables); err != nil {
		return nil, err
	}
	for side, t := range tables {
		m.warnAlone(sides[side], side, t)
	}
	return m, nil
}

// equal reports whether both pair the same columns.
func (m *Mapping) equal(n *Mapping) bool {
	return slices.Equal(m.names, n.names) && m.schemas[0].Fingerprint() == n.schemas[0].Fingerprint() && m.schemas[1].Fingerprint() == n.schemas[1].Fingerprint()
}

func values(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// pairKeys finds the pairs that are the key, which must be so on both sides.
func (m *Mapping) pairKeys(sides [2]Side, tables [2]*syncline.Schema) error {
	var keys [2][]int
	for side, t := range tables {
		for _, c := range t.Key {
			keys[side] = append(keys[side], m.schemas[side].Index(t.Columns[c].Name))
		}
		m.schemas[side].Key = keys[side]
		if len(t.Key) == 0 {
			return syncline.Errorf(syncline.Fatal, "between_key", "%s has no key: its records cannot be told apart", sides[side]).
				WithFix("give the table a primary key, or declare the entity's key")
		}
	}
	sorted := [2][]int{slices.Sorted(slices.Values(keys[0])), slices.Sorted(slices.Values(keys[1]))}
	if slices.Contains(keys[0], -1) || !slices.Equal(sorted[0], sorted[1]) {
		return syncline.Errorf(syncline.Fatal, "between_key", "the keys of %s (%s) and %s (%s) are not of the same fields", sides[0],
			strings.Join(tables[0].KeyNames(), ", "), sides[1], strings.Join(tables[1].KeyNames(), ", ")).
			WithFix("pair the columns of the keys in `fields`, or declare keys that correspond under `capture.entities`")
	}
	return nil
}

// warnAlone tells of columns that have no partner.
func (m *Mapping) warnAlone(name Side, side int, t *syncline.Schema) {
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Generated != "" || m.schemas[side].Index(c.Name) >= 0 || strings.HasPrefix(c.Name, "_syncline_") {
			continue
		}
		text := "column " + strconv.Quote(c.Name) + " of " + name.String() + " has no partner: it is left alone"
		if !c.Nullable && c.Default == "" {
			text += ", and a record that comes from the other side needs its default"
		}
		m.warnings = append(m.warnings, text)
	}
}

// sameKind reports whether every value of the one column can be one of the other, and is then read as an equal one. Whole and decimal
// numbers are: what does not fit is refused when it comes (checkExact).
func sameKind(a, b *syncline.Column) bool {
	exact := func(k syncline.Kind) syncline.Kind {
		switch k {
		case syncline.KindInt, syncline.KindUint:
			return syncline.KindDecimal
		}
		return k
	}
	switch {
	case exact(a.Kind) != exact(b.Kind):
		return false
	case a.Kind == syncline.KindArray:
		return a.Elem == b.Elem
	case a.Kind == syncline.KindRaw:
		return a.Type == b.Type
	}
	return true
}

// keyRow returns a row of a side that has only its key, given in the order of the key of the side that it comes from.
func (m *Mapping) keyRow(side, from int, key []syncline.Value) []syncline.Value {
	row := make([]syncline.Value, len(m.names))
	for i := range row {
		row[i] = syncline.Null
	}
	for i, c := range m.schemas[from].Key {
		row[c] = adapt(key[i], &m.schemas[side].Columns[c])
	}
	return row
}

// write returns a record in the terms of a side's columns. What the column could not hold as it is, is an error of class rejected.
func (m *Mapping) write(side int, r Record) ([]syncline.Value, error) {
	row := make([]syncline.Value, len(r))
	for i, v := range r {
		c := &m.schemas[side].Columns[i]
		row[i] = adapt(v, c)
		if err := checkExact(row[i], c); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// adapt writes a whole number as the column's kind has it.
func adapt(v syncline.Value, c *syncline.Column) syncline.Value {
	if v.Kind() == syncline.KindDecimal && (c.Kind == syncline.KindInt || c.Kind == syncline.KindUint) {
		whole, fraction, _ := strings.Cut(v.Text(), ".")
		if strings.Trim(fraction, "0") == "" {
			return syncline.Raw(c.Kind, []byte(whole))
		}
	}
	return v
}

// checkExact refuses a value that the column would round. The other side would take the rounded one for a change.
func checkExact(v syncline.Value, c *syncline.Column) error {
	fits := true
	switch {
	case v.Kind() == syncline.KindDecimal && c.Kind != syncline.KindDecimal:
		fits = false
	case v.Kind() == syncline.KindDecimal:
		if scale, ok := scaleOf(c.Type); ok {
			_, fraction, _ := strings.Cut(v.Text(), ".")
			fits = len(strings.TrimRight(fraction, "0")) <= scale
		}
	case v.Kind() == syncline.KindTime, v.Kind() == syncline.KindTimestamp, v.Kind() == syncline.KindTimestampTZ:
		if _, args, ok := strings.Cut(c.Type, "("); ok && args[0] >= '0' && args[0] <= '5' {
			_, fraction, _ := strings.Cut(v.Text(), ".")
			fraction, _, _ = strings.Cut(fraction, "+")
			fits = len(strings.TrimRight(fraction, "0")) <= int(args[0]-'0')
		}
	case v.Kind() == syncline.KindFloat && c.Type == "real":
		f, err := strconv.ParseFloat(v.Text(), 32)
		fits = err != nil || strconv.FormatFloat(f, 'g', -1, 32) == v.Text()
	}
	if fits {
		return nil
	}
	return syncline.Errorf(syncline.Rejected, "value_inexact", "column %q (%s) would not hold the value exactly", c.Name, c.Type).
		WithFix("change the value, or give both columns the same precision; then retry the task")
}

// scaleOf returns the decimals of a type like numeric(12,2).
func scaleOf(typ string) (int, bool) {
	_, args, ok := strings.Cut(typ, "(")
	if !ok {
		return 0, false
	}
	args, _, _ = strings.Cut(args, ")")
	_, scale, ok := strings.Cut(args, ",")
	if !ok {
		return 0, true // numeric(12) has none
	}
	n, err := strconv.Atoi(strings.TrimSpace(scale))
	return n, err == nil
}
