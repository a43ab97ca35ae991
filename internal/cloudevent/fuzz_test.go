package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// FuzzDecode: whatever arrives, it is refused with an *Error or becomes events that the record batch format carries.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"a_binary.json", "b_xml.json", "c_object.json", "d_string.json"} {
		f.Add(byte(0), readFile(f, name))
	}
	for _, c := range outgoing() {
		f.Add(byte(0), AppendChange(nil, "shop", c))
	}
	f.Add(byte(1), readFile(f, "batch.json"))
	f.Add(byte(1), []byte(`[{`+minimal+`,"data":{"before":{"id":1},"after":{"id":2,"n":1e3}}}]`))
	f.Add(byte(2), []byte(`{"id":7,"n":-0.5e-3,"s":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, mode byte, body []byte) {
		h := header("Content-Type", MediaType)
		switch mode % 3 {
		case 1:
			h = header("Content-Type", MediaTypeBatch)
		case 2:
			h = header("Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "pos", "Ce-Type", "order.updated")
		}
		events, err := Decode(h, body, Limits{})
		var refused *Error
		if err != nil {
			if !errors.As(err, &refused) || refused.Status < 400 || refused.Status > 499 || refused.Error() == "" {
				t.Fatalf("Decode = %v, want an *Error with a status", err)
			}
			return
		}
		var records []*Record
		for i := range events {
			r, err := Parse(&events[i], entities)
			if err != nil {
				if !errors.As(err, &refused) {
					t.Fatalf("Parse = %v, want an *Error", err)
				}
				continue
			}
			records = append(records, r)
		}
		shapes := NewShapes()
		shapes.Learn(records)
		b := &syncline.Batch{Source: "pos", Txns: make([]syncline.Txn, 1)}
		for _, r := range records {
			e := shapes.Event(r)
			for i, v := range e.Row().Values {
				if !v.Kind().Valid() || v.Kind() == syncline.KindJSON && !json.Valid(v.Bytes()) {
					t.Fatalf("column %s = %s", e.Schema.Columns[i].Name, v)
				}
			}
			if k, ok := e.Key(); !ok || k == "" {
				t.Fatalf("an event without a key: %s", show(&e))
			}
			b.Events = append(b.Events, e)
		}
		data, err := syncline.AppendBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := syncline.DecodeBatch(data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range again.Events {
			if got, want := show(&again.Events[i]), show(&b.Events[i]); got != want {
				t.Fatalf("event %d comes back as\n%s\nwant\n%s", i, got, want)
			}
			if !bytes.Equal(FingerprintOf(&again.Events[i]), records[i].Fingerprint()) {
				t.Fatalf("event %d has another fingerprint than its record: %s", i, show(&again.Events[i]))
			}
		}
		known, err := ParseShapes(shapes.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(shapes.kinds, known.kinds); diff != "" {
			t.Fatalf("kinds after a restart (-want +got):\n%s", diff)
		}
	})
}

// FuzzNumber: the decimal is the number that was written, without an exponent.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0.0", "1.50e1", "12.5e-4", "9223372036854775808", "1e400", "0.001e2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var n json.Number
		if json.Unmarshal([]byte(s), &n) != nil || n.String() != s {
			return
		}
		v, err := number([]byte(s))
		if err != nil {
			return
		}
		if !syncline.Equal(v, syncline.Decimal(s)) {
			t.Errorf("number(%s) = %s", s, v)
		}
		if bytes.ContainsAny(v.Bytes(), "eE+") || !json.Valid(v.Bytes()) {
			t.Errorf("number(%s) = %s is not in plain form", s, v)
		}
	})
}

func FuzzParseShapes(f *testing.F) {
	s := NewShapes()
	s.note("order", "id", syncline.KindInt)
	s.note("order", "total", syncline.KindDecimal)
	s.note("line", "no", syncline.KindText)
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseShapes(data)
		if err != nil {
			return
		}
		again, err := ParseShapes(s.Append(nil))
		if err != nil || !cmp.Equal(s.kinds, again.kinds) {
			t.Errorf("ParseShapes(Append) = %v, %v, want %v", again, err, s.kinds)
		}
	})
}

// FuzzHeaderText: what the binding's encoding makes of a text comes back as the text.
func FuzzHeaderText(f *testing.F) {
	for _, s := range []string{"Euro € 😀", `a "b" \ c`, "100%", "%41", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var encoded []byte
		for _, c := range []byte(s) {
			if c <= ' ' || c == '"' || c == '%' || c > '~' {
				encoded = fmt.Appendf(encoded, "%%%02x", c)
			} else {
				encoded = append(encoded, c)
			}
		}
		if got, err := headerText(string(encoded)); err != nil || got != s {
			t.Errorf("headerText(%q) = %q, %v; want %q", encoded, got, err, s)
		}
		if _, err := headerText(s); err != nil && err.Status != 400 {
			t.Errorf("headerText(%q) = %v", s, err)
		}
	})
}
