package pgsource

import (
	"fmt"
	"testing"
)

// TestASessionThatWaitsIsKept: a database's limits are for those who forget their sessions.
func TestASessionThatWaitsIsKept(t *testing.T) {
	d := newDB(t, oneTable)
	name := d.text("SELECT quote_ident(current_database())")
	limits := []string{"statement_timeout", "idle_in_transaction_session_timeout"}
	for limit, since := range map[string]int{"idle_session_timeout": 14, "transaction_timeout": 17} {
		if majorVersion(t) >= since {
			limits = append(limits, limit)
		}
	}
	for _, limit := range limits {
		d.exec(fmt.Sprintf("ALTER DATABASE %s SET %s = '1min'", name, limit))
	}
	s, err := New(d.options("t"))
	if err != nil {
		t.Fatal(err)
	}
	sql, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(sql)
	replication, err := s.connectReplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer replication.Close(t.Context()) //nolint:errcheck // nothing was written
	for _, limit := range limits {
		var got string
		if err := sql.QueryRow(t.Context(), "SHOW "+limit).Scan(&got); err != nil || got != "0" {
			t.Errorf("%s = %q, %v", limit, got, err)
		}
		row, err := command(t.Context(), replication, "SHOW "+limit)
		if err != nil || len(row) != 1 || row[0] != "0" {
			t.Errorf("%s of the replication connection = %q, %v", limit, row, err)
		}
	}
}
