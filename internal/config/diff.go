package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"syncline/internal/transform"
)

// Changes is how a configuration differs from another one.
type Changes struct {
	// Settings are those outside of systems, rules and schedules.
	Settings []Field `json:"settings,omitempty"`
	// Systems and Rules are in the order of the new configuration, what was removed comes last.
	Systems []Change `json:"systems,omitempty"`
	Rules   []Change `json:"rules,omitempty"`
	// Schedules too.
	Schedules []Change `json:"schedules,omitempty"`
}

// Empty reports whether nothing differs.
func (c *Changes) Empty() bool {
	return len(c.Settings) == 0 && len(c.Systems) == 0 && len(c.Rules) == 0 && len(c.Schedules) == 0
}

// Change is what happened to a system or a rule.
type Change struct {
	Name string     `json:"name"`
	Kind ChangeKind `json:"kind"`
	// Fields are those that differ; none where all of it is new or gone.
	Fields []Field `json:"fields,omitempty"`
}

// ChangeKind is added, removed, changed; or for a rule that was only switched, or changed as well, enabled or disabled.
type ChangeKind string

const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Changed  ChangeKind = "changed"
	Enabled  ChangeKind = "enabled"
	Disabled ChangeKind = "disabled"
)

// Field is a value that differs. Secrets show that they do, not what they are.
type Field struct {
	// Path is the place within the system, the rule or the configuration ("batch.max_rows").
	Path string `json:"path"`
	// Was and Now are the values as text; "" = there is none.
	Was string `json:"was"`
	Now string `json:"now"`
}

// Compare tells how now differs from was. Every field counts, defaults that were filled in too; the order of systems and rules does
// not.
func Compare(was, now *Config) Changes {
	before, after := *was, *now
	before.Systems, before.Rules, after.Systems, after.Rules = nil, nil, nil, nil
	before.Schedules, after.Schedules = nil, nil
	c := Changes{Settings: differences(before, after)}
	for _, s := range now.Systems {
		if before := was.System(s.Name); before == nil {
			c.Systems = append(c.Systems, Change{Name: s.Name, Kind: Added})
		} else if before.Type != s.Type { // nothing else can be compared
			c.Systems = append(c.Systems, Change{s.Name, Changed, []Field{{"type", string(before.Type), string(s.Type)}}})
		} else if f := differences(before, s); len(f) > 0 {
			c.Systems = append(c.Systems, Change{s.Name, Changed, f})
		}
	}
	for _, s := range was.Systems {
		if now.System(s.Name) == nil {
			c.Systems = append(c.Systems, Change{Name: s.Name, Kind: Removed})
		}
	}
	for _, r := range now.Rules {
		before := was.Rule(r.ID)
		if before == nil {
			c.Rules = append(c.Rules, Change{Name: r.ID, Kind: Added})
			continue
		}
		f := differences(before, r)
		switch {
		case len(f) == 0:
		case before.Enabled == r.Enabled:
			c.Rules = append(c.Rules, Change{r.ID, Changed, f})
		case r.Enabled:
			c.Rules = append(c.Rules, Change{r.ID, Enabled, f})
		default:
			c.Rules = append(c.Rules, Change{r.ID, Disabled, f})
		}
	}
	for _, r := range was.Rules {
		if now.Rule(r.ID) == nil {
			c.Rules = append(c.Rules, Change{Name: r.ID, Kind: Removed})
		}
	}
	c.Schedules = compareSchedules(was, now)
	return c
}

func compareSchedules(was, now *Config) (list []Change) {
	for _, s := range now.Schedules {
		before := was.Schedule(s.ID)
		if before == nil {
			list = append(list, Change{Name: s.ID, Kind: Added})
			continue
		}
		f, kind := differences(before, s), Changed
		switch {
		case len(f) == 0:
			continue
		case s.Enabled && !before.Enabled:
			kind = Enabled
		case before.Enabled && !s.Enabled:
			kind = Disabled
		}
		list = append(list, Change{s.ID, kind, f})
	}
	for _, s := range was.Schedules {
		if now.Schedule(s.ID) == nil {
			list = append(list, Change{Name: s.ID, Kind: Removed})
		}
	}
	return list
}

// Same reports whether two parts of configurations have the same values, secrets too.
func Same[T any](was, now T) bool { return len(differences(was, now)) == 0 }

// differences lists the fields in which two values of one type differ. It looks at all there are, so that a field which is added to the
// configuration is compared without anybody having to think of it.
func differences(was, now any) []Field {
	var d difference
	d.walk("", reflect.ValueOf(was), reflect.ValueOf(now))
	return d
}

type difference []Field

// noLevel are parts of the Config that are no level of their own in the file.
var noLevel = []string{"match", "postgres", "sqlite", "redis", "nats_kv", "search", "webhook", "service", "poll", "listing"}

