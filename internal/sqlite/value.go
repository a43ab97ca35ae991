package sqlite

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"syncline"
)

// colType is what a declared type says about a column's values.
type colType struct {
	kind syncline.Kind
	// scale is the number of decimals of a KindDecimal, -1 where none is declared.
	scale int
	// textual: SQLite keeps a number in the column as its text.
	textual bool
}

// declared returns what a declared type means. SQLite enforces none of it: every value has its own storage class, and
// what does not fit the declared type has the kind of its storage class.
func declared(decl string) colType {
	name, args, _ := strings.Cut(strings.ToUpper(decl), "(")
	name = strings.TrimSpace(name)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
	t := colType{kind: syncline.KindText, scale: -1, textual: has("CHAR", "CLOB", "TEXT") && !has("INT")}
	switch {
	case has("BOOL"):
		t.kind = syncline.KindBool
	case has("TIMESTAMPTZ") || has("TIMESTAMP") && strings.Contains(strings.ToUpper(decl), "WITH TIME ZONE"):
		t.kind = syncline.KindTimestampTZ
	case has("TIMESTAMP", "DATETIME"):
		t.kind = syncline.KindTimestamp
	case name == "DATE":
		t.kind = syncline.KindDate
	case name == "TIME":
		t.kind = syncline.KindTime
	case has("UUID", "GUID"):
		t.kind = syncline.KindUUID
	case name == "JSON":
		t.kind = syncline.KindJSON
	case has("POINT"): // contains INT
		t.kind = syncline.KindText
	case has("INT"):
		t.kind = syncline.KindInt
	case has("DECIMAL", "NUMERIC", "NUMBER", "MONEY"):
		t.kind = syncline.KindDecimal
		if _, scale, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(args), ")"), ","); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(scale)); err == nil && n >= 0 && n <= 100 {
				t.scale = n
			}
		}
	case has("CHAR", "CLOB", "TEXT"):
		t.kind = syncline.KindText
	case has("BLOB", "BINARY"):
		t.kind = syncline.KindBytes
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // SQLite looks for these four letters
		t.kind = syncline.KindFloat
	}
	return t
}

// read returns a stored value as the declared type means it, else as what its storage class is. Text that is not UTF-8 is
// bytes.
func (t colType) read(stored any) syncline.Value {
	switch v := stored.(type) {
	case nil:
		return syncline.Null
	case int64:
		return t.readInt(v)
	case float64:
		return t.readFloat(v)
	case string:
		if val, ok := t.readText(v); ok {
			return val
		}
		if !utf8.ValidString(v) {
			return syncline.Bytes([]byte(v))
		}
		return syncline.Text(v)
	case []byte:
		if t.kind == syncline.KindUUID && len(v) == 16 {
			return syncline.Raw(syncline.KindUUID, uuidText(hex.EncodeToString(v)))
		}
		if v == nil {
			v = []byte{}
		}
		return syncline.Bytes(v)
	}
	panic("sqlite: a storage class that does not exist")
}

func (t colType) readInt(v int64) syncline.Value {
	switch {
	case t.kind == syncline.KindBool && (v == 0 || v == 1):
		return syncline.Bool(v == 1)
	case t.kind == syncline.KindDecimal:
		return syncline.Decimal(t.pad(strconv.FormatInt(v, 10)))
	case t.kind == syncline.KindFloat && float64(v) < math.MaxInt64 && int64(float64(v)) == v:
		return syncline.Float(float64(v))
	case t.kind == syncline.KindUint && v >= 0:
		return syncline.Uint(uint64(v))
	case t.kind == syncline.KindJSON: // SQLite makes a number of a document that is one
		return syncline.JSON(strconv.AppendInt(nil, v, 10))
	}
	return syncline.Int(v)
}

