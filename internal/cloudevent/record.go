package cloudevent

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"syncline"
)

// Entity is what the configuration declares of an entity whose events arrive here.
type Entity struct {
	Name string
	// Key are the fields that identify a record, in key order; at least one.
	Key []string
	// Version is the field that holds the record's version; "" = none.
	Version string
}

// Record is an event understood as a change of one record of an entity.
type Record struct {
	Entity *Entity
	Op     syncline.Op
	// Meta.ID is the event's id.
	Meta syncline.Meta
	// before and after are sorted by name; nil = not sent.
	before, after []field
}

// field is one field of a record. Guessed says that the value came from the subject, which is text whatever its kind.
type field struct {
	name    string
	value   syncline.Value
	guessed bool
}

// opsIn are the operations that an event from outside may have.
var opsIn = []syncline.Op{syncline.OpCreated, syncline.OpUpdated, syncline.OpDeleted, syncline.OpMerged, syncline.OpArchived}

// SplitType returns the entity and the operation that a type names; the operation is 0 where it is not one that may arrive.
func SplitType(eventType string) (entity string, op syncline.Op) {
	i := strings.LastIndexByte(eventType, '.')
	if i < 0 {
		return eventType, 0
	}
	if op = syncline.ParseOp(eventType[i+1:]); !slices.Contains(opsIn, op) {
		op = 0
	}
	return eventType[:i], op
}

// Parse reads an event that Decode returned as a change of a record of one of the entities, by their names. Errors are
// *Error and do not name the event. The record refers to the event's data.
func Parse(ev *Event, entities map[string]*Entity) (*Record, error) {
	r, err := parse(ev, entities)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func parse(ev *Event, entities map[string]*Entity) (*Record, *Error) {
	name, op := SplitType(ev.Type)
	if op == 0 {
		return nil, unprocessable("unknown_type", "type", "the type is not <entity>.created, .updated, .deleted, .merged or .archived")
	}
	entity, ok := entities[name]
	if !ok {
		return nil, unprocessable("unknown_entity", "type", "the source has no entity %q", pathName(name))
	}
	r := &Record{Entity: entity, Op: op}
	if err := r.parseMeta(ev); err != nil {
		return nil, err
	}
	if err := r.parseData(ev); err != nil {
		return nil, err.under("data")
	}
	if err := r.parseSubject(ev.Subject); err != nil {
		return nil, err
	}
	if op == syncline.OpMerged && r.Meta.Into == r.Key() {
		e := unprocessable("bad_value", "into", "a record cannot be merged into itself")
		e.Err.Fix = "subject and data of a merge are those of the record that goes; the one that survives has an event of its own"
		return nil, e
	}
	return r, nil
}

func (r *Record) parseMeta(ev *Event) *Error {
	m := &r.Meta
	m.ID, m.Time = ev.ID, ev.Time
	x := ev.Extensions
	m.Correlation, m.User, m.Session, m.Reason, m.Trace = x["correlationid"], x["userid"], x["sessionid"], x["reason"], x["traceparent"]
	if s, ok := x["entityversion"]; ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || s != strconv.FormatInt(n, 10) {
			return unprocessable("bad_value", "entityversion", "not a decimal number from 0 to 9223372036854775807")
		}
		m.Version = n
	}
	if s, ok := x["priority"]; ok {
		p, ok := syncline.ParsePriority(s)
		if !ok {
			return unprocessable("bad_value", "priority", "not low, normal, high or critical")
		}
		m.Priority = p
	}
	for tag := range strings.SplitSeq(x["tags"], ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			m.Tags = append(m.Tags, tag)
		}
	}
	into, ok := x["into"]
	switch {
	case r.Op == syncline.OpMerged && !ok:
		return unprocessable("missing_attribute", "into", "a merge names the record that survives")
	case r.Op != syncline.OpMerged && ok:
		return unprocessable("bad_value", "into", "only a merge names another record")
	case ok:
		key, _, err := r.readKey("into", into)
		if err != nil {
			return err
		}
		m.Into = key
	}
	return nil
}

func (r *Record) parseData(ev *Event) *Error {
	data := ev.Data
	if data == nil {
		return nil
	}
	if !ev.IsJSON() {
		return Refuse(http.StatusUnsupportedMediaType, "unsupported_data", "", "the content type of the data is not JSON")
	}
	if string(data) == "null" {
		return nil
	}
	if data[0] != '{' {
		return unprocessable("bad_data", "", "not an object")
	}
	list := members(data)
	var err *Error
	if !isEnvelope(list) {
		if r.Op == syncline.OpDeleted {
			r.before, err = readFields(list)
		} else {
			r.after, err = readFields(list)
		}
		return err
	}
	for _, m := range list {
		if m.value[0] == 'n' {
			continue
		}
		if m.value[0] != '{' {
			return unprocessable("bad_data", m.name, "neither an object nor null")
		}
		fields, err := readFields(members(m.value))
		if err != nil {
			return err.under(m.name)
		}
		if m.name == "before" {
			r.before = fields
		} else {
			r.after = fields
		}
	}
	if r.Op == syncline.OpDeleted && r.after != nil {
		return unprocessable("bad_data", "after", "a deleted record has no state after it")
	}
	if r.Op == syncline.OpCreated && r.before != nil {
		return unprocessable("bad_data", "before", "a created record has no state before it")
	}
	return nil
}

