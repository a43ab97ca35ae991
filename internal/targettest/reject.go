package targettest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"syncline"
)

// runReject checks that data which the target refuses costs no other record.
func runReject(t *testing.T, h Harness) {
	if h.Open(t).Refuse == nil {
		return
	}
	s := customer()
	bad := func(e *env, object string, id int64) syncline.Change {
		c := put(object, s, syncline.Int(id), syncline.Text("bad"), syncline.Null)
		c.Row = e.Refuse(object, c.Row)
		return c
	}
	for _, ordered := range []bool{false, true} {
		name := map[bool]string{false: "unordered", true: "ordered"}[ordered]
		t.Run(name, func(t *testing.T) {
			e := open(t, h)
			o := e.object(s)
			e.applied(false, put(o, s, syncline.Int(1), syncline.Text("one"), syncline.Null))
			one := vals(syncline.Int(1), syncline.Text("one"), syncline.Null)
			w := e.write(ordered,
				put(o, s, syncline.Int(2), syncline.Text("two"), syncline.Null),
				bad(e, o, 3),
				put(o, s, syncline.Int(4), syncline.Text("four"), syncline.Null))
			res, err := e.Target.Apply(t.Context(), w)
			if e.traits.Transactional {
				var se *syncline.Error
				if !errors.As(err, &se) || se.Class != syncline.Rejected {
					t.Fatalf("Apply of a refused record = %v, want a rejected error", err)
				}
				if se.Change != -1 && se.Change != 1 {
					t.Errorf("the culprit = change %d, want 1 or -1", se.Change)
				}
				e.holds(o, s, one)
				w := e.write(ordered, w.Changes[0], w.Changes[2])
				if _, err := e.Target.Apply(t.Context(), w); err != nil {
					t.Errorf("Apply without the culprit: %v", err)
				}
			} else {
				if err != nil {
					t.Fatalf("Apply of a refused record = %v, want an outcome", err)
				}
				e.outcomes(res, syncline.OutcomeApplied, syncline.OutcomeRejected, syncline.OutcomeApplied)
				if syncline.ClassOf(res.Rejected[1]) != syncline.Rejected || len(res.Rejected) != 1 {
					t.Errorf("rejected = %v, want one error of class rejected at 1", res.Rejected)
				}
			}
			e.holds(o, s, one, vals(syncline.Int(2), syncline.Text("two"), syncline.Null), vals(syncline.Int(4), syncline.Text("four"), syncline.Null))
		})
	}
	t.Run("later changes of the key are held", func(t *testing.T) {
		e := open(t, h)
		if e.traits.Transactional {
			return
		}
		o := e.object(s)
		refused := bad(e, o, 3)
		res := e.apply(true, refused, put(o, s, syncline.Int(4), syncline.Text("four"), syncline.Null),
			put(o, s, syncline.Int(3), syncline.Text("later"), syncline.Null), remove(o, s, syncline.Int(3)))
		e.outcomes(res, syncline.OutcomeRejected, syncline.OutcomeApplied, syncline.OutcomeHeld, syncline.OutcomeHeld)
		e.holds(o, s, vals(syncline.Int(4), syncline.Text("four"), syncline.Null))
	})
}

// Hostile is a value that has broken somebody's synchronisation.
type Hostile struct {
	Name  string
	Value syncline.Value
}

