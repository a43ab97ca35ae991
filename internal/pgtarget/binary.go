package pgtarget

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strconv"

	"syncline"
)

// Rows are copied in COPY's binary format where all columns have types that are known here: the server then reads numbers, times and ids
// as they are, which takes it half the time of reading their texts. A value that is not in the plain form of its type (a date before
// Christ, a number with an exponent) is for the server to read: the group is then copied as text, which says the same. The formats are those of
// PostgreSQL's recv functions (src/backend/utils/adt). pgtype writes them, too, but from Go's values, which our texts would have to become first.

// encoder appends a value as a field of a binary row, its length first. false = it has no plain form, and dst means nothing.
type encoder func(dst []byte, v syncline.Value) ([]byte, bool)

// encoders are by type, without modifiers: the server applies those itself.
var encoders = map[string]encoder{
	"smallint":                    integer(2, math.MinInt16, math.MaxInt16),
	"integer":                     integer(4, math.MinInt32, math.MaxInt32),
	"bigint":                      integer(8, math.MinInt64, math.MaxInt64),
	"xid":                         integer(4, 0, math.MaxUint32),
	"boolean":                     notBytes(encodeBool),
	"numeric":                     notBytes(encodeNumeric),
	"real":                        float(32),
	"double precision":            float(64),
	"text":                        encodeText,
	"character varying":           encodeText,
	"bpchar":                      encodeText,
	"json":                        encodeText,
	"jsonb":                       notBytes(encodeJSONB),
	"bytea":                       encodeBytes,
	"uuid":                        notBytes(encodeUUID),
	"date":                        notBytes(encodeDate),
	"time without time zone":      notBytes(encodeTime),
	"timestamp without time zone": notBytes(encodeTimestamp),
	"timestamp with time zone":    notBytes(encodeTimestampTZ),
}

var (
	binaryHeader  = []byte("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00") // signature, flags, length of an extension
	binaryTrailer = []byte{0xff, 0xff}
)

// errNoPlainForm ends a binary copy that a value does not fit.
var errNoPlainForm = errors.New("a value has no binary form")

// notBytes leaves bytes to the server, which gets them in hexadecimal: they may look like a value of the type, and are none.
func notBytes(e encoder) encoder {
	return func(dst []byte, v syncline.Value) ([]byte, bool) {
		if v.Kind() == syncline.KindBytes {
			return dst, false
		}
		return e(dst, v)
	}
}

// encodersOf returns how the columns of the mask, and the stamp, are encoded; nil where a type is not known.
func (b *binding) encodersOf(mask []int) []encoder {
	var list []encoder
	for _, c := range mask {
		list = append(list, encoders[b.cols[c].cast])
	}
	if b.stamped() {
		list = append(list, encoders[b.stampType()])
	}
	for _, e := range list {
		if e == nil {
			return nil
		}
	}
	return list
}

// field appends a field whose length is known once it is written.
func field(dst []byte, write func([]byte) ([]byte, bool)) ([]byte, bool) {
	start := len(dst)
	dst, ok := write(append(dst, 0, 0, 0, 0))
	if ok {
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	}
	return dst, ok
}

func integer(size int, low, high int64) encoder {
	return notBytes(func(dst []byte, v syncline.Value) ([]byte, bool) {
		n, ok := parseInteger(v.Bytes())
		if !ok || n < low || n > high {
			return dst, false
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(size))
		var all [8]byte
		binary.BigEndian.PutUint64(all[:], uint64(n))
		return append(dst, all[8-size:]...), true
	})
}

// parseInteger reads digits, with a minus before them at most.
func parseInteger(digits []byte) (int64, bool) {
	const maxDigits = 19 // more do not fit
	minus := len(digits) > 1 && digits[0] == '-'
	if minus {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > maxDigits {
		return 0, false
	}
	n := uint64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	if minus {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

func encodeBool(dst []byte, v syncline.Value) ([]byte, bool) {
	dst = append(dst, 0, 0, 0, 1)
	switch string(v.Bytes()) {
	case "t", "true":
		return append(dst, 1), true
	case "f", "false":
		return append(dst, 0), true
	}
	return dst, false
}

func float(bits int) encoder {
	return notBytes(func(dst []byte, v syncline.Value) ([]byte, bool) {
		f, ok := parseFloat(v.Bytes(), bits)
		if !ok {
			return dst, false
		}
		if bits == 32 {
			return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), math.Float32bits(float32(f))), true
		}
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), math.Float64bits(f)), true
	})
}

// serverNaN is what the server makes of the text. Go's has another bit set, and older servers hash the bits.
const serverNaN = 0x7ff8000000000000

