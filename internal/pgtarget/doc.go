// Package pgtarget applies changes to PostgreSQL.
//
// One Write is one transaction. It holds the rows, then the cursor, and the cursor's update names the owner's epoch: where
// it finds no row the transaction is rolled back, so an owner that was replaced cannot write, and neither rows nor cursor
// can be there without the other. Because the cursor comes last, its row is locked only from there to the commit: a new
// owner waits for a commit in flight, but not for an old owner that hangs in the middle of its rows.
//
//	round trip 1   BEGIN; deletes; puts; cursor       (large groups: a COPY and a round trip each)
//	               Write.Commit: the caller's own bookkeeping
//	round trip 2   COMMIT
//
// Changes without order are grouped by object and by the set of columns that they write. A small group is one statement over
// arrays of text (`unnest`), a large one is copied to a temporary table and merged from there; records that are new as far as the
// source tells are copied into the table itself, and where the server refuses that the whole write is done again without. Values
// go out as the text they came in, bytes in hexadecimal; rows that are copied go in binary where all their columns have types that are
// known, and a value without a plain form has the write done again with text (binary.go). Ordered changes use the same statements, one
// row each.
//
// A Write with decisions first asks only for the versions and the shadows of its rows. A row's shadow ends with the transaction that wrote it;
// where that made the present version, the row is as it was decided and is not read (untouched.go). A value that the table's type rounds is then
// compared as it was written.
//
// A commit without an answer may have happened. The connection is dropped, and nothing is written again before Own has told
// how far the target is.
package pgtarget
