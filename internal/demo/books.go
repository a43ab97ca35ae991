package demo

// billOrder writes the invoice of an order that has none yet.
func billOrder(t *turn) (bool, error) {
	var id int64
	var customer, net, currency string
	found, err := t.find("shop", "SELECT id, customer_id, CAST(net AS TEXT), currency FROM orders WHERE state <> 'cancelled' AND id >= ? ORDER BY id LIMIT 1",
		[]any{t.number(t.memory.Order)}, &id, &customer, &net, &currency)
	if err != nil || !found {
		return false, err
	}
	err = t.exec("INSERT INTO invoice VALUES (?, ?, ?, ?, 'open', FALSE, 1, ?) ON CONFLICT DO NOTHING", id, customer, net, currency, t.memory.Step)
	return t.rows > 0, err
}

// invoice changes a random invoice that is open, if it is.
func (t *turn) invoice(change string) (bool, error) {
	err := t.exec("UPDATE invoice SET "+change+", version = version + 1, changed = ? WHERE id = ? AND state = 'open' AND NOT void", t.memory.Step, t.number(t.memory.Order))
	return t.rows > 0, err
}

func settleInvoice(t *turn) (bool, error) { return t.invoice("state = 'paid'") }

// voidInvoice marks an invoice as one that does not count: books do not forget.
func voidInvoice(t *turn) (bool, error) { return t.invoice("void = TRUE") }
