package pgtarget

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// money is how the server writes and reads the type of this name: by its lc_monetary. Much of what another locale writes it takes for another
// amount: "12,50 €" has a hundred times as many euros where the comma stands between thousands.
type money struct {
	before, after                 string // what stands around the digits, sign included
	beforeNegative, afterNegative string
	thousands, point              string
	group, scale                  int // digits of a group, and behind the point
}

// moneySample has nine digits at a scale of two, no two of which are alike at an end of a group.
const moneySample = "SELECT 1234567.89::numeric::money::text, (-1234567.89)::numeric::money::text"

// readMoney asks the session's server how it writes money.
func readMoney(ctx context.Context, q *pgx.Conn) (*money, error) {
	var positive, negative string
	if err := q.QueryRow(ctx, moneySample).Scan(&positive, &negative); err != nil {
		return nil, err
	}
	if m := moneyOf(positive, negative); m != nil {
		return m, nil
	}
	return &money{}, nil // which holds whole numbers
}

// readMoney asks it where a column needs it.
func (t *table) readMoney(ctx context.Context, q *pgx.Conn) (err error) {
	var m *money
	for i := range t.cols {
		if c := &t.cols[i]; c.cast == "money" || c.cast == "money[]" {
			if m == nil {
				if m, err = readMoney(ctx, q); err != nil {
					return err
				}
			}
			c.money = m
		}
	}
	return nil
}

// moneyOf takes the samples apart; nil where that cannot be done.
func moneyOf(positive, negative string) *money {
	const digits = "0123456789"
	first, last := strings.IndexAny(positive, digits), strings.LastIndexAny(positive, digits)
	firstNegative, lastNegative := strings.IndexAny(negative, digits), strings.LastIndexAny(negative, digits)
	if first < 0 || firstNegative < 0 || negative[firstNegative:lastNegative+1] != positive[first:last+1] {
		return nil
	}
	m := &money{before: positive[:first], after: positive[last+1:], beforeNegative: negative[:firstNegative], afterNegative: negative[lastNegative+1:]}
	body, whole := positive[first:last+1], 7
	var groups []int // digits between what is no digit
	var between []string
	for len(body) > 0 {
		n := len(body) - len(strings.TrimLeft(body, digits))
		groups, body = append(groups, n), body[n:]
		if at := strings.IndexAny(body, digits); at >= 0 {
			between, body = append(between, body[:at]), body[at:]
		}
	}
	for i, n := range groups {
		if whole -= n; whole < 0 {
			return nil
		}
		switch {
		case whole > 0 && i+1 < len(groups):
			m.thousands, m.group = between[i], groups[i+1]
		case whole > 0:
			return nil
		case i+2 == len(groups):
			m.point, m.scale = between[i], groups[i+1]
			return m
		default:
			return m
		}
	}
	return nil
}

// holds reports whether the server reads the text as the amount that it says: because it would write it so itself, or because it is a plain
// number that has a point where the server has one.
func (m *money) holds(text string) bool {
	number := strings.TrimPrefix(text, "-")
	if whole, fraction, pointed := strings.Cut(number, "."); isDigits(whole) && (!pointed || m.point == "." && isDigits(fraction) && len(fraction) <= m.scale) {
		return true
	}
	body, ok := between(text, m.before, m.after)
	if !ok || !strings.ContainsAny(body[:min(1, len(body))], "0123456789") {
		if body, ok = between(text, m.beforeNegative, m.afterNegative); !ok {
			return false
		}
	}
	if m.scale > 0 {
		whole, fraction, _ := cutLast(body, m.point)
		if !isDigits(fraction) || len(fraction) != m.scale {
			return false
		}
		body = whole
	}
	if m.thousands == "" {
		return isDigits(body)
	}
	for i, part := range strings.Split(body, m.thousands) {
		if !isDigits(part) || i > 0 && len(part) != m.group || i == 0 && len(part) > m.group && body != part {
			return false
		}
	}
	return strings.Contains(body, m.thousands) || len(body) <= m.group
}

// eachMoney is holds for the elements of an array.
func (m *money) eachMoney(text string) bool {
	quoted := false
	for _, element := range strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == '"' || !quoted && (r == '{' || r == '}' || r == ',')
	}) {
		if element != "NULL" && !m.holds(element) {
			return false
		}
	}
	return true
}

func between(text, before, after string) (body string, ok bool) {
	if body, ok = strings.CutPrefix(text, before); ok {
		body, ok = strings.CutSuffix(body, after)
	}
	return body, ok
}

func cutLast(text, sep string) (before, after string, ok bool) {
	if at := strings.LastIndex(text, sep); sep != "" && at >= 0 {
		return text[:at], text[at+len(sep):], true
	}
	return text, "", false
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
