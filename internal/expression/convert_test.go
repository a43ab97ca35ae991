package expression

import (
	"strings"
	"testing"
	"time"

	"syncline"
)

func TestConvert(t *testing.T) {
	const (
		boolean, integer, unsigned, float, decimal, text, bytes = syncline.KindBool, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindText, syncline.KindBytes
		date, clock, timestamp, timestamptz, uuid, json, raw    = syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID, syncline.KindJSON, syncline.KindRaw
		array                                                   = syncline.KindArray
	)
	for _, tt := range []struct {
		from syncline.Kind
		text string
		to   syncline.Kind
		want string // "" = refused
	}{
		{integer, "7", text, "7"}, {decimal, "1.50", text, "1.50"}, {bytes, "a", text, "a"}, {bytes, "\xff", text, ""}, {date, "2026-01-02", text, "2026-01-02"},
		{text, "é", bytes, "é"}, {integer, "7", bytes, ""},
		{text, "TRUE", boolean, "true"}, {text, "f", boolean, "false"}, {integer, "1", boolean, "true"}, {integer, "2", boolean, ""}, {text, "yes", boolean, ""}, {date, "2026-01-02", boolean, ""},
		{text, " 42 ", integer, "42"}, {decimal, "42.00", integer, "42"}, {decimal, "42.5", integer, ""}, {float, "1e+06", integer, "1000000"}, {text, "0042", integer, "42"},
		{decimal, "9223372036854775808", integer, ""}, {decimal, "9223372036854775808", unsigned, "9223372036854775808"}, {integer, "-1", unsigned, ""},
		{boolean, "true", integer, "1"}, {text, "x", integer, ""}, {text, "", integer, ""}, {float, "NaN", integer, ""}, {text, "0", integer, "0"}, {decimal, "0.000", integer, "0"},
		{uuid, "0b6e2a5e-0000-4000-8000-00000000000a", integer, ""}, {text, "1e1000000", integer, ""},
		{decimal, "0.1", float, "0.1"}, {decimal, "0.12345678901234567890123", float, ""}, {integer, "9007199254740993", float, ""}, {decimal, "1e400", float, ""}, {text, "NaN", float, "NaN"},
		{float, "1e-07", decimal, "0.0000001"}, {float, "-Infinity", decimal, "-Infinity"}, {text, "1.50", decimal, "1.50"}, {json, "1.50", decimal, "1.50"},
		{date, "2026-01-02", timestamp, "2026-01-02 00:00:00"}, {date, "infinity", timestamptz, "infinity"}, {date, "0044-03-15 BC", timestamp, "0044-03-15 00:00:00 BC"},
		{timestamp, "2026-01-02 03:04:05.5", timestamptz, "2026-01-02 03:04:05.5+00"}, {timestamp, "2026-01-02 03:04:05", date, ""}, {timestamptz, "2026-01-02 00:00:00+00", date, "2026-01-02"},
		{text, "2026-01-02T03:04:05+02:00", timestamptz, "2026-01-02 01:04:05+00"}, {text, "2026-01-02", date, "2026-01-02"}, {text, "2026-02-30", date, ""},
		{text, "2026-01-02T03:04:05.0000001Z", timestamptz, ""}, {text, "12026-01-02", date, "12026-01-02"}, {integer, "5", date, ""},
		{text, "23:59", clock, "23:59:00"}, {text, "24:00:00", clock, "24:00:00"}, {text, "24:01:00", clock, ""}, {text, "12:00:00.0000001", clock, ""}, {timestamp, "2026-01-02 03:04:05", clock, ""},
		{text, "0B6E2A5E00004000800000000000000A", uuid, "0b6e2a5e-0000-4000-8000-00000000000a"}, {text, "0b6e2a5e-0000-4000-8000-00000000000A", uuid, "0b6e2a5e-0000-4000-8000-00000000000a"},
		{text, "0b6e2a5e-0000-4000-8000-00000000000", uuid, ""}, {text, "0b6e2a5e00000-4000-8000-00000000000a", uuid, ""}, {bytes, "0123456789abcdef", uuid, ""},
		{text, ` {"a":1} `, json, `{"a":1}`}, {text, "{", json, ""}, {integer, "5", json, "5"}, {decimal, "NaN", json, `"NaN"`}, {uuid, "0b6e2a5e-0000-4000-8000-00000000000a", json, `"0b6e2a5e-0000-4000-8000-00000000000a"`},
		{array, `{1,NULL}`, json, `[1,null]`}, {bytes, "a", json, ""}, {raw, "7", integer, "7"}, {raw, "(1,2)", text, "(1,2)"}, {text, "x", raw, ""},
	} {
		got, err := Convert(syncline.Raw(tt.from, []byte(tt.text)), integer, tt.to)
		switch {
		case tt.want == "" && (err == nil || tt.text != "" && len(tt.text) > 4 && strings.Contains(err.Error(), tt.text)):
			t.Errorf("Convert(%s %q, %s) = %s, %v, want an error without the value", tt.from, tt.text, tt.to, got, err)
		case tt.want != "" && (err != nil || got.Kind() != tt.to || got.Text() != tt.want):
			t.Errorf("Convert(%s %q, %s) = %s, %v, want %s", tt.from, tt.text, tt.to, got, err, tt.want)
		}
	}
	for _, v := range []syncline.Value{syncline.Null, syncline.Unset} {
		if got, err := Convert(v, integer, integer); got.Kind() != v.Kind() || err != nil {
			t.Errorf("Convert(%s) = %s, %v, want itself", v, got, err)
		}
	}
}

// TestLongDigitsAreNoNumber, which is known without reading them.
func TestLongDigitsAreNoNumber(t *testing.T) {
	long := strings.Repeat("9", 8<<20)
	start := time.Now()
	if _, err := Convert(syncline.Text(long), syncline.KindNull, syncline.KindInt); err == nil {
		t.Error("a text of eight million digits became a number")
	}
	if _, err := Load(syncline.JSON([]byte("["+long+"]")), syncline.KindNull); err == nil {
		t.Error("a document with a number of eight million digits was read")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