// parseFloat reads what AppendFloat writes. A number that is too small is for the server to refuse.
func parseFloat(text []byte, bits int) (float64, bool) {
	switch string(text) {
	case "NaN":
		return math.Float64frombits(serverNaN), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(text), bits)
	return f, err == nil && (f != 0 || !bytes.ContainsAny(text, "123456789eE"))
}

// encodeText writes what the text is; bytes that go to a column of text are in the form that a bytea has as text.
func encodeText(dst []byte, v syncline.Value) ([]byte, bool) {
	b := v.Bytes()
	if v.Kind() == syncline.KindBytes {
		dst = binary.BigEndian.AppendUint32(dst, uint32(2+hex.EncodedLen(len(b))))
		return hex.AppendEncode(append(dst, `\x`...), b), true
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...), true
}

// encodeJSONB writes the format's version, then the text.
func encodeJSONB(dst []byte, v syncline.Value) ([]byte, bool) {
	b := v.Bytes()
	return append(append(binary.BigEndian.AppendUint32(dst, uint32(1+len(b))), 1), b...), true
}

func encodeBytes(dst []byte, v syncline.Value) ([]byte, bool) {
	if v.Kind() != syncline.KindBytes {
		return dst, false
	}
	b := v.Bytes()
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...), true
}

// uuidSize is the length of 8-4-4-4-12 digits.
const uuidSize = 36

func encodeUUID(dst []byte, v syncline.Value) ([]byte, bool) {
	b := v.Bytes()
	if len(b) != uuidSize || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return dst, false
	}
	dst = append(dst, 0, 0, 0, 16)
	for _, at := range [...]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := hexDigit[b[at]], hexDigit[b[at+1]]
		if high|low > 15 {
			return dst, false
		}
		dst = append(dst, high<<4|low)
	}
	return dst, true
}

// hexDigit is what a hexadecimal digit stands for; 255 = none.
var hexDigit = func() (value [256]byte) {
	for c := range value {
		value[c] = 255
	}
	for i := range byte(10) {
		value['0'+i] = i
	}
	for i := range byte(6) {
		value['a'+i], value['A'+i] = 10+i, 10+i
	}
	return value
}()

// encodeNumeric writes the digits to the base of 10,000, counted from the decimal point both ways.
func encodeNumeric(dst []byte, v syncline.Value) ([]byte, bool) {
	const (
		negative  = 0x4000
		maxDigits = 120 // longer ones are rare
	)
	text, sign := v.Bytes(), uint16(0)
	if len(text) > 0 && text[0] == '-' {
		text, sign = text[1:], negative
	}
	whole, part, point := bytes.Cut(text, []byte("."))
	if len(whole) == 0 || len(text) > maxDigits || point && len(part) == 0 {
		return dst, false
	}
	return field(dst, func(dst []byte) ([]byte, bool) {
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
		weight := (len(whole)+3)/4 - 1
		dst, ok := appendDigits(dst, whole, (4-len(whole)%4)%4)
		if !ok {
			return dst, false
		}
		if dst, ok = appendDigits(dst, part, 0); !ok {
			return dst, false
		}
		digits := dst[start+8:]
		for len(digits) > 0 && digits[0]|digits[1] == 0 {
			digits, weight = digits[2:], weight-1
		}
		for n := len(digits); n > 0 && digits[n-1]|digits[n-2] == 0; n = len(digits) {
			digits = digits[:n-2]
		}
		if len(digits) == 0 {
			weight, sign = 0, 0
		}
		dst = dst[:start+8+copy(dst[start+8:], digits)]
		binary.BigEndian.PutUint16(dst[start:], uint16(len(digits)/2))
		binary.BigEndian.PutUint16(dst[start+2:], uint16(int16(weight)))
		binary.BigEndian.PutUint16(dst[start+4:], sign)
		binary.BigEndian.PutUint16(dst[start+6:], uint16(len(part)))
		return dst, true
	})
}

// appendDigits appends decimal digits to the base of 10,000, with so many zeros before them, and as many after them as it takes.
func appendDigits(dst, decimal []byte, zeros int) ([]byte, bool) {
	n, size := uint16(0), zeros
	for _, c := range decimal {
		if c < '0' || c > '9' {
			return dst, false
		}
		n = 10*n + uint16(c-'0')
		if size++; size == 4 {
			dst = binary.BigEndian.AppendUint16(dst, n)
			n, size = 0, 0
		}
	}
	if size > 0 && len(decimal) > 0 {
		for ; size < 4; size++ {
			n *= 10
		}
		dst = binary.BigEndian.AppendUint16(dst, n)
	}
	return dst, true
}
