package main

import (
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestCeilingCopiesEveryRow: a ceiling that leaves something out would be a false one.
func TestCeilingCopiesEveryRow(t *testing.T) {
	ctx := t.Context()
	b, err := start(ctx, options{rows: 12_000, rounds: 1, only: []string{"updates"}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	f := &field{b: b, name: "truth"}
	defer f.abandon()
	if f.src, err = create(ctx, b.source.URL, f.name, account.table, account.insert(0, 0), "CREATE PUBLICATION native FOR TABLE account"); err != nil {
		t.Fatal(err)
	}
	c, err := newCeiling(ctx, f, account)
	defer c.abandon(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := b.updateLoad()
	if err := execAll(ctx, f.src, l.fill, `UPDATE account SET mail = NULL, note = E'a\tb\\N\n\r' WHERE id % 7 = 0`, l.write); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it goes on where it stopped
		if err := f.setMark(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := f.await(ctx, c, f.marked(c)); err != nil {
			t.Fatal(err)
		}
		if err := c.stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(c *pgx.Conn) (text string) {
		t.Helper()
		if err := c.QueryRow(ctx, "SELECT count(*) || ' ' || md5(string_agg(a::text, ' ' ORDER BY id)) FROM account a").Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got, want := sum(c.conn), sum(f.src); got != want {
		t.Errorf("the copy is %s, the source %s", got, want)
	}
}
