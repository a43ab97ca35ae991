// Package sqlite is the SQLite connector: a Source that captures changes by triggers, and a Target.
//
// # What the source keeps in the captured database
//
// Triggers on each captured table write every change into one table, _syncline_changes, inside the application's own
// transaction. Values are stored in columns without affinity, as they are: SQLite itself keeps 64-bit integers, the bits of
// reals, blobs and text of any content. _syncline_shapes names the columns that each change has, so that a change that was
// written before an ALTER TABLE is read as what it was. _syncline_replaced is empty between statements: there, the triggers
// remember the rows that an INSERT OR REPLACE may remove without firing a delete trigger. _syncline_meta has the
// database's identity, random and stored inside, because a file name is none.
//
// # Positions
//
// SQLite has one writer at a time and its sequence is part of the transaction, so seq order is commit order. The commit
// position of a change is its seq and each change is a transaction of its own, with ordinal 1: SQLite tells no trigger
// which transaction it runs in, and a boundary guessed from how the changes were read would not be the same at every
// restart. Changes are read in a snapshot, which holds whole transactions only; a batch that does not reach the end of its
// snapshot is Partial.
//
// # Copies
//
// A chunk of a run is read in the snapshot whose changes have all been given out, so that it stands at exactly the stream
// position that it carries: nothing in it is older than what the log already has, or newer. A table without a key is read
// in one snapshot from end to end; a copy of it that was cut begins anew with a reset.
package sqlite
