package hostile

import "strings"

// JSONColumns are members of records that are pushed, or listed by an HTTP service.
var JSONColumns = []Column{
	{"i", "", []string{"9223372036854775807", "-9223372036854775808", "9007199254740993", "-0"}, 0},
	{"big", "", []string{"9223372036854775808", "18446744073709551615", "-9223372036854775809", strings.Repeat("9", 1000), "1e400", "1e401", "1e-400", "1e-401", "1e999999999999999999999", "0.1", "1.50", "-0.0", "1E2", "5e-324"}, 0},
	{"s", "", []string{`""`, `"\ud83d\ude00"`, `"😀"`, `"e\u0301"`, `"\u0000"`, `"a\u0000b"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xed\xa0\x80\"", "\"\xff\"", `"\ufeff\uffff"`, `"` + strings.Repeat("x", 1<<20-2000) + `"`, `"now"`, `"2024-01-01"`, `"NaN"`, `"null"`, `"007"`, `"\\N"`, `"1"`}, 0},
	{"o", "", []string{"{}", "[]", "[null]", `{"a":1,"a":2}`, `{"a":1e400}`, `{"a":1e999999}`, `{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"\u0000":1}`, strings.Repeat("[", 29) + strings.Repeat("]", 29), strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strings.Repeat("[", 20000) + strings.Repeat("]", 20000), `{"n":9007199254740993}`, `[[1,[2]],{"":null}]`}, 0},
	{"b", "", []string{"true", "false"}, 0},
	{"mix", "", []string{"1", `"a"`, "true", `{"x":1}`, "1.5", "null", `"1"`}, 0},
}
