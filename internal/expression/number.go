package expression

import (
	"cmp"
	"math"
	"math/bits"

	"github.com/cockroachdb/apd/v3"
)

const (
	// maxDigits bounds the digits of a computed decimal, on both sides of its point together.
	maxDigits = 20_000
	// quotientDigits is the least number of significant digits that a division is rounded to (half to even).
	quotientDigits = 34
)

// Whole numbers and decimals are exact together; a float on either side makes the other one a float. A whole number that
// leaves 64 bits becomes a decimal.

func isNumber(v any) bool {
	switch v.(type) {
	case int, float64, decimal:
		return true
	}
	return false
}

func toDecimal(v any) *apd.Decimal {
	switch v := v.(type) {
	case int:
		return apd.New(int64(v), 0)
	case decimal:
		return v.Decimal
	}
	return nil
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	case decimal:
		// Out of range is an infinity, which is the nearest float.
		f, _ := v.Float64()
		return f
	}
	return math.NaN()
}

// compareNumbers orders by amount; NaN equals NaN and is above everything, as PostgreSQL has it.
func compareNumbers(a, b any) int {
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y)
		}
	}
	x, xFloat := a.(float64)
	y, yFloat := b.(float64)
	if xFloat && yFloat {
		return compareNaN(math.IsNaN(x), math.IsNaN(y), func() int { return cmp.Compare(x, y) })
	}
	p, q := exact(a), exact(b)
	return compareNaN(p.Form == apd.NaN, q.Form == apd.NaN, func() int { return p.Cmp(q) })
}

func compareNaN(a, b bool, compare func() int) int {
	switch {
	case a && b:
		return 0
	case a:
		return 1
	case b:
		return -1
	}
	return compare()
}

// exact is the decimal of any number; a float's is that of its shortest text.
func exact(v any) *apd.Decimal {
	f, ok := v.(float64)
	switch {
	case !ok:
		return toDecimal(v)
	case math.IsNaN(f):
		return &apd.Decimal{Form: apd.NaN}
	case math.IsInf(f, 0):
		return &apd.Decimal{Form: apd.Infinite, Negative: f < 0}
	}
	d, err := new(apd.Decimal).SetFloat64(f)
	if err != nil {
		return &apd.Decimal{Form: apd.NaN}
	}
	return d
}

// arithmetic computes a op b of two numbers.
func arithmetic(m *meter, op byte, a, b any) (any, error) {
	_, aFloat := a.(float64)
	_, bFloat := b.(float64)
	if aFloat || bFloat {
		return floatArithmetic(m, op, toFloat(a), toFloat(b))
	}
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			if v, done, err := intArithmetic(m, op, x, y); done {
				return v, err
			}
		}
	}
	return decimalArithmetic(m, op, toDecimal(a), toDecimal(b))
}

func floatArithmetic(m *meter, op byte, x, y float64) (any, error) {
	switch op {
	case '+':
		return x + y, nil
	case '-':
		return x - y, nil
	case '*':
		return x * y, nil
	}
	if y == 0 {
		return nil, m.errorf("division by zero")
	}
	if op == '/' {
		return x / y, nil
	}
	return math.Mod(x, y), nil
}

// intArithmetic is not done where the result is not a whole number of 64 bits.
func intArithmetic(m *meter, op byte, x, y int) (v any, done bool, err error) {
	switch op {
	case '+':
		s := x + y
		return s, (s > x) == (y > 0), nil
	case '-':
		s := x - y
		return s, (s < x) == (y > 0), nil
	case '*':
		hi, lo := bits.Mul64(magnitude(x), magnitude(y))
		return x * y, hi == 0 && lo <= math.MaxInt64, nil
	}
	if y == 0 {
		return nil, true, m.errorf("division by zero")
	}
	if y == -1 {
		return nil, false, nil
	}
	if op == '%' {
		return x % y, true, nil
	}
	return x / y, x%y == 0, nil
}

func magnitude(x int) uint64 {
	if x < 0 {
		return uint64(-(x + 1)) + 1
	}
	return uint64(x)
}

func decimalArithmetic(m *meter, op byte, x, y *apd.Decimal) (any, error) {
	if err := m.digits(size(x) + size(y)); err != nil {
		return nil, err
	}
	d := new(apd.Decimal)
	if (op == '/' || op == '%') && y.Form == apd.Finite && y.IsZero() {
		return nil, m.errorf("division by zero")
	}
	var err error
	switch op {
	case '+':
		_, err = apd.BaseContext.Add(d, x, y)
	case '-':
		_, err = apd.BaseContext.Sub(d, x, y)
	case '*':
		_, err = apd.BaseContext.Mul(d, x, y)
	case '/':
		precision := max(quotientDigits, x.NumDigits()+y.NumDigits())
		if precision > maxDigits {
			return nil, m.errorf("a number has more than %d digits", maxDigits)
		}
		if _, err = apd.BaseContext.WithPrecision(uint32(precision)).Quo(d, x, y); err == nil && d.Form == apd.Finite {
			d.Reduce(d)
			if d.Exponent > 0 {
				_, err = apd.BaseContext.WithPrecision(uint32(d.NumDigits()+int64(d.Exponent))).Quantize(d, d, 0)
			}
		}
	case '%':
		_, err = apd.BaseContext.WithPrecision(maxDigits).Rem(d, x, y)
	}
	if err != nil {
		return nil, m.errorf("the number is too large, or the result is not a number")
	}
	return decimal{d}, checkDigits(m, d)
}

// size is about how many digits the number has when it is written out. Counting them exactly would take long where they are many.
func size(d *apd.Decimal) int64 {
	return int64(d.Coeff.BitLen())*3/10 + int64(max(d.Exponent, -d.Exponent))
}

func checkDigits(m *meter, d *apd.Decimal) error {
	if d.Form == apd.Finite && d.NumDigits()+int64(max(d.Exponent, -d.Exponent)) > maxDigits {
		return m.errorf("a number has more than %d digits", maxDigits)
	}
	return nil
}

// round rounds half away from zero to a number of places after the point.
func round(m *meter, v any, places int, mode apd.Rounder) (any, error) {
	switch v := v.(type) {
	case int:
		if places >= 0 {
			return v, nil
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return v, nil
		}
	}
	d := exact(v)
	if d.Form != apd.Finite {
		return v, nil
	}
	if err := m.digits(size(d) + int64(max(places, -places))); err != nil {
		return nil, err
	}
	if err := checkDigits(m, d); err != nil {
		return nil, err
	}
	if places < -maxDigits || places > maxDigits {
		return nil, m.errorf("cannot round to so many places")
	}
	ctx := apd.BaseContext.WithPrecision(3 * maxDigits)
	ctx.Rounding = mode
	out := new(apd.Decimal)
	if _, err := ctx.Quantize(out, d, int32(-places)); err != nil {
		return nil, m.errorf("the number cannot be rounded")
	}
	switch v.(type) {
	case float64:
		return toFloat(decimal{out}), nil
	case int:
		if n, err := out.Int64(); err == nil {
			return int(n), nil
		}
	}
	return decimal{out}, nil
}
