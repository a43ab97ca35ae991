package sqlite

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestKeysInAnotherSpelling: the record is the answer to its key however that is written, and what no record has is told of as events
// would write it.
func TestKeysInAnotherSpelling(t *testing.T) {
	shop := newMarkedShop(t,
		"CREATE TABLE number (id INTEGER PRIMARY KEY)", "INSERT INTO number VALUES (1), (16)",
		"CREATE TABLE code (id TEXT PRIMARY KEY)", "INSERT INTO code VALUES ('1'), ('')",
		"CREATE TABLE uuid (id UUID PRIMARY KEY)", "INSERT INTO uuid VALUES ('aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee'), (x'bbbbbbbbbbbbccccddddeeeeeeeeeeee')",
		"CREATE TABLE price (a DECIMAL(6, 2), b TIMESTAMP, PRIMARY KEY (a, b))", "INSERT INTO price VALUES (1.5, '2024-05-06 07:08:09'), (0.1, '2024-05-06')",
		"CREATE TABLE rate (id REAL PRIMARY KEY)", "INSERT INTO rate VALUES (0.1), (2)",
		"CREATE TABLE flag (id BOOLEAN PRIMARY KEY)", "INSERT INTO flag VALUES (1)",
		"CREATE TABLE loose (id INT PRIMARY KEY)", "INSERT INTO loose VALUES ('abc')")
	f := follow(t, shop, "number", "code", "uuid", "price", "rate", "flag", "loose", "mark")
	f.upTo()
	for _, tc := range []struct {
		entity string
		keys   []syncline.Key
		want   []string
	}{
		{"number", []syncline.Key{"01"}, []string{"repair [id=int(1)]"}},
		{"number", []syncline.Key{"1", "+1", "1.0", "%31", " 1"}, []string{"repair [id=int(1)]"}},
		{"number", []syncline.Key{"02", "2"}, []string{"absent [id=int(2)]"}},
		{"number", []syncline.Key{"0x10", "abc"}, nil},
		{"loose", []syncline.Key{"abc"}, []string{"repair [id=text(abc)]"}},
		{"code", []syncline.Key{"01"}, []string{"absent [id=text(01)]"}},
		{"code", []syncline.Key{""}, []string{"repair [id=text()]"}},
		{"uuid", []syncline.Key{"AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"}, []string{"repair [id=uuid(aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee)]"}},
		{"uuid", []syncline.Key{"BBBBBBBBBBBBCCCCDDDDEEEEEEEEEEEE"}, []string{"repair [id=uuid(bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee)]"}},
		{"uuid", []syncline.Key{"CCCCCCCCBBBBCCCCDDDDEEEEEEEEEEEE"}, []string{"absent [id=uuid(cccccccc-bbbb-cccc-dddd-eeeeeeeeeeee)]"}},
		{"uuid", []syncline.Key{"{aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee}"}, nil},
		{"price", []syncline.Key{"1.500,2024-05-06T07:08:09"}, []string{"repair [a=decimal(1.50) b=timestamp(2024-05-06 07:08:09)]"}},
		{"price", []syncline.Key{"1.6,2024-05-06T07:08"}, []string{"absent [a=decimal(1.60) b=timestamp(2024-05-06 07:08:00)]"}},
		{"rate", []syncline.Key{"0.1000000000000000055", "2.0"}, []string{"repair [id=float(0.1)]", "repair [id=float(2)]"}},
		{"rate", []syncline.Key{"3e-1"}, []string{"absent [id=float(0.3)]"}},
		{"flag", []syncline.Key{"1"}, []string{"repair [id=bool(true)]"}},
		{"flag", []syncline.Key{"0", "false"}, []string{"absent [id=bool(false)]"}},
	} {
		id := fmt.Sprint(tc.entity, tc.keys)
		if err := f.src.StartRun(syncline.Run{ID: id, Kind: syncline.RunKeys, Entity: tc.entity, Keys: tc.keys}); err != nil {
			t.Fatal(err)
		}
		got := f.until(func() bool {
			last := f.log[len(f.log)-1]
			return last.Chunk != nil && last.Chunk.Run == id && last.Chunk.Last
		})
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", tc.entity, tc.keys, diff)
		}
	}
}

// TestKeysOfRecordsAreTheirOwnSpelling: what a record's key is read as is that key, so that its absence is told of by it.
func TestKeysOfRecordsAreTheirOwnSpelling(t *testing.T) {
	shop := newShop(t)
	for i, decl := range []string{"INTEGER", "TEXT", "REAL", "DECIMAL(9, 2)", "NUMERIC", "BOOLEAN", "UUID", "DATE", "TIMESTAMP", "BLOB", "", "STRING"} {
		typ := declared(decl)
		l := &layout{types: []colType{typ}, schema: &syncline.Schema{Columns: []syncline.Column{{Name: "k"}}, Key: []int{0}, Version: -1}}
		shop.exec(t, fmt.Sprintf("CREATE TABLE k%d (k %s)", i, decl))
		for _, given := range []any{nil, 0, 1, -7, 1 << 62, 0.1, 1e20, -2.5, 1e-9, 3.0, "", "abc", "007", "12345678901234567890.12", "99999999999999999999", "2024-05-06",
			"2024-05-06 07:08:09.5", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", []byte{0}, []byte("x,y"), []byte{0xff}, "\x00", "%N"} {
			var stored any
			if err := shop.db.QueryRowContext(t.Context(), fmt.Sprintf("INSERT INTO k%d VALUES (?) RETURNING +k", i), given).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			want := syncline.MakeKey(typ.read(stored))
			if sp, ok := l.spell(want); !ok || sp.key != want {
				t.Errorf("%s %v: key %q is read as %q, %t", decl, stored, want, sp.key, ok)
			}
		}
	}
}
