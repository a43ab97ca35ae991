package cloudevent

import (
	"slices"

	"syncline"
)

// maxNesting is how deep objects and arrays of a document may be nested.
const maxNesting = 64

// CheckJSON reports whether data is one JSON value in UTF-8, no name repeated in an object, and no half of a character in a string.
// Errors are *Error and quote nothing but names.
func CheckJSON(data []byte) error {
	if err := checkSyntax(data, ""); err != nil {
		return err
	}
	if err := check(data, maxNesting); err != nil {
		return err
	}
	return nil
}

// Elements splits an array that CheckJSON has accepted; ok is false for another value.
func Elements(array []byte) (list [][]byte, ok bool) {
	array = trimSpace(array)
	if array[0] != '[' {
		return nil, false
	}
	return elements(array, len(array)), true
}

// ReadRecord reads an object that CheckJSON has accepted as a record of the entity, whole in its key: what an event with this operation
// would bring. Errors are *Error. The record refers to object.
func ReadRecord(entity *Entity, op syncline.Op, object []byte) (*Record, error) {
	object = trimSpace(object)
	if object[0] != '{' {
		return nil, unprocessable("bad_data", "", "not an object")
	}
	fields, err := readFields(members(object))
	if err != nil {
		return nil, err
	}
	for _, name := range entity.Key {
		at, found := find(fields, name)
		if !found {
			return nil, unprocessable("missing_key", name, "the key field is missing")
		}
		if err := checkKeyValue(fields[at].value); err != nil {
			return nil, err.under(name)
		}
	}
	r := &Record{Entity: entity, Op: op}
	if op == syncline.OpDeleted {
		r.before = fields
	} else {
		r.after = fields
	}
	return r, nil
}

// Field returns the value of a field of the record as the event leaves it, and false where it was not sent.
func (r *Record) Field(name string) (syncline.Value, bool) {
	fields := r.after
	if fields == nil {
		fields = r.before
	}
	if at, ok := find(fields, name); ok {
		return fields[at].value, true
	}
	return syncline.Unset, false
}

// KeyRecord is the end of the record with this key: all that is known of it is the key. ok is false where no record of the entity can have
// it.
func KeyRecord(entity *Entity, key syncline.Key) (r *Record, ok bool) {
	r = &Record{Entity: entity, Op: syncline.OpDeleted, before: []field{}}
	_, parts, err := r.readKey("", string(key))
	if err != nil {
		return nil, false
	}
	for i, name := range entity.Key {
		at, found := find(r.before, name)
		if found {
			return nil, false
		}
		r.before = slices.Insert(r.before, at, field{name: name, value: syncline.Text(parts[i]), guessed: true})
	}
	return r, true
}
