package cloudevent

import (
	"encoding/base64"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Decode reads the events of one HTTP message in any of the three modes, as its Content-Type says. Errors are *Error.
// The events refer to body. The body's size is the caller's to limit.
func Decode(header http.Header, body []byte, limits Limits) ([]Event, error) {
	limits = limits.withDefaults()
	contentType := header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return nil, Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "content-type", "the content type cannot be read")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "content-type", "the charset is not utf-8")
	}
	switch {
	case media == MediaTypeBatch:
		return decodeBatch(body, limits)
	case media == MediaType:
		if err := checkSyntax(body, ""); err != nil {
			return nil, err
		}
		ev, refused := decodeStructured(body, limits)
		if refused != nil {
			return nil, refused.In(0)
		}
		return []Event{ev}, nil
	case strings.HasPrefix(media, "application/cloudevents"), header.Get("Ce-Specversion") == "":
		e := Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "content-type", "not a CloudEvent in JSON")
		e.Err.Fix = "send " + MediaType + ", " + MediaTypeBatch + ", or JSON data with ce-* headers"
		return nil, e
	}
	ev, refused := decodeBinary(header, contentType, body, limits)
	if refused != nil {
		return nil, refused.In(0)
	}
	return []Event{ev}, nil
}

func decodeBatch(body []byte, limits Limits) ([]Event, error) {
	if err := checkSyntax(body, ""); err != nil {
		return nil, err
	}
	if firstByte(body) != '[' {
		return nil, malformed("bad_batch", "", "the body of a batch is not an array")
	}
	list := elements(body, limits.Events)
	if len(list) > limits.Events {
		return nil, Refuse(http.StatusRequestEntityTooLarge, "batch_too_large", "", "the batch has more than %d events", limits.Events)
	}
	events := make([]Event, len(list))
	for i, text := range list {
		ev, err := decodeStructured(text, limits)
		if err != nil {
			return nil, err.In(i)
		}
		events[i] = ev
	}
	return events, nil
}

func firstByte(text []byte) byte {
	s := scanner{data: text}
	s.space()
	return text[s.pos]
}

// decodeStructured reads one event of the JSON event format from valid JSON.
func decodeStructured(text []byte, limits Limits) (Event, *Error) {
	if firstByte(text) != '{' {
		return Event{}, malformed("bad_event", "", "an event is not an object")
	}
	if err := check(text, limits.Depth); err != nil {
		return Event{}, err
	}
	var ev Event
	var version string
	var data, base64Data []byte
	for _, m := range members(text) {
		switch m.name {
		case "data":
			data = m.value
			continue
		case "data_base64":
			base64Data = m.value
			continue
		}
		s, present, err := attributeText(m.name, m.value)
		if err == nil && present {
			err = ev.set(&version, m.name, s)
		}
		if err != nil {
			return Event{}, err.under(pathName(m.name))
		}
	}
	if base64Data != nil && string(base64Data) != "null" {
		if data != nil {
			return Event{}, malformed("bad_event", "data_base64", "an event has either data or data_base64")
		}
		payload, err := base64.StdEncoding.DecodeString(unquoted(base64Data))
		if err != nil || base64Data[0] != '"' {
			return Event{}, malformed("bad_event", "data_base64", "not a base64 string")
		}
		if err := ev.setPayload(payload, limits); err != nil {
			return Event{}, err.under("data_base64")
		}
	}
	if data != nil {
		ev.Data = data
		if !ev.IsJSON() {
			if data[0] != '"' {
				return Event{}, malformed("bad_event", "data", "data that is not JSON by its content type must be a string")
			}
			ev.Data = []byte(unquoted(data))
		}
	}
	return ev, ev.complete(version)
}

// unquoted is the text of a string that check has accepted, "" for another kind of value.
func unquoted(text []byte) string {
	if text[0] != '"' {
		return ""
	}
	s, _ := unquote(text)
	return s
}

// attributeText returns the canonical string of an attribute's JSON value; null is an attribute that is not there.
func attributeText(name string, text []byte) (s string, present bool, err *Error) {
	switch text[0] {
	case 'n':
		return "", false, nil
	case '"':
		s, err = unquote(text)
		return s, true, err
	case 't', 'f':
		s = string(text)
	case '{', '[':
		return "", false, malformed("bad_attribute", "", "an attribute cannot be an object or an array")
	default:
		if _, err := strconv.ParseInt(string(text), 10, 64); err != nil {
			return "", false, malformed("bad_attribute", "", "a number that is no integer cannot be an attribute")
		}
		s = string(text)
	}
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		return "", false, malformed("bad_attribute", "", "the attribute must be a string")
	}
	return s, true, nil
}