// isEnvelope tells {"before": …, "after": …} from a record: it has one or both of these members and no other.
func isEnvelope(list []member) bool {
	for _, m := range list {
		if m.name != "before" && m.name != "after" {
			return false
		}
	}
	return len(list) > 0
}

// readFields returns the fields of a record, sorted by name; never nil.
func readFields(list []member) ([]field, *Error) {
	if len(list) > maxColumns {
		return nil, unprocessable("too_many_fields", "", "a record has at most %d fields", maxColumns)
	}
	fields := make([]field, 0, len(list)+1)
	for _, m := range list {
		if m.name == "" || len(m.name) > maxName || checkText(m.name) != nil {
			return nil, unprocessable("bad_field_name", pathName(m.name), "a field's name has 1 to %d bytes and no control characters", maxName)
		}
		v, err := value(m.value)
		if err != nil {
			return nil, err.under(pathName(m.name))
		}
		fields = append(fields, field{name: m.name, value: v})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields, nil
}

// readKey parses a key in canonical form and returns it with the text of its parts.
func (r *Record) readKey(attribute, text string) (syncline.Key, []string, *Error) {
	parts, err := syncline.Key(text).Parts()
	if err != nil {
		return "", nil, unprocessable("bad_key", attribute, "%v", err)
	}
	if len(parts) != len(r.Entity.Key) {
		e := unprocessable("bad_key", attribute, "the key of %s has %d parts, here are %d", r.Entity.Name, len(r.Entity.Key), len(parts))
		e.Err.Fix = "join the parts with commas and percent-encode a comma inside a part"
		return "", nil, e
	}
	values := make([]syncline.Value, len(parts))
	for i, p := range parts {
		if p == "" || p == "\x00" {
			return "", nil, unprocessable("bad_key", attribute, "part %d of the key is empty", i+1)
		}
		values[i] = syncline.Text(p)
	}
	return syncline.MakeKey(values...), parts, nil
}

// parseSubject makes the record's images whole in their key fields, from the subject or from each other, and checks that
// what was sent twice agrees.
func (r *Record) parseSubject(subject string) *Error {
	var key syncline.Key
	var parts []string
	if subject != "" {
		var err *Error
		if key, parts, err = r.readKey("subject", subject); err != nil {
			return err
		}
	}
	if r.before == nil && r.after == nil {
		if subject == "" {
			return unprocessable("missing_key", "subject", "there is neither a subject nor data")
		}
		if r.Op != syncline.OpDeleted && r.Op != syncline.OpMerged {
			return unprocessable("missing_data", "data", "the event has no record")
		}
		r.before = []field{}
	}
	if r.after == nil && (r.Op == syncline.OpCreated || r.Op == syncline.OpUpdated || r.Op == syncline.OpArchived) {
		return unprocessable("missing_data", "data.after", "the event has no record")
	}
	for _, image := range []struct {
		fields, other *[]field
		path          string
	}{{&r.after, &r.before, "data.after"}, {&r.before, &r.after, "data.before"}} {
		if *image.fields == nil {
			continue
		}
		for i, name := range r.Entity.Key {
			at, found := find(*image.fields, name)
			if found {
				if err := checkKeyValue((*image.fields)[at].value); err != nil {
					return err.under(image.path + "." + name)
				}
				continue
			}
			f := field{name: name, guessed: true}
			if parts != nil {
				f.value = syncline.Text(parts[i])
			} else if j, ok := find(*image.other, name); ok {
				f = (*image.other)[j]
			} else {
				return unprocessable("missing_key", image.path+"."+name, "the key field is missing, and there is no subject")
			}
			*image.fields = slices.Insert(*image.fields, at, f)
		}
	}
	if subject == "" || r.Key() == key {
		return nil
	}
	e := unprocessable("subject_mismatch", "subject", "the subject is not the key of the record in the data")
	e.Err.Fix = "send the key's parts percent-encoded and joined by commas, or leave the subject out"
	return e
}

func checkKeyValue(v syncline.Value) *Error {
	switch {
	case v.Kind() == syncline.KindNull, v.Kind() == syncline.KindJSON:
		return unprocessable("bad_key", "", "a key field is null, an object or an array")
	case len(v.Bytes()) == 0:
		return unprocessable("bad_key", "", "a key field is empty")
	}
	return nil
}

// Key returns the identity after the event.
func (r *Record) Key() syncline.Key {
	fields := r.after
	if fields == nil {
		fields = r.before
	}
	parts := make([]syncline.Value, len(r.Entity.Key))
	for i, name := range r.Entity.Key {
		if at, ok := find(fields, name); ok {
			parts[i] = fields[at].value
		}
	}
	return syncline.MakeKey(parts...)
}

// find returns where the field is, or where it belongs.
func find(fields []field, name string) (int, bool) {
	return slices.BinarySearchFunc(fields, name, func(f field, name string) int { return strings.Compare(f.name, name) })
}
