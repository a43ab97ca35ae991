package cloudevent

import (
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "spec", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readMessage splits a message of the binary mode.
func readMessage(t *testing.T, name string) (http.Header, []byte) {
	t.Helper()
	head, body, ok := bytes.Cut(readFile(t, name), []byte("\n\n"))
	if !ok {
		t.Fatalf("%s has no body", name)
	}
	h := http.Header{}
	for line := range strings.SplitSeq(string(head), "\n") {
		k, v, _ := strings.Cut(line, ": ")
		h.Add(textproto.CanonicalMIMEHeaderKey(k), v)
	}
	return h, body
}

func specEvent(id, contentType, data string) Event {
	return Event{ID: id, Source: "/mycontext", Type: "com.example.someevent", Time: time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC),
		DataContentType: contentType, Data: []byte(data),
		Extensions: map[string]string{"comexampleextension1": "value", "comexampleothervalue": "5"}}
}

func TestDecodeExamplesOfTheSpecification(t *testing.T) {
	object := specEvent("C234-1234-1234", "application/json", `{"appinfoA":"abc","appinfoB":123,"appinfoC":true}`)
	for _, tt := range []struct {
		name string
		want Event
	}{
		{"a_binary", specEvent("A234-1234-1234", "application/vnd.apache.thrift.binary", "\x00\x01\x02\xff")},
		{"b_xml", specEvent("B234-1234-1234", "application/xml", `<much wow="xml"/>`)},
		{"c_object", object},
		{"d_string", specEvent("D234-1234-1234", "application/json", `"I'm just a string"`)},
	} {
		structured, err := Decode(header("Content-Type", "application/cloudevents+json; charset=UTF-8"), readFile(t, tt.name+".json"), Limits{})
		if err != nil || len(structured) != 1 {
			t.Fatalf("%s, structured: %d events, %v", tt.name, len(structured), err)
		}
		h, body := readMessage(t, tt.name+".http")
		binary, err := Decode(h, body, Limits{})
		if err != nil || len(binary) != 1 {
			t.Fatalf("%s, binary: %d events, %v", tt.name, len(binary), err)
		}
		if structured[0].DataContentType == "" { // JSON by default
			structured[0].DataContentType = "application/json"
		}
		for mode, got := range map[string]Event{"structured": structured[0], "binary": binary[0]} {
			if tt.name == "c_object" {
				got.Data = bytes.ReplaceAll(bytes.ReplaceAll(got.Data, []byte(" "), nil), []byte("\n"), nil)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", tt.name, mode, diff)
			}
		}
	}

	batch, err := Decode(header("Content-Type", MediaTypeBatch), readFile(t, "batch.json"), Limits{})
	if err != nil || len(batch) != 2 {
		t.Fatalf("batch: %d events, %v", len(batch), err)
	}
	if batch[0].Source != "/mycontext/4" || string(batch[0].Data) != "\x00\x01\x02\xff" || batch[1].Type != "com.example.someotherevent" {
		t.Errorf("batch = %+v", batch)
	}
	if empty, err := Decode(header("Content-Type", MediaTypeBatch), []byte("[]"), Limits{}); err != nil || len(empty) != 0 {
		t.Errorf("empty batch: %d events, %v", len(empty), err)
	}
}

