package syncline

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// Kind says what a value's bytes mean. The numbers are part of the record batch format: they are never reused.
type Kind uint8

// The text form named beside each kind is the only one that a source may emit: two sources that hold the same value
// emit the same kind and equal text.
const (
	// KindNull is SQL NULL, JSON null: no bytes.
	KindNull Kind = 0
	// KindUnset is a column that the source did not send (an unchanged TOASTed value, a column outside the replica
	// identity in a before image). It is not null and must never be written as null.
	KindUnset Kind = 1
	// KindBool is "true" or "false".
	KindBool Kind = 2
	// KindInt is a signed 64-bit integer in decimal digits.
	KindInt Kind = 3
	// KindUint is an unsigned 64-bit integer in decimal digits.
	KindUint Kind = 4
	// KindFloat is a float64: the shortest text that parses back to it, "NaN", "Infinity" or "-Infinity".
	KindFloat Kind = 5
	// KindDecimal is an exact decimal of any length with its scale ("1.50"), "NaN", "Infinity" or "-Infinity".
	KindDecimal Kind = 6
	// KindText is UTF-8.
	KindText Kind = 7
	// KindBytes is the bytes themselves.
	KindBytes Kind = 8
	// KindDate is "2006-01-02", as PostgreSQL writes it in ISO style: "0044-03-15 BC", "infinity", five-digit years.
	KindDate Kind = 9
	// KindTime is "15:04:05.999999" without a zone; up to "24:00:00".
	KindTime Kind = 10
	// KindTimestamp is "2006-01-02 15:04:05.999999" without a zone; also "infinity", "-infinity", " BC" at the end.
	KindTimestamp Kind = 11
	// KindTimestampTZ is "2006-01-02 15:04:05.999999+00", always in UTC.
	KindTimestampTZ Kind = 12
	// KindUUID is "8-4-4-4-12" in lower case.
	KindUUID Kind = 13
	// KindJSON is JSON text as the source wrote it.
	KindJSON Kind = 14
	// KindArray is a PostgreSQL array literal ("{a,b}"); the element's kind is in the column.
	KindArray Kind = 15
	// KindRaw is the source's own text of a type that has no kind here; the column names the type.
	KindRaw Kind = 16

	kindEnd Kind = 17
)

var kindNames = [kindEnd]string{"null", "unset", "bool", "int", "uint", "float", "decimal", "text", "bytes", "date", "time",
	"timestamp", "timestamptz", "uuid", "json", "array", "raw"}

func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k < kindEnd }

// Number reports whether the values are numbers.
func (k Kind) Number() bool { return k >= KindInt && k <= KindDecimal }

// Value is one field: a kind and the source's validated text or bytes, which nobody parses until somebody needs the
// typed form. The bytes belong to the batch that the value came from and must not be changed; they stay valid for as
// long as anything refers to them.
//
// A batch holds tens of thousands of values, so that a slice's capacity would be a third of its memory: the length is kept
// instead of the slice.
type Value struct {
	_    [0]func() // not comparable: Equal and Identical compare
	data *byte
	size uint32
	kind Kind
}

// Null and Unset are the two values without bytes.
var (
	Null  = Value{kind: KindNull}
	Unset = Value{kind: KindUnset}
)

// Raw returns a value of the kind with these bytes. It does not copy and does not validate: the caller vouches that b is
// the text form of k.
func Raw(k Kind, b []byte) Value {
	if uint64(len(b)) > math.MaxUint32 {
		panic("syncline: a value of more than 4 GiB")
	}
	return Value{data: unsafe.SliceData(b), size: uint32(len(b)), kind: k}
}

// Text returns a text value.
func Text(s string) Value { return Raw(KindText, []byte(s)) }

// Bytes returns a value that holds b itself.
func Bytes(b []byte) Value { return Raw(KindBytes, b) }

// Bool returns a bool value.
func Bool(v bool) Value {
	if v {
		return Raw(KindBool, trueText)
	}
	return Raw(KindBool, falseText)
}

