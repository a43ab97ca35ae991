package expression

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"

	"syncline"
)

// Convert turns a value into another kind, exactly or not at all: numbers keep their amount, times their instant (those
// without a zone are taken as UTC). Text is read as the kind is written. Null and unset stay what they are; elem is the kind
// of an array's elements. The error never shows the value.
func Convert(v syncline.Value, elem, to syncline.Kind) (syncline.Value, error) {
	from := v.Kind()
	if from == to || from == syncline.KindNull || from == syncline.KindUnset {
		return v, nil
	}
	out, err := convert(v, elem, to)
	if err != nil {
		return syncline.Null, fmt.Errorf("a value of kind %s cannot become %s: %w", from, to, err)
	}
	return out, nil
}

var (
	errNoForm = errors.New("it is not written as one")
	// ErrInexact is why a value cannot become of a kind that is too small for it, or less exact.
	ErrInexact = errors.New("it would not be exact")
	errNoWay   = errors.New("there is no such conversion")
)

func convert(v syncline.Value, elem, to syncline.Kind) (syncline.Value, error) {
	switch to {
	case syncline.KindText:
		if v.Kind() == syncline.KindBytes && !utf8.Valid(v.Bytes()) {
			return v, errNoForm
		}
		return syncline.Raw(to, v.Bytes()), nil
	case syncline.KindBytes:
		if v.Kind() == syncline.KindText {
			return syncline.Raw(to, v.Bytes()), nil
		}
	case syncline.KindBool:
		return toBool(v)
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		return toNumber(v, to)
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		return toMoment(v, to)
	case syncline.KindTime:
		if readable(v) {
			return toClock(v.Text())
		}
	case syncline.KindUUID:
		if readable(v) {
			return toUUID(v.Text())
		}
	case syncline.KindJSON:
		return toJSON(v, elem)
	}
	return v, errNoWay
}

// readable reports whether the value is text that is read as the kind wanted.
func readable(v syncline.Value) bool {
	return v.Kind() == syncline.KindText || v.Kind() == syncline.KindRaw || v.Kind() == syncline.KindJSON
}

func toBool(v syncline.Value) (syncline.Value, error) {
	switch v.Kind() {
	case syncline.KindText, syncline.KindRaw, syncline.KindInt, syncline.KindUint, syncline.KindJSON:
	default:
		return v, errNoWay
	}
	switch strings.ToLower(v.Text()) {
	case "true", "t", "1":
		return syncline.Bool(true), nil
	case "false", "f", "0":
		return syncline.Bool(false), nil
	}
	return v, errNoForm
}

func toNumber(v syncline.Value, to syncline.Kind) (syncline.Value, error) {
	text := strings.TrimSpace(v.Text())
	switch v.Kind() {
	case syncline.KindBool:
		text = map[string]string{"true": "1", "false": "0"}[text]
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
	default:
		if !readable(v) {
			return v, errNoWay
		}
	}
	if len(text) > 2*maxDigits { // reading takes the square of that
		return v, errNoForm
	}
	d, _, err := apd.NewFromString(text)
	if err != nil || d.Form == apd.NaNSignaling || checkDigits(&meter{}, d) != nil {
		return v, errNoForm
	}
	plain := syncline.Decimal(decimalText(d))
	switch to {
	case syncline.KindDecimal:
		return plain, nil
	case syncline.KindFloat:
		f, err := strconv.ParseFloat(plain.Text(), 64)
		if out := syncline.Float(f); err == nil && !(math.IsInf(f, 0) && d.Form == apd.Finite) && syncline.Equal(out, plain) {
			return out, nil
		}
		return v, ErrInexact
	}
	whole, ok := strings.CutSuffix(strings.TrimRight(fractionOf(plain.Text()), "0"), ".")
	if !ok || d.Form != apd.Finite {
		return v, ErrInexact
	}
	if to == syncline.KindUint {
		_, err = strconv.ParseUint(whole, 10, 64)
	} else {
		_, err = strconv.ParseInt(whole, 10, 64)
	}
	if err != nil {
		return v, ErrInexact
	}
	return syncline.Raw(to, []byte(whole)), nil
}

// fractionOf writes a number with a point, so that a whole one ends with it once its zeros are cut.
func fractionOf(text string) string {
	if strings.Contains(text, ".") {
		return text
	}
	return text + "."
}

func toMoment(v syncline.Value, to syncline.Kind) (syncline.Value, error) {
	var m moment
	var err error
	switch v.Kind() {
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		m, err = parseMoment(v.Kind(), v.Text())
	case syncline.KindText, syncline.KindRaw:
		m, err = readMoment(syncline.KindTimestampTZ, v.Text())
		if err != nil {
			m, err = parseMoment(to, v.Text())
		}
	default:
		return v, errNoWay
	}
	if err != nil {
		return v, errNoForm
	}
	if m.kind = to; m.infinite == 0 {
		unit := time.Microsecond
		if to == syncline.KindDate {
			unit = 24 * time.Hour
		}
		if !m.t.Truncate(unit).Equal(m.t) {
			return v, ErrInexact
		}
	}
	return syncline.Raw(to, []byte(m.String())), nil
}

func toClock(text string) (syncline.Value, error) {
	if text == "24:00:00" {
		return syncline.Raw(syncline.KindTime, []byte(text)), nil
	}
	for _, layout := range []string{"15:04:05.999999999", "15:04"} {
		t, err := time.Parse(layout, text)
		switch {
		case err != nil:
		case !t.Truncate(time.Microsecond).Equal(t):
			return syncline.Null, ErrInexact
		default:
			return syncline.Raw(syncline.KindTime, t.AppendFormat(nil, "15:04:05.999999")), nil
		}
	}
	return syncline.Null, errNoForm
}

// toUUID reads 32 hexadecimal digits, with hyphens at the usual places or without.
func toUUID(text string) (syncline.Value, error) {
	digits := text
	if len(text) == 36 {
		for _, i := range []int{8, 13, 18, 23} {
			if text[i] != '-' {
				return syncline.Null, errNoForm
			}
		}
		digits = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	}
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != 16 {
		return syncline.Null, errNoForm
	}
	s := strings.ToLower(digits)
	return syncline.Raw(syncline.KindUUID, []byte(s[:8]+"-"+s[8:12]+"-"+s[12:16]+"-"+s[16:20]+"-"+s[20:])), nil
}

func toJSON(v syncline.Value, elem syncline.Kind) (syncline.Value, error) {
	switch v.Kind() {
	case syncline.KindText, syncline.KindRaw:
		if !json.Valid(v.Bytes()) {
			return v, errNoForm
		}
		return syncline.JSON(bytes.TrimSpace(v.Bytes())), nil
	case syncline.KindBytes:
		return v, errNoWay
	}
	inner, err := load(v, elem)
	if err != nil {
		return v, errNoForm
	}
	text, err := appendJSON(&meter{}, nil, inner, 0)
	if err != nil {
		return v, errNoForm
	}
	return syncline.JSON(text), nil
}