func (d *difference) walk(path string, was, now reflect.Value) {
	switch was.Kind() {
	case reflect.Pointer:
		if !was.IsNil() && !now.IsNil() {
			d.walk(path, was.Elem(), now.Elem())
			return
		}
	case reflect.Struct:
		if _, special := was.Interface().(json.Marshaler); special {
			d.encoded(path, was, now)
			return
		}
		if was.Type() == reflect.TypeFor[Ref]() {
			if was.Interface() != now.Interface() {
				*d = append(*d, Field{path, was.Interface().(Ref).String(), now.Interface().(Ref).String()})
			}
			return
		}
		if was.Type() != reflect.TypeFor[Secret]() && was.Type() != reflect.TypeFor[Text]() {
			d.fields(path, was, now)
			return
		}
	case reflect.Slice:
		if names, ok := byName(was); ok {
			others, _ := byName(now)
			d.named(path, was.Type().Elem(), names, others)
			return
		}
		if was.Type() == reflect.TypeFor[[]transform.Step]() {
			d.steps(path, was, now)
			return
		}
	}
	if !same(was, now) {
		*d = append(*d, Field{path, shown(was), shown(now)})
	}
}

// steps compares what is left once the steps are taken away that both begin and end with. A list is long, and what is edited is mostly
// one step.
func (d *difference) steps(path string, was, now reflect.Value) {
	first, common := 0, min(was.Len(), now.Len())
	for first < common && same(was.Index(first), now.Index(first)) {
		first++
	}
	last := 0
	for last < common-first && same(was.Index(was.Len()-1-last), now.Index(now.Len()-1-last)) {
		last++
	}
	before, after := was.Slice(first, was.Len()-last), now.Slice(first, now.Len()-last)
	if before.Len() == after.Len() {
		for i := range before.Len() {
			d.step(path, first+i, before.Slice(i, i+1), after.Slice(i, i+1))
		}
		return
	}
	d.step(path, first, before, after)
}

// step compares steps from the one with the index i on.
func (d *difference) step(path string, i int, was, now reflect.Value) {
	if same(was, now) {
		return
	}
	list := func(v reflect.Value) string {
		var text []string
		for i := range v.Len() {
			text = append(text, shown(v.Index(i)))
		}
		return strings.Join(text, ", ")
	}
	*d = append(*d, Field{fmt.Sprintf("%s[%d]", path, i), list(was), list(now)})
}

func same(was, now reflect.Value) bool {
	// Of a syncline.Value, DeepEqual sees the first byte: what is written tells constants apart. What is not written (secrets) it sees.
	return reflect.DeepEqual(was.Interface(), now.Interface()) && bytes.Equal(encode(was.Interface()), encode(now.Interface()))
}

func (d *difference) fields(path string, was, now reflect.Value) {
	for i := range was.NumField() {
		field := was.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue // tests change nothing
		}
		d.walk(join(path, name), was.Field(i), now.Field(i))
	}
}

// encoded compares what is written in a form of its own, field by field.
func (d *difference) encoded(path string, was, now reflect.Value) {
	before, after := members(was), members(now)
	for _, name := range union(before, after) {
		if !bytes.Equal(before[name], after[name]) {
			*d = append(*d, Field{join(path, name), plain(before[name]), plain(after[name])})
		}
	}
}

func members(v reflect.Value) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	if err := json.Unmarshal(encode(v.Interface()), &m); err != nil {
		panic("a part of a configuration is not written as an object: " + err.Error())
	}
	return m
}

// byName returns the elements of a list of things with names.
func byName(list reflect.Value) (map[string]reflect.Value, bool) {
	t := list.Type().Elem()
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, false
	}
	if _, ok := t.Elem().FieldByName("Name"); !ok {
		return nil, false
	}
	m := make(map[string]reflect.Value)
	for i := range list.Len() {
		m[list.Index(i).Elem().FieldByName("Name").String()] = list.Index(i)
	}
	return m, true
}

func (d *difference) named(path string, t reflect.Type, was, now map[string]reflect.Value) {
	none := reflect.Zero(t)
	for _, name := range union(was, now) {
		before, after := none, none
		if v, ok := was[name]; ok {
			before = v
		}
		if v, ok := now[name]; ok {
			after = v
		}
		d.walk(join(path, name), before, after)
	}
}

func union[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func join(path, name string) string {
	switch {
	case slices.Contains(noLevel, name):
		return path
	case path == "" || name == "":
		return path + name
	}
	return path + "." + name
}

// shown is a value as text.
func shown(v reflect.Value) string {
	if t, ok := v.Interface().(time.Duration); ok {
		return t.String()
	}
	return plain(encode(v.Interface()))
}

// plain is JSON as it is shown: text without its quotes, nothing for null.
func plain(text []byte) string {
	var s string
	if json.Unmarshal(text, &s) == nil { // null too
		return s
	}
	return string(text)
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("a configuration that was read cannot be written: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}
