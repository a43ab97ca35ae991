package demo

// receiveStock books a delivery; the first one of a product at a place makes the record.
func receiveStock(t *turn) (bool, error) {
	item, place, quantity := sku(t.number(t.memory.Product)), pick(t.r, locations), 5+t.r.IntN(60)
	if err := t.exec("UPDATE inventory SET on_hand = on_hand + ?, unit_cost = ? WHERE sku = ? AND location = ?", quantity, maybe(t.r, 6, between(t.r, 1, 400, 4)), item, place); err != nil {
		return false, err
	}
	if t.rows > 0 {
		return true, nil
	}
	return true, t.exec("INSERT INTO inventory VALUES (?, ?, ?, 0, ?, ?, NULL)", item, place, quantity, maybe(t.r, 4, 10+t.r.IntN(30)), maybe(t.r, 5, between(t.r, 1, 400, 4)))
}

// stock changes the record of a random product at a random place, if there is one.
func (t *turn) stock(change string, args ...any) (bool, error) {
	err := t.exec(change+" WHERE sku = ? AND location = ?", append(args, sku(t.number(t.memory.Product)), pick(t.r, locations))...)
	return t.rows > 0, err
}

func reserveStock(t *turn) (bool, error) {
	return t.stock("UPDATE inventory SET reserved = min(on_hand, reserved + ?)", 1+t.r.IntN(9))
}

// issueStock sends out what was reserved.
func issueStock(t *turn) (bool, error) {
	return t.stock("UPDATE inventory SET on_hand = on_hand - reserved, reserved = 0")
}

func countStock(t *turn) (bool, error) {
	return t.stock("UPDATE inventory SET on_hand = max(reserved, on_hand - ?), counted_at = ?", t.r.IntN(4), t.now())
}

// clearStock gives up a place for a product.
func clearStock(t *turn) (bool, error) {
	return t.stock("DELETE FROM inventory")
}
