package transform

import (
	"errors"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"syncline"
	"syncline/internal/expression"
)

// maxScale bounds the places after a point.
const maxScale = 100

// Rounding is how a number loses places.
type Rounding string

const (
	// RoundHalfUp rounds to the nearest, a half away from zero.
	RoundHalfUp Rounding = "half_up"
	// RoundHalfEven rounds to the nearest, a half to the even neighbour.
	RoundHalfEven Rounding = "half_even"
	// RoundDown rounds towards zero, RoundUp away from it.
	RoundDown Rounding = "down"
	RoundUp   Rounding = "up"
	// RoundFloor rounds towards minus infinity, RoundCeiling towards plus infinity.
	RoundFloor   Rounding = "floor"
	RoundCeiling Rounding = "ceiling"
	// RoundNever refuses a number that has more places.
	RoundNever Rounding = "never"
)

// Roundings lists them.
var Roundings = []Rounding{RoundHalfUp, RoundHalfEven, RoundDown, RoundUp, RoundFloor, RoundCeiling, RoundNever}

var errNoNumber = errors.New("it is no number that can be rounded")

// rounded returns a number as a decimal with exactly so many places.
func rounded(v syncline.Value, scale int, how Rounding) (syncline.Value, error) {
	v, err := expression.Convert(v, syncline.KindNull, syncline.KindDecimal)
	if err != nil {
		return v, err
	}
	d, _, err := apd.NewFromString(v.Text())
	if err != nil || d.Form != apd.Finite {
		return v, errNoNumber
	}
	ctx := apd.BaseContext.WithPrecision(uint32(d.NumDigits()) + uint32(max(d.Exponent, -d.Exponent)) + maxScale + 1)
	ctx.Rounding = apd.Rounder(how)
	if how == RoundNever {
		ctx.Rounding = apd.RoundDown
	}
	out := new(apd.Decimal)
	if _, err := ctx.Quantize(out, d, -int32(scale)); err != nil {
		return v, errNoNumber
	}
	if how == RoundNever && out.Cmp(d) != 0 {
		return v, expression.ErrInexact
	}
	if out.IsZero() {
		out.Negative = false
	}
	return syncline.Decimal(out.Text('f')), nil
}

// write returns a number with its decimals, groups and point.
func (n *Number) write(v syncline.Value) (string, error) {
	d, err := expression.Convert(v, syncline.KindNull, syncline.KindDecimal)
	switch {
	case err != nil || strings.ContainsAny(d.Text(), "Nn"):
		return "", errNoNumber
	case n.Decimals >= 0:
		if d, err = rounded(d, n.Decimals, RoundHalfUp); err != nil {
			return "", err
		}
	}
	text := d.Text()
	digits, sign := strings.TrimPrefix(text, "-"), ""
	if digits != text {
		sign = "-"
	}
	whole, fraction, has := strings.Cut(digits, ".")
	var b strings.Builder
	b.WriteString(sign)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(n.Group)
		}
		b.WriteByte(whole[i])
	}
	if has {
		b.WriteString(n.Point)
		b.WriteString(fraction)
	}
	return b.String(), nil
}