func (t colType) readFloat(v float64) syncline.Value {
	switch {
	case t.kind == syncline.KindDecimal && math.IsInf(v, 0):
		return syncline.Raw(syncline.KindDecimal, syncline.AppendFloat(nil, v))
	case t.kind == syncline.KindDecimal:
		return syncline.Decimal(t.pad(strconv.FormatFloat(v, 'f', -1, 64)))
	case t.kind == syncline.KindJSON && !math.IsInf(v, 0):
		return syncline.JSON(syncline.AppendFloat(nil, v))
	}
	return syncline.Float(v)
}

// pad adds the zeros of the declared scale, which a numeric storage class does not keep. It never takes a digit away.
func (t colType) pad(text string) string {
	if t.scale <= 0 {
		return text
	}
	_, fraction, found := strings.Cut(text, ".")
	if !found {
		text += "."
	}
	return text + strings.Repeat("0", max(0, t.scale-len(fraction)))
}

// readText returns the value that the text is the form of, and false where it is not of the declared type.
func (t colType) readText(s string) (syncline.Value, bool) {
	switch t.kind {
	case syncline.KindText:
		return syncline.Text(s), utf8.ValidString(s)
	case syncline.KindBool:
		if b := strings.EqualFold(s, "true"); b || strings.EqualFold(s, "false") {
			return syncline.Bool(b), true
		}
	case syncline.KindDecimal:
		return syncline.Decimal(s), isDecimal(s)
	case syncline.KindUint:
		n, err := strconv.ParseUint(s, 10, 64)
		return syncline.Uint(n), err == nil && strconv.FormatUint(n, 10) == s
	case syncline.KindFloat:
		return syncline.Raw(syncline.KindFloat, []byte(s)), s == "NaN" || s == "Infinity" || s == "-Infinity"
	case syncline.KindJSON:
		return syncline.JSON([]byte(s)), utf8.ValidString(s) && json.Valid([]byte(s))
	case syncline.KindUUID:
		hexed := strings.ReplaceAll(strings.ToLower(s), "-", "")
		if _, err := hex.DecodeString(hexed); err == nil && len(hexed) == 32 && (len(s) == 32 || len(s) == 36 && string(uuidText(hexed)) == strings.ToLower(s)) {
			return syncline.Raw(syncline.KindUUID, uuidText(hexed)), true
		}
	case syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ:
		if v, ok := readTime(t.kind, s); ok {
			return v, true
		}
		return syncline.Raw(t.kind, []byte(s)), syncline.WellFormed(t.kind, []byte(s))
	}
	return syncline.Value{}, false
}

// uuidText puts the dashes into 32 hexadecimal digits.
func uuidText(h string) []byte {
	return []byte(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}

func isDecimal(s string) bool {
	switch s {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	s = strings.TrimPrefix(s, "-")
	whole, fraction, dot := strings.Cut(s, ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return whole != "" && digits(whole) && digits(fraction) && (!dot || fraction != "")
}

// store returns the storage of a value in the column. Numbers are their own text where SQLite would write one of 15 digits, and a truth that is
// not expected is no 1.
func (c *bound) store(v syncline.Value) any {
	switch k := v.Kind(); {
	case c.any:
	case k == syncline.KindBool && c.typ.kind != syncline.KindBool:
		return v.Text()
	case c.affinity == affinityText && (k == syncline.KindInt || k == syncline.KindUint || k == syncline.KindFloat):
		return v.Text()
	}
	return store(v)
}

// store returns the storage of a value: integers and reals as such, bytes as a blob, everything else as its text, so
// that nothing loses a digit. An unsigned integer beyond 63 bits is text too.
func store(v syncline.Value) any {
	switch v.Kind() {
	case syncline.KindNull, syncline.KindUnset:
		return nil
	case syncline.KindBool:
		if b, _ := v.AsBool(); b {
			return int64(1)
		}
		return int64(0)
	case syncline.KindInt, syncline.KindUint:
		if n, err := v.AsInt(); err == nil {
			return n
		}
	case syncline.KindFloat:
		if f, err := v.AsFloat(); err == nil && !math.IsNaN(f) {
			return f
		}
	case syncline.KindBytes:
		if b := v.Bytes(); b != nil {
			return b
		}
		return []byte{}
	}
	return v.Text()
}
