package cloudevent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var entities = map[string]*Entity{
	"order": {Name: "order", Key: []string{"id"}, Version: "rev"},
	"line":  {Name: "line", Key: []string{"order", "no"}},
}

// parseOne decodes a structured event with the standard attributes and these members, and parses it.
func parseOne(t *testing.T, members string) (*Record, error) {
	t.Helper()
	ev, err := Decode(header("Content-Type", MediaType), []byte(`{"specversion":"1.0","id":"e1","source":"pos",`+members+`}`), Limits{})
	if err != nil {
		t.Fatalf("Decode(%s): %v", members, err)
	}
	return Parse(&ev[0], entities)
}

// show writes an event as "op key-columns | before | after".
func show(e *syncline.Event) string {
	image := func(values []syncline.Value) string {
		if values == nil {
			return "-"
		}
		var list []string
		for i, v := range values {
			list = append(list, e.Schema.Columns[i].Name+"="+v.String())
		}
		return strings.Join(list, " ")
	}
	return fmt.Sprintf("%s | %s | %s", e.Op, image(e.Before), image(e.After))
}

func TestParseMakesEvents(t *testing.T) {
	for _, tt := range []struct{ name, members, want string }{
		{"the record itself", `"type":"order.created","subject":"7","data":{"total":12.50,"id":7,"open":true,"note":null,"who":"Ann 李"}`,
			`created | - | id=int(7) note=null open=bool(true) total=decimal(12.50) who=text(Ann 李)`},
		{"before and after", `"type":"order.updated","data":{"before":{"id":7,"n":1},"after":{"id":7,"n":2}}`,
			`updated | id=int(7) n=int(1) | id=int(7) n=int(2)`},
		{"a field on one side only was not sent on the other", `"type":"order.updated","data":{"before":{"id":7,"a":1},"after":{"id":7,"b":2}}`,
			`updated | a=int(1) b=unset id=int(7) | a=unset b=int(2) id=int(7)`},
		{"a null before", `"type":"order.updated","data":{"before":null,"after":{"id":7}}`, `updated | - | id=int(7)`},
		{"a new key", `"type":"order.updated","subject":"8","data":{"before":{"id":7},"after":{"id":8}}`, `updated | id=int(7) | id=int(8)`},
		{"the key from the subject", `"type":"order.updated","subject":"7","data":{"n":1}`, `updated | - | id=int(7) n=int(1)`},
		{"a text key from the subject", `"type":"order.updated","subject":"007","data":{"n":1}`, `updated | - | id=text(007) n=int(1)`},
		{"the key of before from after", `"type":"order.updated","data":{"before":{"n":1},"after":{"n":2,"id":7}}`,
			`updated | id=int(7) n=int(1) | id=int(7) n=int(2)`},
		{"the key of after from before", `"type":"order.updated","data":{"before":{"n":1,"id":7},"after":{"n":2}}`,
			`updated | id=int(7) n=int(1) | id=int(7) n=int(2)`},
		{"deleted by subject", `"type":"order.deleted","subject":"7"`, `deleted | id=int(7) | -`},
		{"deleted by subject with null data", `"type":"order.deleted","subject":"7","data":null`, `deleted | id=int(7) | -`},
		{"deleted with the record", `"type":"order.deleted","data":{"id":7,"n":1}`, `deleted | id=int(7) n=int(1) | -`},
		{"deleted with before", `"type":"order.deleted","data":{"before":{"id":7},"after":null}`, `deleted | id=int(7) | -`},
		{"archived", `"type":"order.archived","data":{"id":7}`, `archived | - | id=int(7)`},
		{"merged", `"type":"order.merged","subject":"7","into":"9"`, `merged | id=int(7) | -`},
		{"composite key", `"type":"line.created","subject":"a%2Cb,2","data":{"order":"a,b","no":2}`, `created | - | no=int(2) order=text(a,b)`},
		{"composite key from the subject", `"type":"line.deleted","subject":"a%2Cb,2"`, `deleted | no=int(2) order=text(a,b) | -`},
		{"nested values stay as they are written", `"type":"order.created","data":{"id":7,"lines":[ {"n": 1.0} ],"o":{}}`,
			`created | - | id=int(7) lines=json([ {"n": 1.0} ]) o=json({})`},
		{"a record with a field named before", `"type":"order.created","data":{"id":7,"before":1}`, `created | - | before=int(1) id=int(7)`},
		{"data in base64", `"type":"order.created","data_base64":"IHsiaWQiOjd9IA=="`, `created | - | id=int(7)`},
		{"a dotted JSON type", `"type":"order.created","datacontenttype":"application/vnd.x+json","data":{"id":7}`, `created | - | id=int(7)`},
	} {
		r, err := parseOne(t, tt.members)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		s := NewShapes()
		s.Learn([]*Record{r})
		e := s.Event(r)
		if got := show(&e); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestParseReadsAttributes(t *testing.T) {
	r, err := parseOne(t, `"type":"order.merged","subject":"7","time":"2026-03-01T12:00:00.123456+08:00","entityversion":"42","priority":"critical",`+
		`"correlationid":"c","userid":"u","sessionid":"s","reason":"why","tags":" vip, new ,,","into":"9","traceparent":"00-1","unknown":true`)
	if err != nil {
		t.Fatal(err)
	}
	want := syncline.Meta{ID: "e1", Time: time.Date(2026, 3, 1, 4, 0, 0, 123456000, time.UTC), Version: 42, Priority: syncline.PriorityCritical,
		Correlation: "c", User: "u", Session: "s", Reason: "why", Tags: []string{"vip", "new"}, Into: "9", Trace: "00-1"}
	if diff := cmp.Diff(want, r.Meta); diff != "" {
		t.Errorf("Meta (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, members, code, field string }{
		{"no operation", `"type":"order"`, "unknown_type", "type"},
		{"an operation of ours", `"type":"order.snapshot","data":{"id":7}`, "unknown_type", "type"},
		{"another entity", `"type":"lead.created","data":{"id":7}`, "unknown_entity", "type"},
		{"a prefix", `"type":"com.order.created","data":{"id":7}`, "unknown_entity", "type"},
		{"bad version", `"type":"order.created","entityversion":"1.5","data":{"id":7}`, "bad_value", "entityversion"},
		{"negative version", `"type":"order.created","entityversion":"-1","data":{"id":7}`, "bad_value", "entityversion"},
		{"version with zeros", `"type":"order.created","entityversion":"007","data":{"id":7}`, "bad_value", "entityversion"},
		{"bad priority", `"type":"order.created","priority":"urgent","data":{"id":7}`, "bad_value", "priority"},
		{"merge without survivor", `"type":"order.merged","subject":"7"`, "missing_attribute", "into"},
		{"survivor without merge", `"type":"order.created","into":"8","data":{"id":7}`, "bad_value", "into"},
		{"merge with itself", `"type":"order.merged","subject":"7","into":"7"`, "bad_value", "into"},
		{"survivor with too many parts", `"type":"order.merged","subject":"7","into":"7,8"`, "bad_key", "into"},
		{"data that is no object", `"type":"order.created","data":[1]`, "bad_data", "data"},
		{"after that is no object", `"type":"order.created","data":{"after":7}`, "bad_data", "data.after"},
		{"data that is XML", `"type":"order.created","datacontenttype":"text/xml","data":"<a/>"`, "unsupported_data", "data"},
		{"nothing", `"type":"order.deleted"`, "missing_key", "subject"},
		{"no record", `"type":"order.created","subject":"7"`, "missing_data", "data"},
		{"only before", `"type":"order.updated","data":{"before":{"id":7}}`, "missing_data", "data.after"},
		{"created with before", `"type":"order.created","data":{"before":{"id":7},"after":{"id":7}}`, "bad_data", "data.before"},
		{"deleted with after", `"type":"order.deleted","data":{"after":{"id":7}}`, "bad_data", "data.after"},
		{"no key", `"type":"order.created","data":{"n":1}`, "missing_key", "data.after.id"},
		{"null key", `"type":"order.created","data":{"id":null}`, "bad_key", "data.after.id"},
		{"empty key", `"type":"order.created","data":{"id":""}`, "bad_key", "data.after.id"},
		{"object as key", `"type":"order.deleted","data":{"id":{}}`, "bad_key", "data.before.id"},
		{"another subject", `"type":"order.created","subject":"8","data":{"id":7}`, "subject_mismatch", "subject"},
		{"the old key as subject", `"type":"order.updated","subject":"7","data":{"before":{"id":7},"after":{"id":8}}`, "subject_mismatch", "subject"},
		{"subject with too few parts", `"type":"line.deleted","subject":"7"`, "bad_key", "subject"},
		{"subject with an empty part", `"type":"line.deleted","subject":"7,"`, "bad_key", "subject"},
		{"subject with a bad escape", `"type":"order.deleted","subject":"50%"`, "bad_key", "subject"},
		{"huge exponent", `"type":"order.created","data":{"id":7,"n":1e100000}`, "number_out_of_range", "data.n"},
		{"huge exponent below after", `"type":"order.created","data":{"after":{"id":7,"n":1e100000}}`, "number_out_of_range", "data.after.n"},
		{"empty field name", `"type":"order.created","data":{"id":7,"":1}`, "bad_field_name", "data"},
		{"long field name", `"type":"order.created","data":{"id":7,"` + strings.Repeat("n", 300) + `":1}`, "bad_field_name", "data." + strings.Repeat("n", 64) + "…"},
		{"NUL in a field name", `"type":"order.created","data":{"id":7,"a\u0000":1}`, "bad_field_name", "data.a\x00"},
	} {
		_, err := parseOne(t, tt.members)
		var e *Error
		if !errors.As(err, &e) || syncline.CodeOf(err) != tt.code || e.Field != tt.field || e.Status/100 != 4 {
			t.Errorf("%s: Parse = %v (%s), want %s at %q", tt.name, err, syncline.CodeOf(err), tt.code, tt.field)
		}
	}
}

func TestTooManyFields(t *testing.T) {
	var b strings.Builder
	for i := range 1600 {
		fmt.Fprintf(&b, `,"f%d":1`, i)
	}
	if _, err := parseOne(t, `"type":"order.created","data":{"id":7`+b.String()+`}`); syncline.CodeOf(err) != "too_many_fields" {
		t.Errorf("1601 fields: %v, want too_many_fields", err)
	}
}

func TestNumbersAreExact(t *testing.T) {
	for in, want := range map[string]string{
		"0": "int(0)", "-0": "int(0)", "42": "int(42)", "-9223372036854775808": "int(-9223372036854775808)",
		"9223372036854775808": "decimal(9223372036854775808)", "123456789012345678901234567890": "decimal(123456789012345678901234567890)",
		"1.50": "decimal(1.50)", "-0.0": "decimal(0.0)", "0.1": "decimal(0.1)", "1e2": "decimal(100)", "1.5E+1": "decimal(15)",
		"1.50e1": "decimal(15.0)", "15e-1": "decimal(1.5)", "1e-3": "decimal(0.001)", "-12.5e-4": "decimal(-0.00125)", "0e5": "decimal(0)",
		"0.00e2": "decimal(0)", "12.34e1": "decimal(123.4)", "0.5e1": "decimal(5)",
	} {
		v, err := number([]byte(in))
		if err != nil || v.String() != want {
			t.Errorf("number(%s) = %s, %v; want %s", in, v, err, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := `"type":"order.updated","subject":"7","time":"2026-01-01T00:00:00Z","data":{"before":{"id":7,"n":1.5},"after":{"id":7,"n":2,"o":{"a":1,"b":2}}}`
	fingerprint := func(members string) string {
		r, err := parseOne(t, members)
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Fingerprint())
	}
	want := fingerprint(base)
	for name, members := range map[string]string{
		"another order and other spaces": `"data":{"after":{"o": {"b":2,"a":1.0},"n":2.0,"id":7},"before":{"n":1.50,"id":7}},"time":"2026-01-01T00:00:00Z","type":"order.updated"`,
		"escapes, another zone, a trace": strings.Replace(strings.Replace(base, `"n"`, `"\u006e"`, 1), "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", 1) + `,"traceparent":"00-2"`,
		"the key from the subject":       strings.Replace(base, `"after":{"id":7,`, `"after":{`, 1),
	} {
		if fingerprint(members) != want {
			t.Errorf("%s: another fingerprint", name)
		}
	}
	for _, change := range [][2]string{{`"n":2`, `"n":3`}, {`"n":2`, `"m":2`}, {"updated", "archived"}, {"00Z", "01Z"}, {`"b":2`, `"b":null`},
		{`"n":1.5`, `"n":"1.5"`}, {`"n":1.5`, `"n":1.5,"x":null`}, {`{"id":7,"n":1.5}`, "null"}, {`"subject":"7"`, `"subject":"7","reason":"x"`},
		{`"subject":"7"`, `"subject":"7","tags":"x,y"`}, {`"subject":"7"`, `"subject":"7","entityversion":"1"`}} {
		if fingerprint(strings.Replace(base, change[0], change[1], 1)) == want {
			t.Errorf("%s for %s: the same fingerprint", change[1], change[0])
		}
	}
}
