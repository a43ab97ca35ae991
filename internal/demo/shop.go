package demo

import "fmt"

func sku(n int64) string { return fmt.Sprintf("SKU-%05d", n) }

func newProduct(t *turn) (bool, error) {
	t.memory.Product++
	g := goods[int(t.memory.Product-1)%len(goods)]
	return true, t.exec("INSERT INTO product VALUES (?, ?, ?, ?, ?, 1, ?, ?)", sku(t.memory.Product), fmt.Sprintf("%s %d", g.name, t.memory.Product), g.category,
		between(t.r, 2, 900, 2), maybe(t.r, 4, between(t.r, 0, 40, 3)), maybe(t.r, 3, g.text), t.now())
}

func priceProduct(t *turn) (bool, error) {
	return true, t.exec("UPDATE product SET price = ?, updated_at = ? WHERE sku = ?", between(t.r, 2, 900, 2), t.now(), sku(t.number(t.memory.Product)))
}

// switchProduct takes a product off the market, or back.
func switchProduct(t *turn) (bool, error) {
	return true, t.exec("UPDATE product SET active = NOT active, updated_at = ? WHERE sku = ?", t.now(), sku(t.number(t.memory.Product)))
}

// maxLines is how many lines an order has at most.
const maxLines = 5

// placeOrder writes an order with its lines in one transaction.
func placeOrder(t *turn) (bool, error) {
	customer, found, err := t.customer()
	if !found || t.limit < 2 {
		return false, err
	}
	t.memory.Order++
	id, net, lines := t.memory.Order, int64(0), min(1+t.r.Int64N(maxLines), t.limit-1)
	for line := int64(1); line <= lines; line++ {
		item, quantity, cents := sku(t.number(t.memory.Product)), 1+t.r.Int64N(9), int64(0)
		if _, err := t.find("shop", "SELECT CAST(round(price * 100) AS INTEGER) FROM product WHERE sku = ?", []any{item}, &cents); err != nil {
			return false, err
		}
		net += quantity * cents
		if err := t.exec("INSERT INTO order_line VALUES (?, ?, ?, ?, ?)", id, line, item, quantity, amount(cents, 2)); err != nil {
			return false, err
		}
	}
	return true, t.exec("INSERT INTO orders VALUES (?, ?, 'new', ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", id, customer, pick(t.r, channels), pick(t.r, currencies),
		amount(net, 2), maybe(t.r, 2, amount(net*t.r.Int64N(10)/100, 2)), pick(t.r, taxRates), t.r.IntN(4) == 0, maybe(t.r, 2, pick(t.r, comments)), t.now())
}

// order finds an order in this state, from a random one on.
func (t *turn) order(state string) (id int64, found bool, err error) {
	for _, from := range []int64{t.number(t.memory.Order), 0} {
		if found, err = t.find("shop", "SELECT id FROM orders WHERE state = ? AND id >= ? ORDER BY id LIMIT 1", []any{state, from}, &id); found || err != nil {
			break
		}
	}
	return id, found, err
}

// move takes an order to its next state.
func (t *turn) move(from, to, at string) (bool, error) {
	id, found, err := t.order(from)
	if !found {
		return false, err
	}
	if at == "" {
		return true, t.exec("UPDATE orders SET state = ? WHERE id = ?", to, id)
	}
	return true, t.exec("UPDATE orders SET state = ?, "+at+" = ? WHERE id = ?", to, t.now(), id)
}

func payOrder(t *turn) (bool, error)     { return t.move("new", "paid", "paid_at") }
func shipOrder(t *turn) (bool, error)    { return t.move("paid", "shipped", "shipped_at") }
func deliverOrder(t *turn) (bool, error) { return t.move("shipped", "delivered", "") }
func cancelOrder(t *turn) (bool, error) {
	return t.move(pick(t.r, []string{"new", "paid"}), "cancelled", "")
}

// purgeOrder removes a cancelled order with its lines.
func purgeOrder(t *turn) (bool, error) {
	id, found, err := t.order("cancelled")
	if !found || t.limit < maxLines+1 {
		return false, err
	}
	if err := t.exec("DELETE FROM order_line WHERE order_id = ?", id); err != nil {
		return false, err
	}
	return true, t.exec("DELETE FROM orders WHERE id = ?", id)
}