func TestHeaderTextFollowsTheBinding(t *testing.T) {
	for in, want := range map[string]string{
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		"Euro%20%e2%82%ac":                "Euro €",
		`"a \"quoted\" \\ value"`:         `a "quoted" \ value`,
		`"quoted%20and%20encoded"`:        "quoted and encoded",
		"%41bc":                           "Abc",
		"/plain/value":                    "/plain/value",
	} {
		if got, err := headerText(in); err != nil || got != want {
			t.Errorf("headerText(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"100%", "%2", "%zz"} {
		if got, err := headerText(in); err == nil {
			t.Errorf("headerText(%q) = %q, want an error", in, got)
		}
	}
}

const minimal = `"specversion":"1.0","id":"1","source":"pos","type":"order.created"`

func TestDecodeRefuses(t *testing.T) {
	structured := header("Content-Type", MediaType)
	batch := header("Content-Type", MediaTypeBatch)
	binary := func(pairs ...string) http.Header {
		h := header("Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "pos", "Ce-Type", "order.created")
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		status int
		code   string
		event  int
		field  string
	}{
		{"no content type", header(), `{}`, 415, "unsupported_media_type", -1, "content-type"},
		{"plain JSON", header("Content-Type", "application/json"), `{}`, 415, "unsupported_media_type", -1, "content-type"},
		{"another format", header("Content-Type", "application/cloudevents+avro"), `{}`, 415, "unsupported_media_type", -1, "content-type"},
		{"another charset", header("Content-Type", MediaType+"; charset=latin1"), `{}`, 415, "unsupported_media_type", -1, "content-type"},
		{"empty body", structured, ``, 400, "bad_json", -1, ""},
		{"cut short", structured, `{"id":`, 400, "bad_json", -1, ""},
		{"two values", structured, `{} {}`, 400, "bad_json", -1, ""},
		{"not UTF-8", structured, "{\"a\":\"\xff\"}", 400, "bad_json", -1, ""},
		{"a batch that is no array", batch, `{}`, 400, "bad_batch", -1, ""},
		{"too many events", batch, `[{},{},{},{}]`, 413, "batch_too_large", -1, ""},
		{"an event that is no object", batch, `[{` + minimal + `},7]`, 400, "bad_event", 1, ""},
		{"missing id", structured, `{"specversion":"1.0","source":"pos","type":"a.created"}`, 400, "missing_attribute", 0, "id"},
		{"empty source", structured, `{"specversion":"1.0","id":"1","source":"","type":"a.created"}`, 400, "missing_attribute", 0, "source"},
		{"null type", structured, `{"specversion":"1.0","id":"1","source":"pos","type":null}`, 400, "missing_attribute", 0, "type"},
		{"missing version", structured, `{"id":"1","source":"pos","type":"a.created"}`, 400, "missing_attribute", 0, "specversion"},
		{"old version", structured, `{"specversion":"0.3","id":"1","source":"pos","type":"a.created"}`, 400, "bad_attribute", 0, "specversion"},
		{"a number as id", structured, `{"specversion":"1.0","id":1}`, 400, "bad_attribute", 0, "id"},
		{"long id", structured, `{"specversion":"1.0","id":"` + strings.Repeat("x", 257) + `"}`, 400, "bad_attribute", 0, "id"},
		{"bad time", structured, `{` + minimal + `,"time":"yesterday"}`, 400, "bad_attribute", 0, "time"},
		{"upper case attribute", structured, `{` + minimal + `,"entityVersion":"1"}`, 400, "bad_attribute", 0, "entityVersion"},
		{"object as attribute", structured, `{` + minimal + `,"tags":["a"]}`, 400, "bad_attribute", 0, "tags"},
		{"fraction as attribute", structured, `{` + minimal + `,"x":1.5}`, 400, "bad_attribute", 0, "x"},
		{"control character", structured, `{` + minimal + `,"reason":"a\u0000b"}`, 400, "bad_attribute", 0, "reason"},
		{"long attribute", structured, `{` + minimal + `,"reason":"` + strings.Repeat("x", 5000) + `"}`, 400, "bad_attribute", 0, "reason"},
		{"attribute twice", structured, `{` + minimal + `,"id":"2"}`, 400, "duplicate_name", 0, "id"},
		{"attribute twice, escaped", structured, `{` + minimal + `,"\u0069d":"2"}`, 400, "duplicate_name", 0, "id"},
		{"field twice", batch, `[{` + minimal + `},{` + minimal + `,"data":{"lines":[{},{"sku":1,"sku":2}]}}]`, 400, "duplicate_name", 1, "data.lines[1].sku"},
		{"half a surrogate pair", structured, `{` + minimal + `,"data":{"name":"\ud800x"}}`, 400, "bad_string", 0, "data.name"},
		{"a low surrogate alone", structured, `{` + minimal + `,"data":{"name":"\udc00"}}`, 400, "bad_string", 0, "data.name"},
		{"too deep", structured, `{` + minimal + `,"data":{"a":` + deep + `}}`, 400, "too_deep", 0, "data.a" + strings.Repeat("[0]", 30)},
		{"both kinds of data", structured, `{` + minimal + `,"data":{},"data_base64":"e30="}`, 400, "bad_event", 0, "data_base64"},
		{"bad base64", structured, `{` + minimal + `,"data_base64":"%%"}`, 400, "bad_event", 0, "data_base64"},
		{"base64 of no JSON", structured, `{` + minimal + `,"data_base64":"ew=="}`, 400, "bad_json", 0, "data_base64"},
		{"base64 of repeated names", structured, `{` + minimal + `,"data_base64":"eyJhIjoxLCJhIjoyfQ=="}`, 400, "duplicate_name", 0, "data_base64.a"},
		{"an object as XML", structured, `{` + minimal + `,"datacontenttype":"text/xml","data":{}}`, 400, "bad_event", 0, "data"},
		{"bad content type of the data", structured, `{` + minimal + `,"datacontenttype":"a/b/c","data":{}}`, 400, "bad_attribute", 0, "datacontenttype"},
		{"header twice", binary("Ce-Subject", "1", "Ce-Subject", "2"), `{}`, 400, "bad_attribute", 0, "ce-subject"},
		{"content type of the data as header", binary("Ce-Datacontenttype", "text/xml"), `{}`, 400, "bad_attribute", 0, "ce-datacontenttype"},
		{"overlong UTF-8 in a header", binary("Ce-Subject", "%C0%A0"), `{}`, 400, "bad_attribute", 0, "ce-subject"},
		{"binary with a cut body", binary(), `{"a":`, 400, "bad_json", 0, "data"},
		{"binary with repeated names", binary(), `{"a":1,"a":2}`, 400, "duplicate_name", 0, "data.a"},
	} {
		_, err := Decode(tt.header, []byte(tt.body), Limits{Events: 3})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: Decode = %v, want an *Error", tt.name, err)
			continue
		}
		if e.Status != tt.status || syncline.CodeOf(err) != tt.code || e.Event != tt.event || e.Field != tt.field {
			t.Errorf("%s: Decode = %d %s, event %d, field %q (%v); want %d %s, event %d, field %q", tt.name,
				e.Status, syncline.CodeOf(err), e.Event, e.Field, err, tt.status, tt.code, tt.event, tt.field)
		}
		if syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("%s: class %s, want rejected", tt.name, syncline.ClassOf(err))
		}
	}
}

func TestDecodeAcceptsTheLimits(t *testing.T) {
	nested := strings.Repeat(`{"a":`, 30) + "1" + strings.Repeat("}", 30)
	if _, err := Decode(header("Content-Type", MediaType), []byte(`{`+minimal+`,"data":{"a":`+nested+`}}`), Limits{}); err != nil {
		t.Errorf("32 levels: %v", err)
	}
	h := header("Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "pos", "Ce-Type", "order.created")
	if _, err := Decode(h, []byte(` {"a":`+nested+`} `), Limits{}); err != nil {
		t.Errorf("32 levels in the binary mode: %v", err)
	}
	if ev, err := Decode(h, nil, Limits{}); err != nil || ev[0].Data != nil {
		t.Errorf("no body: %+v, %v, want no data", ev, err)
	}
	if ev, err := Decode(header("Content-Type", MediaType), []byte(`{`+minimal+`,"data":{"pair":"\ud83d\ude00"}}`), Limits{}); err != nil {
		t.Errorf("a surrogate pair: %v, %v", ev, err)
	}
}

// TestManyNames covers objects whose names are kept in a map.
func TestManyNames(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(`"f` + strings.Repeat("x", i) + `":1,`)
	}
	if _, err := Decode(header("Content-Type", MediaType), []byte(`{`+minimal+`,"data":{`+b.String()+`"g":1}}`), Limits{}); err != nil {
		t.Errorf("distinct names: %v", err)
	}
	_, err := Decode(header("Content-Type", MediaType), []byte(`{`+minimal+`,"data":{`+b.String()+`"fxx":1}}`), Limits{})
	if syncline.CodeOf(err) != "duplicate_name" {
		t.Errorf("a repeated name among many: %v, want duplicate_name", err)
	}
}
