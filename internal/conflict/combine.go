package conflict

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"syncline"
)

var errNotNumbers = syncline.Errorf(syncline.Rejected, "conflict_failed", "sum needs numbers on both sides, and one that both began with")

// Sum adds both sides' changes to what they began with: ours + theirs - base, exactly.
func Sum(ours, theirs, base syncline.Value) (syncline.Value, error) {
	n := [3]apd.Decimal{}
	digits := uint32(16)
	for i, v := range []syncline.Value{ours, theirs, base} {
		if !exact(v.Kind()) {
			return syncline.Unset, errNotNumbers
		}
		if _, _, err := n[i].SetString(v.Text()); err != nil || n[i].Form != apd.Finite {
			return syncline.Unset, errNotNumbers
		}
		digits += uint32(n[i].NumDigits()) + uint32(max(n[i].Exponent, -n[i].Exponent))
	}
	exact := apd.BaseContext.WithPrecision(digits)
	var out apd.Decimal
	if _, err := exact.Add(&out, &n[0], &n[1]); err != nil {
		return syncline.Unset, errNotNumbers
	}
	if _, err := exact.Sub(&out, &out, &n[2]); err != nil {
		return syncline.Unset, errNotNumbers
	}
	text := out.Text('f')
	switch ours.Kind() {
	case syncline.KindDecimal:
		return syncline.Decimal(text), nil
	case syncline.KindUint:
		if out.Negative {
			return syncline.Unset, syncline.Errorf(syncline.Rejected, "conflict_failed", "the sum is below zero, which the field cannot be")
		}
	}
	return syncline.Raw(ours.Kind(), []byte(text)), nil
}

// Union joins two JSON arrays, or the words of two texts between commas. The target's elements come first, in their order, so that
// doing it twice changes nothing.
func Union(ours, theirs syncline.Value) (syncline.Value, error) {
	switch {
	case theirs.IsNull():
		return ours, nil
	case ours.IsNull():
		return theirs, nil
	case ours.Kind() == syncline.KindText && theirs.Kind() == syncline.KindText:
		list := union(words(theirs.Text()), words(ours.Text()), func(w string) string { return w })
		return syncline.Text(strings.Join(list, ", ")), nil
	case ours.Kind() == syncline.KindJSON && theirs.Kind() == syncline.KindJSON:
		var a, b []json.RawMessage
		if json.Unmarshal(theirs.Bytes(), &a) == nil && json.Unmarshal(ours.Bytes(), &b) == nil {
			return joined(a, b), nil
		}
	}
	return syncline.Unset, syncline.Errorf(syncline.Rejected, "conflict_failed", "union needs a JSON array or a text on both sides")
}

func joined(a, b []json.RawMessage) syncline.Value {
	list := union(a, b, func(e json.RawMessage) string { return string(syncline.AppendCanonical(nil, syncline.JSON(e))) })
	out := []byte{'['}
	for i, e := range list {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(out, bytes.TrimSpace(e)...)
	}
	return syncline.JSON(append(out, ']'))
}

// union appends to a what b has and a has not. Equal elements have one id: lists can be long, and the target's record is locked meanwhile.
func union[E any](a, b []E, id func(E) string) []E {
	seen := make(map[string]struct{}, len(a)+len(b))
	for _, e := range a {
		seen[id(e)] = struct{}{}
	}
	for _, e := range b {
		k := id(e)
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			a = append(a, e)
		}
	}
	return a
}

func words(s string) []string {
	var list []string
	for _, w := range strings.Split(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			list = append(list, w)
		}
	}
	return list
}
