package demo

import "fmt"

func newLead(t *turn) (bool, error) {
	t.memory.Lead++
	id := t.memory.Lead
	p := somebody(t.r, id)
	return true, t.exec("INSERT INTO lead VALUES (?, ?, ?, ?, ?, ?, 'new', ?, ?, ?, ?, NULL)", id, p.name, maybe(t.r, 3, pick(t.r, companies)), p.mail,
		maybe(t.r, 4, phone(t.r)), pick(t.r, origins), t.r.IntN(60), maybe(t.r, 2, between(t.r, 100, 50_000, 2)), maybe(t.r, 2, pick(t.r, comments)), t.now())
}

// lead finds a lead in one of these states, from a random one on.
func (t *turn) lead(status string) (id int64, found bool, err error) {
	for _, from := range []int64{t.number(t.memory.Lead), 0} {
		if found, err = t.find("crm", "SELECT id FROM lead WHERE status = ? AND id >= ? ORDER BY id LIMIT 1", []any{status, from}, &id); found || err != nil {
			break
		}
	}
	return id, found, err
}

func scoreLead(t *turn) (bool, error) {
	id, found, err := t.lead(pick(t.r, []string{"new", "qualified"}))
	if !found {
		return false, err
	}
	return true, t.exec("UPDATE lead SET score = min(100, score + ?), notes = ? WHERE id = ?", 5+t.r.IntN(30), maybe(t.r, 3, pick(t.r, comments)), id)
}

func qualifyLead(t *turn) (bool, error) {
	id, found, err := t.lead("new")
	if !found {
		return false, err
	}
	return true, t.exec("UPDATE lead SET status = 'qualified', score = max(score, 60), qualified_at = ? WHERE id = ?", t.now(), id)
}

// convertLead makes a customer of a qualified lead, in one transaction.
func convertLead(t *turn) (bool, error) {
	id, found, err := t.lead("qualified")
	if !found || t.limit < 2 {
		return false, err
	}
	if err := t.exec("UPDATE lead SET status = 'converted', score = 100 WHERE id = ?", id); err != nil {
		return false, err
	}
	p := somebody(t.r, id)
	return true, t.exec("INSERT INTO customer SELECT ?, id, name, company, email, phone, ?, ?, ?, ?, ? FROM lead WHERE id = ?", fmt.Sprintf("C-%06d", id), p.country,
		pick(t.r, tiers), t.r.IntN(5) == 0, maybe(t.r, 3, between(t.r, 500, 100_000, 2)), t.now(), id)
}

// dropLead gives up a lead that came to nothing.
func dropLead(t *turn) (bool, error) {
	id, found, err := t.lead("new")
	if !found {
		return false, err
	}
	return true, t.exec("DELETE FROM lead WHERE id = ?", id)
}

// customer finds a customer, from a random one on.
func (t *turn) customer() (id string, found bool, err error) {
	for _, from := range []string{fmt.Sprintf("C-%06d", t.number(t.memory.Lead)), ""} {
		if found, err = t.find("crm", "SELECT id FROM customer WHERE id >= ? ORDER BY id LIMIT 1", []any{from}, &id); found || err != nil {
			break
		}
	}
	return id, found, err
}

func changeCustomer(t *turn) (bool, error) {
	id, found, err := t.customer()
	if !found {
		return false, err
	}
	if t.r.IntN(2) == 0 {
		return true, t.exec("UPDATE customer SET vip = NOT vip, tier = ? WHERE id = ?", pick(t.r, tiers), id)
	}
	return true, t.exec("UPDATE customer SET credit_limit = ?, phone = ? WHERE id = ?", maybe(t.r, 4, between(t.r, 500, 100_000, 2)), maybe(t.r, 4, phone(t.r)), id)
}