// decodeBinary reads the attributes from ce- headers; the body is the payload.
func decodeBinary(header http.Header, contentType string, body []byte, limits Limits) (Event, *Error) {
	var ev Event
	var version string
	for _, key := range slices.Sorted(maps.Keys(header)) {
		values := header[key]
		name, ok := strings.CutPrefix(strings.ToLower(key), "ce-")
		if !ok {
			continue
		}
		if len(values) != 1 {
			return Event{}, malformed("bad_attribute", "ce-"+pathName(name), "the header occurs more than once")
		}
		if name == "datacontenttype" {
			return Event{}, malformed("bad_attribute", "ce-datacontenttype", "the content type of the data is the Content-Type header")
		}
		s, err := headerText(values[0])
		if err == nil {
			err = ev.set(&version, name, s)
		}
		if err != nil {
			return Event{}, err.under("ce-" + pathName(name))
		}
	}
	ev.DataContentType = contentType
	if err := ev.complete(version); err != nil {
		return Event{}, err
	}
	if len(body) == 0 {
		return ev, nil
	}
	if err := ev.setPayload(body, limits); err != nil {
		return Event{}, err.under("data")
	}
	return ev, nil
}

// setPayload stores bytes that stood beside the event or were encoded in it, and checks them where they are to be JSON. In
// the structured mode the event itself is a level of nesting: it counts here, too.
func (e *Event) setPayload(payload []byte, limits Limits) *Error {
	e.Data = payload
	if !e.IsJSON() {
		return nil
	}
	if err := checkSyntax(payload, ""); err != nil {
		return err
	}
	e.Data = trimSpace(payload)
	return check(e.Data, limits.Depth-1)
}

func trimSpace(text []byte) []byte {
	s := scanner{data: text}
	return s.skip()
}

// headerText undoes quoting and one round of percent-encoding (HTTP binding, section 3.1.3.2).
func headerText(v string) (string, *Error) {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		var b strings.Builder
		for i := 1; i < len(v)-1; i++ {
			if v[i] == '\\' && i+1 < len(v)-1 {
				i++
			}
			b.WriteByte(v[i])
		}
		v = b.String()
	}
	if !strings.Contains(v, "%") {
		return v, nil
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] != '%' {
			b.WriteByte(v[i])
			continue
		}
		if i+2 >= len(v) {
			return "", malformed("bad_attribute", "", "a percent sign without two hexadecimal digits")
		}
		n, err := strconv.ParseUint(v[i+1:i+3], 16, 8)
		if err != nil {
			return "", malformed("bad_attribute", "", "a percent sign without two hexadecimal digits")
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// set stores one attribute.
func (e *Event) set(version *string, name, s string) *Error {
	if !validName(name) {
		return malformed("bad_attribute", "", "the name of an attribute has only lower case letters and digits")
	}
	if len(s) > maxAttribute {
		return malformed("bad_attribute", "", "an attribute has at most %d bytes", maxAttribute)
	}
	if err := checkText(s); err != nil {
		return err
	}
	switch name {
	case "specversion":
		*version = s
	case "id":
		if len(s) > maxID {
			return malformed("bad_attribute", "", "an id has at most %d bytes", maxID)
		}
		e.ID = s
	case "source":
		e.Source = s
	case "type":
		e.Type = s
	case "subject":
		e.Subject = s
	case "dataschema":
		e.DataSchema = s
	case "datacontenttype":
		if _, _, err := mime.ParseMediaType(s); err != nil {
			return malformed("bad_attribute", "", "not a media type")
		}
		e.DataContentType = s
	case "time":
		t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
		if err != nil {
			return malformed("bad_attribute", "", "not a time by RFC 3339")
		}
		e.Time = t.UTC()
	default:
		if e.Extensions == nil {
			e.Extensions = make(map[string]string, 8)
		}
		e.Extensions[name] = s
	}
	return nil
}

func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && name != "data"
}

// checkText refuses the characters that the type system does not allow in a string.
func checkText(s string) *Error {
	for i, r := range s {
		if unicode.IsControl(r) || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF {
			return malformed("bad_attribute", "", "a control character or noncharacter at byte %d", i)
		}
	}
	if strings.ToValidUTF8(s, "") != s {
		return malformed("bad_attribute", "", "not UTF-8")
	}
	return nil
}

// complete checks that what an event must have is there.
func (e *Event) complete(version string) *Error {
	for _, a := range []struct{ name, value string }{
		{"specversion", version}, {"id", e.ID}, {"source", e.Source}, {"type", e.Type},
	} {
		if a.value == "" {
			return malformed("missing_attribute", a.name, "the attribute is missing or empty")
		}
	}
	if version != specVersion {
		return malformed("bad_attribute", "specversion", "the version of CloudEvents is not %s", specVersion)
	}
	return nil
}

// isJSONType reports whether the media type is */json or */*+json.
func isJSONType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	_, sub, _ := strings.Cut(media, "/")
	return sub == "json" || strings.HasSuffix(sub, "+json")
}
