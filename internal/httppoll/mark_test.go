package httppoll

import (
	"testing"
	"time"

	"syncline"
)

// TestBack: the service is asked in its own words.
func TestBack(t *testing.T) {
	o := Overlap{Time: 10 * time.Second, Amount: 5}
	for in, want := range map[Mark]string{
		{Text: "2026-03-01T00:00:05Z"}:                            "2026-02-28T23:59:55Z",
		{Text: "2026-03-01T00:00:05.250Z"}:                        "2026-02-28T23:59:55.250Z",
		{Text: "2026-03-01T00:00:05.123456789Z"}:                  "2026-02-28T23:59:55.123456789Z",
		{Text: "2026-03-01T00:00:05+02:00"}:                       "2026-02-28T23:59:55+02:00",
		{Text: "2026-03-01T00:00:05+00:00"}:                       "2026-02-28T23:59:55+00:00",
		{Text: "2026-03-01T00:00:05-0530"}:                        "2026-02-28T23:59:55-0530",
		{Text: "2026-03-01 00:00:05"}:                             "2026-02-28 23:59:55",
		{Text: "2026-03-01 00:00:05 +02"}:                         "2026-02-28 23:59:55 +02",
		{Text: "2026-03-01 00:00"}:                                "2026-02-28 23:59",
		{Text: "2026-03-01"}:                                      "2026-02-28",
		{Text: "01HZX3"}:                                          "",
		{Text: "1772323205"}:                                      "",
		{Text: "2026-13-01"}:                                      "",
		{Text: "1772323205", Number: true}:                        "1772323200",
		{Text: "1772323205.250", Number: true}:                    "1772323200.250",
		{Text: "3", Number: true}:                                 "-2",
		{Text: "123456789012345678901234567890123", Number: true}: "123456789012345678901234567890118",
	} {
		got, ok := in.back(o)
		if want == "" && (ok || got != in) || want != "" && (got.Text != want || got.Number != in.Number) {
			t.Errorf("%+v.back = %+v %t, want %q", in, got, ok, want)
		}
	}
	if _, ok := (Mark{"5", true}).back(Overlap{Time: time.Second}); ok {
		t.Error("a number without an overlap in numbers went back")
	}
}

func TestCompareMarks(t *testing.T) {
	number := func(s string) Mark { return Mark{s, true} }
	text := func(s string) Mark { return Mark{Text: s} }
	for _, tt := range [][2]Mark{ // the first is below the second
		{number("9"), number("10")},
		{number("1.5"), number("1.50000000000000000001")},
		{number("-1"), number("1")},
		{number("5"), text("4")},
		{text("2026-03-01T10:00:00+02:00"), text("2026-03-01T09:00:00Z")},
		{text("2026-03-01T09:00:00Z"), text("2026-03-01T09:00:00.001Z")},
		{text("01HZX3"), text("01HZX4")},
	} {
		if tt[0].compare(tt[1]) >= 0 || tt[1].compare(tt[0]) <= 0 {
			t.Errorf("%+v is not below %+v", tt[0], tt[1])
		}
	}
	if text("2026-03-01T10:00:00+02:00").compare(text("2026-03-01 08:00")) != 0 {
		t.Error("one instant, written in two ways, is not the same mark")
	}
	for _, v := range []syncline.Value{syncline.Null, syncline.Unset, syncline.Bool(true), syncline.JSON([]byte("{}")), syncline.Text("")} {
		if m, ok := markOf(v); ok {
			t.Errorf("markOf(%s) = %+v", v, m)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-03-01T00:00:05.250Z", "2026-03-01 00:00 +0200", "2026-03-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, layout, ok := parseTime(s)
		if ok && at.Format(layout) != s {
			t.Errorf("%q comes back as %q", s, at.Format(layout))
		}
	})
}