var trueText, falseText = []byte("true"), []byte("false")

// Int returns a signed integer value.
func Int(v int64) Value { return Raw(KindInt, strconv.AppendInt(nil, v, 10)) }

// Uint returns an unsigned integer value.
func Uint(v uint64) Value { return Raw(KindUint, strconv.AppendUint(nil, v, 10)) }

// Float returns a float64 value.
func Float(v float64) Value { return Raw(KindFloat, AppendFloat(nil, v)) }

// AppendFloat appends the text form of KindFloat.
func AppendFloat(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// Decimal returns a decimal value; text must be the form of KindDecimal.
func Decimal(text string) Value { return Raw(KindDecimal, []byte(text)) }

// JSON returns a JSON value; text must be valid JSON.
func JSON(text []byte) Value { return Raw(KindJSON, text) }

const (
	layoutDate        = "2006-01-02"
	layoutTimestamp   = "2006-01-02 15:04:05.999999"
	layoutTimestampTZ = "2006-01-02 15:04:05.999999-07"
)

// TimestampTZ returns an instant, with microseconds.
func TimestampTZ(t time.Time) Value {
	return Raw(KindTimestampTZ, t.UTC().AppendFormat(nil, layoutTimestampTZ))
}

// Kind returns what the value is.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.kind == KindNull }

// IsUnset reports whether the source did not send the value.
func (v Value) IsUnset() bool { return v.kind == KindUnset }

// Bytes returns the value's own text or bytes, nil for null and unset. The caller must not change them.
func (v Value) Bytes() []byte { return unsafe.Slice(v.data, v.size) }

// Identical reports whether both are of one kind and have the same bytes. See Equal for what is equal to a system.
func (v Value) Identical(w Value) bool { return v.kind == w.kind && bytes.Equal(v.Bytes(), w.Bytes()) }

// Text returns a copy of the value's text, "" for null and unset.
func (v Value) Text() string { return string(v.Bytes()) }

// String is for people and test failures; secrets and row values do not belong in logs.
func (v Value) String() string {
	if v.kind == KindNull || v.kind == KindUnset {
		return v.kind.String()
	}
	if v.kind == KindBytes {
		return fmt.Sprintf("bytes(%x)", v.Bytes())
	}
	return v.kind.String() + "(" + string(v.Bytes()) + ")"
}

var errKind = errors.New("value has another kind")

// AsBool returns a bool value.
func (v Value) AsBool() (bool, error) {
	if v.kind != KindBool {
		return false, v.wrong(KindBool)
	}
	return len(v.Bytes()) > 0 && v.Bytes()[0] == 't', nil
}

// AsInt returns an integer value that fits int64.
func (v Value) AsInt() (int64, error) {
	if v.kind != KindInt && v.kind != KindUint {
		return 0, v.wrong(KindInt)
	}
	return strconv.ParseInt(string(v.Bytes()), 10, 64)
}

// AsFloat returns the nearest float64 of any number.
func (v Value) AsFloat() (float64, error) {
	if !v.kind.Number() {
		return 0, v.wrong(KindFloat)
	}
	return strconv.ParseFloat(string(v.Bytes()), 64)
}

// AsTime returns the instant of a date, timestamp or timestamptz; those without a zone are taken as UTC. Infinite values,
// years before 1 and after 9999 have no such form: they return an error.
func (v Value) AsTime() (time.Time, error) {
	switch v.kind {
	case KindDate:
		return time.Parse(layoutDate, string(v.Bytes()))
	case KindTimestamp:
		return time.Parse(layoutTimestamp, string(v.Bytes()))
	case KindTimestampTZ:
		return time.Parse(layoutTimestampTZ, string(v.Bytes()))
	}
	return time.Time{}, v.wrong(KindTimestampTZ)
}

func (v Value) wrong(want Kind) error {
	return fmt.Errorf("%w: want %s, have %s", errKind, want, v.kind)
}
