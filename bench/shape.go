package main

import "fmt"

// shape is a table that is replicated. It is called account and has an integer key, id, and a column score that updates count up. The row
// with id 0 carries the mark that tells that a target has everything up to it.
type shape struct {
	table  string // makes it
	record string // the row number i
}

// insert writes the rows from first to last.
func (s shape) insert(first, last int) string {
	return fmt.Sprintf("INSERT INTO account SELECT %s FROM generate_series(%d, %d) i", s.record, first, last)
}

// account is the usual table: an integer key and about 200 bytes in ten columns.
var account = shape{
	table: `CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, mail text, city text, amount numeric(12,2), score int,
	active bool, ref uuid, at timestamptz, note text)`,
	record: `i, 'customer ' || i, 'c' || i || '@example.com', 'city of ' || i % 1000, i % 100000 * 1.25, 0, i % 3 > 0, md5(i::text)::uuid,
	timestamptz '2026-01-01 00:00:00.25+00' + i * interval '1 second', repeat('n', 70)`,
}