// HostileValues are the values that every target must hold unless its Harness refuses them by name.
func HostileValues() []Hostile {
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	return []Hostile{
		{"null", syncline.Null},
		{"text_empty", syncline.Text("")},
		{"text_emoji", syncline.Text("👩‍👩‍👧 ﷽ é 日本語 \u202e")},
		{"text_quotes", syncline.Text(`it's "quoted" \ back\\slash \N \. {a,b} $1 %s`)},
		{"text_control", syncline.Text("tab\t cr\r lf\n vt\v bs\b ff\f del\x7f esc\x1b")},
		{"text_nul", syncline.Text("a\x00b")},
		{"text_invalid_utf8", syncline.Text("a\xffb")},
		{"text_spaces", syncline.Text("  both ends  ")},
		{"text_null_word", syncline.Text("NULL")},
		{"text_end_of_copy", syncline.Text("\\.\n")},
		{"text_megabyte", syncline.Text(strings.Repeat("0123456789abcdé", 1<<16))},
		{"bool_true", syncline.Bool(true)},
		{"bool_false", syncline.Bool(false)},
		{"int_min", syncline.Int(-1 << 63)},
		{"int_max", syncline.Int(1<<63 - 1)},
		{"int_beyond_double", syncline.Int(1<<53 + 1)},
		{"uint_max", syncline.Uint(1<<64 - 1)},
		{"float_nan", raw(syncline.KindFloat, "NaN")},
		{"float_infinity", raw(syncline.KindFloat, "Infinity")},
		{"float_minus_infinity", raw(syncline.KindFloat, "-Infinity")},
		{"float_tiny", syncline.Float(5e-324)},
		{"float_huge", syncline.Float(1.7976931348623157e308)},
		{"float_third", syncline.Float(1.0 / 3)},
		{"decimal_scale", syncline.Decimal("1.50")},
		{"decimal_thousand_digits", syncline.Decimal(strings.Repeat("1234567890", 100) + ".0987654321")},
		{"decimal_nan", syncline.Decimal("NaN")},
		{"decimal_infinity", syncline.Decimal("Infinity")},
		{"bytes_empty", syncline.Bytes([]byte{})},
		{"bytes_all", syncline.Bytes(allBytes())},
		{"date", raw(syncline.KindDate, "2024-02-29")},
		{"date_bc", raw(syncline.KindDate, "0044-03-15 BC")},
		{"date_infinity", raw(syncline.KindDate, "infinity")},
		{"date_far", raw(syncline.KindDate, "12024-12-31")},
		{"time_last", raw(syncline.KindTime, "23:59:59.999999")},
		{"time_midnight", raw(syncline.KindTime, "24:00:00")},
		{"timestamp", raw(syncline.KindTimestamp, "1999-12-31 23:59:59.000001")},
		{"timestamp_bc", raw(syncline.KindTimestamp, "0044-03-15 12:00:00 BC")},
		{"timestamp_minus_infinity", raw(syncline.KindTimestamp, "-infinity")},
		{"timestamptz", raw(syncline.KindTimestampTZ, "2024-06-30 23:59:59.5+00")},
		{"timestamptz_bc", raw(syncline.KindTimestampTZ, "0001-01-01 00:00:00+00 BC")},
		{"timestamptz_infinity", raw(syncline.KindTimestampTZ, "infinity")},
		{"uuid", raw(syncline.KindUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"json_object", syncline.JSON([]byte(`{"b": [1, 2.50, null, "\u00e9\ud83d\ude00", {}], "a": 12345678901234567890}`))},
		{"json_null", syncline.JSON([]byte(`null`))},
		{"json_string", syncline.JSON([]byte(`"text"`))},
	}
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// runHostile writes each hostile value beside others, in small and large writes, and expects it back.
func runHostile(t *testing.T, h Harness) {
	for _, v := range HostileValues() {
		t.Run("value/"+v.Name, func(t *testing.T) {
			kind := v.Value.Kind()
			if kind == syncline.KindNull {
				kind = syncline.KindText
			}
			s := &syncline.Schema{Entity: "hostile_" + v.Name, Key: []int{0}, Version: -1, Columns: []syncline.Column{
				{Name: "id", Kind: syncline.KindInt}, {Name: "v", Kind: kind, Nullable: true}}}
			want := v.Value
			if h.Stored != nil {
				want = h.Stored(v.Name, want)
			}
			e := open(t, h)
			o := e.object(s)
			e.applied(false, put(o, s, syncline.Int(1), syncline.Null))
			w := e.write(false, put(o, s, syncline.Int(1), v.Value))
			res, err := e.Target.Apply(t.Context(), w)
			if slices.Contains(h.Refuses, v.Name) && (err != nil || res.Outcomes[0] == syncline.OutcomeRejected) {
				if err == nil {
					err = res.Rejected[0]
				}
				if syncline.ClassOf(err) != syncline.Rejected {
					t.Errorf("Apply of a value that the target cannot hold = %v, want class rejected", err)
				}
				e.holds(o, s, vals(syncline.Int(1), syncline.Null))
				return
			}
			if err != nil {
				t.Fatalf("Apply: %v", err)
			}
			e.cursor = w.Cursor
			e.outcomes(res, syncline.OutcomeApplied)
			e.holds(o, s, vals(syncline.Int(1), want))
			if len(v.Value.Bytes()) > 10000 {
				return
			}
			var many []syncline.Change
			var rows [][]syncline.Value
			for i := range 700 {
				many = append(many, put(o, s, syncline.Int(int64(i)), v.Value))
				rows = append(rows, vals(syncline.Int(int64(i)), want))
			}
			e.applied(false, many...)
			e.holds(o, s, rows...)
		})
	}
	t.Run("keys", func(t *testing.T) {
		s := &syncline.Schema{Entity: "hostile_key", Key: []int{0}, Version: -1, Columns: []syncline.Column{
			{Name: "id", Kind: syncline.KindText}, {Name: "v", Kind: syncline.KindInt, Nullable: true}}}
		e := open(t, h)
		o := e.object(s)
		var changes []syncline.Change
		var want [][]syncline.Value
		for i, k := range []string{"", " ", "a", "A", "a ", "é", "e\u0301", "a,b", "a%2Cb", "a/b", "a.b", "a:b", "*", ">", "a\nb", `"'\`, "{}", "日本", "😀", "NULL", "\\N"} {
			changes = append(changes, put(o, s, syncline.Text(k), syncline.Int(int64(i))))
			want = append(want, vals(syncline.Text(k), syncline.Int(int64(i))))
		}
		e.applied(false, changes...)
		e.holds(o, s, want...)
		e.applied(false, remove(o, s, syncline.Text("a")), remove(o, s, syncline.Text("*")), remove(o, s, syncline.Text("")))
		e.holds(o, s, slices.Delete(slices.Delete(want[1:], 11, 12), 1, 2)...)
	})
	t.Run("column names", func(t *testing.T) {
		s := &syncline.Schema{Entity: "hostile_names", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "select", Kind: syncline.KindInt}}}
		row := vals(syncline.Int(1))
		for _, n := range []string{"sp ace", "UPPER", "upper", `quo"te`, "apo'strophe", "名前", "$1", "%s", "back\\slash", "excluded", "order"} {
			s.Columns = append(s.Columns, syncline.Column{Name: n, Kind: syncline.KindText, Nullable: true})
			row = append(row, syncline.Text("value of "+n))
		}
		e := open(t, h)
		o := e.object(s)
		e.applied(false, put(o, s, row...))
		e.holds(o, s, row)
	})
}
