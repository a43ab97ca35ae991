package main

import (
	"encoding/json"
	"fmt"
)

// kinds are the values of line that systems get wrong, each as PostgreSQL reads it and as JSON has it. Which of them a record has follows from
// its version.
var kinds = []struct {
	column, kind string
	values       [][2]string
}{
	{"f8", "double precision", [][2]string{{"-0", "-0"}, {"NaN", `"NaN"`}, {"Infinity", `"Infinity"`}, {"0.1", "0.1"}, {"1e+308", "1e+308"}, {"5e-324", "5e-324"}, {"0", "0"}}},
	{"wide", "bigint", [][2]string{{"9007199254740993", "9007199254740993"}, {"-9223372036854775808", "-9223372036854775808"}, {"9223372036854775807", "9223372036854775807"}, {"0", "0"}}},
	{"exact", "numeric", [][2]string{{"0.10", "0.10"}, {"-123456789012345678901234567890.123456789", "-123456789012345678901234567890.123456789"}, {"NaN", `"NaN"`}}},
	{"at", "timestamptz", [][2]string{{"2024-02-29 12:34:56.789012+00", `"2024-02-29T12:34:56.789012Z"`}, {"1999-12-31 23:59:59.000001+00", `"1999-12-31T23:59:59.000001Z"`},
		{"2024-02-29 00:00:00+00", `"2024-02-29T00:00:00Z"`}, {"infinity", `"infinity"`}, {"1969-12-31 23:59:59.999999+00", `"1969-12-31T23:59:59.999999Z"`}}},
	{"note", "text", [][2]string{{"", `""`}, {null, "null"}, {`\N`, `"\\N"`}, {"a\tb \"c\"\n", `"a\tb \"c\"\n"`}, {"ß€😀", `"ß€😀"`}}},
}

// null stands for the value that is none.
const null = "\x00"

// kindOf is the value of the i-th kind in the version, as PostgreSQL reads it and as JSON has it.
func kindOf(i int, ver int64) (sql *string, text string) {
	v := kinds[i].values[int(ver/int64(i+1))%len(kinds[i].values)]
	if v[0] == null {
		return nil, v[1]
	}
	return &v[0], v[1]
}

// kindColumns are the columns, with their types where a table is made, else by themselves.
func kindColumns(types bool) (list string) {
	for _, k := range kinds {
		list += ", " + k.column
		if types {
			list += " " + k.kind
		}
	}
	return list
}

// wrongKind tells which value of a document of this version is not what it has to be; "" = none.
func wrongKind(ver int64, values [5]json.RawMessage) string {
	for i, k := range kinds {
		if _, want := kindOf(i, ver); string(values[i]) != want {
			return fmt.Sprintf("%s is %s, want %s", k.column, values[i], want)
		}
	}
	return ""
}
