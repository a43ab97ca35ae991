package poll

import (
	"context"
	"time"

	"syncline"
)

// Entity is what is read of a polled source, and how.
type Entity struct {
	Name string
	// Table is an SQL identifier; "" where Query is given.
	Table, Query string
	// Key are the columns of the record's identity; empty = the primary key.
	Key []string
	// Watermark are columns that grow with every change, the most significant first; empty = every poll reads everything.
	Watermark []string
	// Version is the column with the record's version, "" = none.
	Version string
	// Overlap is how far behind the watermark is read again; nil = DefaultOverlap of its type.
	Overlap *Overlap
	// Deleted tells which records are deleted without being gone, Created which are new; nil = none.
	Deleted, Created *Flag
	// Compare: what has not changed since it was seen last is no event.
	Compare bool
}

// Overlap is a time or, of a watermark that is a number, an amount.
type Overlap struct {
	Time   time.Duration
	Amount int64
}

// DefaultOverlap is for watermarks that are times: clocks of applications differ, and a time is taken before the commit that shows it.
const DefaultOverlap = 10 * time.Second

// Dialect is a kind of database that can be polled. It is used by one goroutine at a time; whatever it reads is committed, and what it
// reads later is not older. Errors have the classes of syncline.Source: after a transient one it is closed and opened anew.
type Dialect interface {
	// Open connects, and returns what tells this database from others, "" where nothing does.
	Open(ctx context.Context) (identity string, err error)
	// Close may be called at any time, and twice.
	Close() error
	// Table looks at what the entity is read from as it is now. Not being able to use it is a fatal error.
	Table(ctx context.Context, e *Entity) (Table, error)
	// Horizon tells of the transactions that are not over.
	Horizon(ctx context.Context) (Horizon, error)
}

// Table is what an entity is read from: a table, or a query.
type Table interface {
	// Schema is that of the rows; with the key's columns, all of which are set in every row.
	Schema() *syncline.Schema
	// Findings are what an operator should know of it: warnings only.
	Findings() []syncline.Finding
	// Transactions: rows tell which transaction wrote them, so that Range.Since counts.
	Transactions() bool
	// Nulls reports whether there are rows without a watermark, which no read by watermark finds.
	Nulls(ctx context.Context) (bool, error)
	// Newest returns the highest watermark, and where the first column is a time, the highest one that is not ahead of the clock (see
	// Ahead); nil where there is none.
	Newest(ctx context.Context, clock time.Time) ([]string, error)
	// Read returns the next rows of the range, in its order.
	Read(ctx context.Context, r Range) (Page, error)
	// Lookup reads records by their keys, at most LookupKeys.
	Lookup(ctx context.Context, keys []syncline.Key) (Answer, error)
	// Place is where the record of the key stands, or would; ok is false where it cannot be one of the table.
	Place(key syncline.Key) (place Place, ok bool)
	// Estimate tells about how many rows there are, -1 where it would take long to find out.
	Estimate(ctx context.Context) (int64, error)
}

// LookupKeys bounds the keys of a Lookup.
const LookupKeys = 500

// Horizon is what a database says of its transactions at a moment.
type Horizon struct {
	// Clock is the database's own at that moment.
	Clock time.Time
	// Open: the database tells of open transactions. Without it there is nothing but the overlap for those that commit late.
	Open bool
	// Oldest is when the oldest open transaction began; zero = none is open.
	Oldest time.Time
	// Xmin is the lowest number of a transaction that was not over, Xmax the first that was not given out; both 0 where transactions
	// have no numbers. The rows of every read that comes later show all transactions below Xmin.
	Xmin, Xmax uint64
	// Prepared: transactions are open of which it is not known when they began.
	Prepared bool
	// Line tells the histories of one database apart, before and after a failover or a restore; "" = nobody knows.
	Line string
	// Blind says why Oldest may miss a transaction; "" = it does not.
	Blind string
}

// Range is a part of a table. A watermark is written as the dialect does in Place.
type Range struct {
	// ByKey reads in the order of the key, and not in that of watermark and key.
	ByKey bool
	// KeysOnly: the other columns need not be set.
	KeysOnly bool
	// From is the first column of the lowest watermark, less the overlap; nil = from the beginning. Above and To compare whole
	// watermarks: rows are above the one and not above the other; nil = all.
	From, Above, To []string
	Overlap         bool
	// Since leaves out rows that a transaction below this number wrote; 0 = none are left out. It may leave out fewer.
	Since uint64
	// After is the place of the last row that was read; nil = the range begins.
	After *Place
	// Mark asks for each row whether it is above this watermark; nil = it is not asked.
	Mark []string
	// Rows is how many are wanted at most, Bytes about how many of values; 0 = as many as there are.
	Rows, Bytes int
}

// Place is where a row stands.
type Place struct {
	Mark []string `json:"mark,omitempty"`
	Key  []string `json:"key,omitempty"`
}

// Row is a row that was read.
type Row struct {
	Values []syncline.Value
	Place  Place
	// Above is the answer to Range.Mark: also where the row has no watermark.
	Above bool
}

// Page is a part of a range.
type Page struct {
	Rows []Row
	// More: there may be others behind the last row.
	More bool
}

// Answer is what was found of the keys that were asked for.
type Answer struct {
	Rows [][]syncline.Value
	// Absent are the keys that no record has, as rows that have nothing but the key, in the spelling of events.
	Absent [][]syncline.Value
	// Refused is how many cannot be of the table.
	Refused int
}
