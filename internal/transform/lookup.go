package transform

import (
	"errors"
	"log/slog"
	"slices"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/tablefile"
)

// lookup is a compiled Lookup.
type lookup []lookingUp

type lookingUp struct {
	LookupField
	inline  tablefile.Rows
	file    *tablefile.File
	missing outcome
}

var errNoEntry = errors.New("the table has no entry for the value")

func (s Lookup) compile() (binder, error) {
	out := make(lookup, len(s.Fields))
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Field
		if err := named(f.From); err != nil {
			return nil, err
		}
		if err := makes(f.Field, f.To); err != nil {
			return nil, err
		}
		var err error
		switch {
		case (len(f.Table) > 0) == (f.File != nil):
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s needs a table or a file to look into", f.Field)
		case f.File != nil:
			if f.To == syncline.KindNull {
				f.To = syncline.KindText
			}
			out[i].file, err = tablefile.Open(tablefile.Options{Path: f.File.Path, Key: f.File.Key, Reload: f.File.Reload,
				Columns: []tablefile.Column{{Name: f.File.Value, Kind: f.To}}})
			if err != nil {
				err = syncline.Errorf(syncline.Fatal, "bad_step", "%w", err)
			}
		default:
			if f.To == syncline.KindNull {
				f.To = common(f.Table)
			}
			out[i].inline, err = inline(f)
		}
		if err != nil {
			return nil, err
		}
		out[i].LookupField = f
		if out[i].missing, err = decide(f.Field, f.Missing, f.Default, f.To); err != nil {
			return nil, err
		}
	}
	return out, once(names, "looked up")
}

// common is the kind of all values, or text.
func common(entries []Entry) syncline.Kind {
	kind := syncline.KindNull
	for _, e := range entries {
		v := whole(e.Value.Value)
		switch {
		case v.IsNull() || v.Kind() == kind:
		case kind == syncline.KindNull:
			kind = v.Kind()
		case (kind == syncline.KindInt || kind == syncline.KindDecimal) && (v.Kind() == syncline.KindInt || v.Kind() == syncline.KindDecimal):
			kind = syncline.KindDecimal
		default:
			return syncline.KindText
		}
	}
	if kind == syncline.KindNull {
		return syncline.KindText
	}
	return kind
}

func inline(f LookupField) (tablefile.Rows, error) {
	entries := make(tablefile.Rows, len(f.Table))
	for i, e := range f.Table {
		v, err := expression.Convert(e.Value.Value, syncline.KindNull, f.To)
		if err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "entry %d of the table of %s: %v", i+1, f.Field, err)
		}
		key := string(syncline.MakeKey(e.Key.Value))
		if _, again := entries[key]; again {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "entry %d of the table of %s has a key that was there before", i+1, f.Field)
		}
		entries[key] = []syncline.Value{v}
	}
	return entries, nil
}

func (s lookup) logTo(log *slog.Logger) {
	for i := range s {
		if s[i].file != nil {
			s[i].file.LogTo(log)
		}
	}
}

func (s lookup) bind(l *layout) error {
	before := *l
	before.fields = slices.Clone(l.fields)
	for i := range s {
		k := &s[i]
		at, path, err := before.locate(k.From)
		if err != nil {
			return err
		}
		if at < 0 {
			continue
		}
		from := before.fields[at]
		if len(path) > 0 {
			from = l.take(from, path, k.Field, syncline.KindNull)
		}
		entries := k.inline
		var seen *syncline.Batch
		register := l.compute(operation{reads: []int{from.register}, recordOnly: true, formula: "lookup", field: k.Field}, "", func(r *registers, to int) (err error) {
			v := r.values[from.register]
			if r.values[to] = v; v.IsUnset() || v.IsNull() {
				return nil
			}
			// A batch sees one state of the file.
			if k.file != nil && (entries == nil || seen != r.input.Batch) {
				entries, seen = k.file.Rows(), r.input.Batch
			}
			if found := entries.Find(v); found != nil {
				r.values[to] = found[0]
				return nil
			}
			r.values[to], err = k.missing.of(v, errNoEntry)
			if k.missing.policy == PolicyKeep {
				if same, err := expression.Convert(v, from.Elem, k.To); err == nil {
					r.values[to] = same
				}
			}
			return err
		})
		if err := l.add(syncline.Column{Name: k.Field, Kind: k.To, Nullable: true}, register); err != nil {
			return err
		}
	}
	return nil
}
