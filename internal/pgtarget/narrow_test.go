package pgtarget

import (
	"strconv"
	"testing"

	"syncline"
)

// TestNothingIsRoundedInSilence: a value that a table of somebody else would hold as another one is refused, whichever way it is written; what the
// table holds exactly is written.
func TestNothingIsRoundedInSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}, "CREATE DOMAIN price AS numeric(10,2)", "CREATE DOMAIN total AS price",
		`CREATE TABLE a (id int PRIMARY KEY, num numeric(10,2), whole numeric(5), tens numeric(5,-1), total total, nums numeric(10,2)[], f4 real, f8 double precision, day date, ts timestamp(0),
			tz timestamptz(3), tm time(0), plain time, span interval(0), vc varchar(3), vcs varchar(3)[], name name, ch "char")`)
	k := map[string]syncline.Kind{"decimal": syncline.KindDecimal, "float": syncline.KindFloat, "int": syncline.KindInt, "text": syncline.KindText, "ts": syncline.KindTimestamp,
		"tz": syncline.KindTimestampTZ, "time": syncline.KindTime, "raw": syncline.KindRaw, "array": syncline.KindArray}
	for _, c := range []struct {
		column, kind, value string
		fits                bool
	}{
		{"num", "decimal", "1.234", false}, {"num", "decimal", "1.2300", true}, {"num", "decimal", "1e-3", false}, {"num", "float", "0.1", true}, {"num", "float", "0.125", false}, {"num", "float", "1e-07", false},
		{"num", "text", "1.005", false}, {"num", "int", "7", true}, {"num", "decimal", "0.000", true}, {"num", "float", "-0", true}, {"num", "decimal", "12e-1", true},
		{"whole", "decimal", "1.5", false}, {"tens", "int", "15", false}, {"tens", "int", "20", true}, {"total", "decimal", "1.234", false}, {"total", "decimal", "1.2", true},
		{"nums", "array", "{1.25,NULL,1.234}", false}, {"nums", "array", "[0:1]={1.25,2}", true}, {"nums", "array", "{{1,2},{3,4.001}}", false},
		{"f4", "float", "0.1", true}, {"f4", "float", "0.1234567891", false}, {"f4", "int", "16777217", false}, {"f4", "float", "NaN", true}, {"f4", "float", "Infinity", true}, {"f4", "float", "-0", true},
		{"f4", "text", "16777217", false}, {"f8", "int", "9007199254740993", false}, {"f8", "int", "9007199254740992", true}, {"f8", "decimal", "0.10000000000000000001", false}, {"f8", "decimal", "0.1", true}, {"f8", "decimal", "-0.0", true},
		{"day", "ts", "2024-02-29 00:00:00", true}, {"day", "ts", "2024-02-29 00:00:00.000001", false}, {"day", "tz", "2024-02-29 12:00:00+00", false}, {"day", "tz", "2024-02-29 00:00:00+00", true},
		{"day", "ts", "infinity", true}, {"day", "ts", "0044-03-15 00:00:00 BC", true}, {"day", "text", "2024-02-29 10:00", false}, {"day", "text", "2024-02-29", true},
		{"ts", "ts", "2024-02-29 23:59:59.5", false}, {"ts", "ts", "2024-02-29 23:59:59.000", true}, {"ts", "text", "2024-02-29 23:59:59.9", false}, {"tz", "tz", "2024-02-29 23:59:59.1234+00", false}, {"tz", "tz", "2024-02-29 23:59:59.123+00", true},
		{"tm", "time", "23:59:59.5", false}, {"tm", "time", "24:00:00", true}, {"plain", "ts", "2024-02-29 10:00:00", false}, {"span", "raw", "1 mon 00:00:01.5", false}, {"span", "raw", "1 mon", true},
		{"vc", "text", "ab   ", false}, {"vc", "text", "ab ", true}, {"vcs", "array", `{"ab   "}`, false}, {"name", "text", "a63456789x123456789x123456789x123456789x123456789x123456789x1234", false}, {"ch", "text", "xy", false}, {"ch", "text", "x", true},
	} {
		s := cols(1, "id", c.column)
		s.Columns[1].Kind = k[c.kind]
		if c.kind == "array" {
			s.Columns[1].Elem = syncline.KindDecimal
			if c.column == "vcs" {
				s.Columns[1].Elem = syncline.KindText
			}
		}
		r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "a"})
		for _, n := range []int{1, defaultCopyMin} {
			var changes []syncline.Change
			for i := range n {
				changes = append(changes, put("a", s, strconv.Itoa(i+1), c.value))
			}
			err := r.apply(false, changes...)
			if c.fits && err != nil {
				t.Errorf("%s %s in column %s: %v, want that it is written", c.kind, c.value, c.column, err)
			}
			if !c.fits {
				wantError(t, err, syncline.Rejected, "value_inexact")
				r.rows("SELECT count(*) FROM a", "(0)")
			}
		}
	}
}

// TestARoundedRecordCanStillGo: what was rounded before its column was looked at is deleted like any other.
func TestARoundedRecordCanStillGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, num numeric(10,2))", "INSERT INTO a VALUES (1, 1.234)")
	s := cols(1, "id", "num")
	s.Columns[1].Kind = syncline.KindDecimal
	r.must(false, del("a", s, "1", "1.234"))
	r.rows("SELECT count(*) FROM a", "(0)")
}

// TestLossesAreWarnedOf: what the server rounds or cuts in a table that was there before.
func TestLossesAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		source string // "" = not PostgreSQL
		kind   syncline.Kind
		target string
		loses  bool
	}{
		{"numeric(12,2)", syncline.KindDecimal, "numeric(12,2)", false},
		{"numeric(12,4)", syncline.KindDecimal, "numeric(12,2)", true},
		{"numeric", syncline.KindDecimal, "numeric(12,2)", true},
		{"numeric(12,2)", syncline.KindDecimal, "numeric", false},
		{"bigint", syncline.KindInt, "numeric(20,0)", false},
		{"", syncline.KindDecimal, "numeric(12,2)", true},
		{"double precision", syncline.KindFloat, "real", true},
		{"real", syncline.KindFloat, "real", false},
		{"real", syncline.KindFloat, "double precision", false},
		{"bigint", syncline.KindInt, "double precision", true},
		{"integer", syncline.KindInt, "double precision", false},
		{"timestamp without time zone", syncline.KindTimestamp, "date", true},
		{"timestamp with time zone", syncline.KindTimestampTZ, "timestamp without time zone", true},
		{"timestamp without time zone", syncline.KindTimestamp, "timestamp(3) without time zone", true},
		{"timestamp(3) without time zone", syncline.KindTimestamp, "timestamp(3) without time zone", false},
		{"text", syncline.KindText, "text", false},
		{"", syncline.KindText, "date", false},
		{"numeric(12,4)[]", syncline.KindArray, "numeric(12,2)[]", true},
		{"time with time zone", syncline.KindRaw, "time without time zone", true},
	} {
		o := &Options{PostgresSource: test.source != ""}
		if got := o.narrows(&syncline.Column{Name: "c", Kind: test.kind, Elem: syncline.KindDecimal, Type: test.source}, &tableColumn{typ: test.target, holds: test.target}); (got.what != "") != test.loses {
			t.Errorf("%q (%s) to %s: %q", test.source, test.kind, test.target, got.what)
		}
	}
}
