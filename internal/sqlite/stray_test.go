package sqlite

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"syncline"
)

// TestValuesOfOtherKindsAreKept: whatever a column of any kind is given comes back as it was, or as its text, never as another value.
func TestValuesOfOtherKindsAreKept(t *testing.T) {
	t.Parallel()
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	values := []syncline.Value{syncline.Bool(true), syncline.Int(math.MaxInt64), syncline.Uint(math.MaxUint64), syncline.Float(0.1 + 0.2), syncline.Float(math.Inf(1)),
		syncline.Decimal("1.50"), syncline.Decimal("Infinity"), syncline.Text("now"), syncline.Text("a\x00b"), syncline.Text(""), syncline.Bytes([]byte{0, 0xff}), raw(syncline.KindDate, "0044-03-15 BC"),
		raw(syncline.KindDate, "12026-01-01"), raw(syncline.KindTime, "24:00:00"), raw(syncline.KindTimestamp, "infinity"), raw(syncline.KindTimestampTZ, "294276-12-31 23:59:59.999999+00"),
		raw(syncline.KindTimestampTZ, "2024-01-01 00:00:00+00"), raw(syncline.KindUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), syncline.JSON([]byte(`{"a":1e400}`)), syncline.Null}
	kinds := []syncline.Kind{syncline.KindBool, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindText, syncline.KindBytes,
		syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID, syncline.KindJSON}
	s := &syncline.Schema{Entity: "v", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	for i, k := range kinds {
		s.Columns = append(s.Columns, syncline.Column{Name: fmt.Sprintf("c%d", i), Kind: k, Nullable: true})
	}
	ctx := context.Background()
	target, err := OpenTarget(ctx, TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close() //nolint:errcheck // a temporary file
	if _, err := target.Define(ctx, syncline.Definition{Object: "v", Schema: s, Create: true}); err != nil {
		t.Fatal(err)
	}
	b, err := target.binding(ctx, target.conn, "v", s)
	if err != nil {
		t.Fatal(err)
	}
	for n, v := range values {
		args := []any{n}
		for i := range kinds {
			if !b.columns[i+1].holds(v) {
				args = append(args, "refused")
				continue
			}
			args = append(args, b.columns[i+1].store(v))
		}
		if _, err := target.conn.ExecContext(ctx, b.insert(1), args...); err != nil {
			t.Fatal(err)
		}
	}
	err = target.Scan(ctx, "v", s, func(r syncline.Row) error {
		n, err := r.Values[0].AsInt()
		if err != nil {
			return err
		}
		want := values[n]
		for i, k := range kinds {
			got := r.Values[i+1]
			if got.Text() == "refused" { // some numbers, in columns of numbers
				if want.Kind() != syncline.KindInt && want.Kind() != syncline.KindUint || k != syncline.KindBool && k != syncline.KindInt && k != syncline.KindFloat {
					t.Errorf("%s in a column of %s is refused", want, k)
				}
				continue
			}
			if syncline.Equal(got, want) || want.Kind() != k && got.Kind() != syncline.KindBytes && got.Text() == want.Text() {
				continue
			}
			t.Errorf("%s in a column of %s comes back as %s", want, k, got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
