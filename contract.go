package syncline

import (
	"context"
	"errors"
	"time"
)

// Source is a system whose changes are captured. All methods but Confirm and the requests of RunReader are called one at a time.
type Source interface {
	// Open prepares to read on after checkpoint, that of the last batch in the log; nil = nothing was ever captured. last is
	// that batch's position. It returns a fatal error where the stream cannot be continued without a gap: another
	// identity, a slot that is gone, foreign or ahead of the log. It may block for as long as ctx allows.
	Open(ctx context.Context, checkpoint []byte, last Position) error

	// Next blocks until there is something to append and returns it: events, a chunk of a run, or a batch without events
	// that only moves the position or the checkpoint. It returns what has arrived, up to about 1 MB or 4,000 events, and
	// does not wait for more. One row may be larger than all that, and than the log takes: what becomes of it is the caller's
	// business. It never returns events at or below the position that Open was given. The caller owns the batch and calls Next
	// again before it is stored, unless it is marked Sync: nothing of it may be written to any more, and what the source does
	// next may rely only on what was confirmed. After a transient error the caller closes the source and opens a new one at the
	// log's end.
	Next(ctx context.Context) (*Batch, error)

	// Confirm tells the source that everything up to this position is durable here: the source system may forget it.
	// It does not block, is safe beside Next, and repeating it or going backwards does nothing.
	Confirm(Position)

	// Close releases everything. Another Source on the same system may be opened after it returns.
	Close() error
}

// RunReader is a Source that can read records anew, beside its stream. Chunks of a run come out of Next. The answer to a key of
// RunKeys is the record (OpRepair), however the key is written, or OpAbsent with the key as events have it; what certainly is no key
// of the entity has none, since a target may read it as another record's.
type RunReader interface {
	Source
	// StartRun asks for a run; it does not block and is safe beside Next. A run that the source has finished or is working
	// on (by its id, also from the checkpoint) is not started again. A run that cannot be done ends with a chunk marked Last
	// or with the error of Next. It refuses (rejected) what the source will never do: another entity, keys with a wrong number of
	// parts or, where it knows, of another type (code "bad_key"). Where too many wait already it takes none (transient, code
	// "runs_exhausted") until a chunk of one of them has come out of Next.
	StartRun(Run) error
}

// Run is a request to read records of one entity.
type Run struct {
	ID     string
	Kind   RunKind
	Entity string
	// Keys are the records of RunKeys.
	Keys []Key
	// Routes are the only routes that apply it; empty = every route of the entity.
	Routes []string
	// Reset empties the routes' objects first.
	Reset bool
	// Force has a sweep report records as gone even where they are suspiciously many.
	Force bool
	// From leaves out of RunFull the records up to this key, in the order of the source; "" = none.
	From Key
	// Where is an expression that a record must match to enter the log; "" = all do. It is for whoever takes chunks from the source, which
	// does not know it.
	Where string
}

// RunPacer is a RunReader that reads its runs at the pace that it is told.
type RunPacer interface {
	RunReader
	// Pace says how a run is to be read from now on; it does not block and is safe beside Next. It may be told of a run before StartRun,
	// and of one that is over. A run that it was told nothing of is read as fast as it goes. The answer to RunKeys, and the copy of a table
	// without a key once that has begun, which must not stay half done, do not heed it.
	Pace(run string, p Pace)
}

// Pace is how a run is to be read.
type Pace struct {
	// Upto: no chunk is begun once the last one given out has this number or a higher one.
	Upto uint32
	// Rows bounds what is read on one snapshot; 0 = as much as the source likes.
	Rows int
	// End gives the run up: it ends with a chunk marked Last.
	End bool
}

// Sizer is a Source that can tell, before it is opened, about how many records an entity has. It changes nothing and may run beside
// anything.
type Sizer interface {
	// Size returns about how many records there are, -1 where it would take long to find out.
	Size(ctx context.Context, entity string) (int64, error)
}

// KeyLister is a Source that can list, before it is opened, the keys of an entity's records as they are now. It changes nothing and may
// run beside anything.
type KeyLister interface {
	// Keys calls each for the key of every record, in any order.
	Keys(ctx context.Context, entity string, each func(Key) error) error
}

// Lister is a Source that can list its records as they are, before it is opened and beside one that is open: it has connections of its
// own, which Close releases. It takes no lock that anybody waits for, and holds no snapshot longer than one call.
type Lister interface {
	// List calls each for the records that the listing asks for, as of one moment, and returns where the next listing begins: "" after the
	// last record. What it hands over is the callee's to keep. A key that cannot be one of the entity names no record.
	List(ctx context.Context, l Listing, each func(Row) error) (next string, err error)
	// Estimate tells about how many records the entity has, without counting them; negative where that is not known.
	Estimate(ctx context.Context, entity string) (int64, error)
}

// Listing says which records of an entity are asked for.
type Listing struct {
	Entity string
	// After is what the listing before returned; "" = the first records.
	After string
	// Limit bounds the records; 0 = no bound.
	Limit int
	// Keys are the only records that are asked for, in any order; After and Limit mean nothing then.
	Keys []Key
	// Sample asks for about Limit records at random, instead of those behind After.
	Sample bool
}

// Log is the durable, ordered, replayable record of one source's batches.
type Log interface {
	// ID is the identity of this log, chosen at random when it was made: sequences of different logs do not compare.
	ID() string
	// Append stores the batch and returns once it is fsynced. There is one appender. An error leaves it unknown whether the
	// batch was stored; the next Append finds out before it appends anything: the same batch again just gets its sequence, for
	// another one, if the first was stored, there is a transient error (code "log_moved"), and the source must be read on from
	// the log's end. A full log and a full disk are transient. A batch whose stored form has more than MaxBatch bytes is
	// rejected (code "log_batch_too_large"), and certainly not stored.
	Append(ctx context.Context, b *Batch) (Seq, error)
	// MaxBatch is the largest stored form of a batch, in bytes: many times what a source puts into one (about 1 MB), so that
	// only a batch with a huge row is ever larger. It does not block.
	MaxBatch() int
	// Read returns a reader whose first entry is from, or the first that is left if from was purged. Safe beside everything.
	Read(ctx context.Context, from Seq) (LogReader, error)
	// Bounds tells what the log holds. Last is 0 for an empty log; First is Last+1 when everything was purged.
	Bounds(ctx context.Context) (Bounds, error)
	// Purge forgets everything below seq, but never the last batch. Repeatable.
	Purge(ctx context.Context, below Seq) error
	Close() error
}

// LogReader reads a log forward. It is used by one goroutine.
type LogReader interface {
	// Next blocks until there is a next entry.
	Next(ctx context.Context) (Entry, error)
	Close() error
}

// Entry is a stored batch. Data is what AppendBatch made: DecodeBatch reads it whole, DecodeDirectory only what it holds.
// Several readers may be given the same Data, which nobody changes.
type Entry struct {
	Seq  Seq
	Time time.Time // when it was appended, by our clock
	Data []byte
	// More: another entry follows that can be read without waiting for an append. False where that is not known.
	More bool
}

// Bounds is the extent of a log.
type Bounds struct {
	First, Last Seq
	Bytes       int64
}

// Cursor is how far a slice of a route has got: everything below (Seq, Index) is done.
type Cursor struct {
	// Log is the id of the log that Seq counts in.
	Log string
	Seq Seq
	// Index is the number of events of batch Seq that are done; a finished batch is (Seq+1, 0).
	Index int
	// Epoch is the owner's epoch.
	Epoch uint64
}

// Before reports whether c stands before d in one log.
func (c Cursor) Before(d Cursor) bool {
	return c.Seq < d.Seq || c.Seq == d.Seq && c.Index < d.Index
}

// Traits are what the apply loop must know of a kind of target.
type Traits struct {
	// Events: the target wants every event in order (webhook, stream). Otherwise it holds state: the last state of each
	// key is enough, and deletes remove.
	Events bool
	// Transactional: the changes and the cursor of one Write happen together or not at all.
	Transactional bool
	// Partial: the target can update some columns of a record and leave the others. Without it a row with unset columns is
	// never handed over.
	Partial bool
	// Rekey: the target can carry a record over to another key by itself.
	Rekey bool
	// Keyless: the target can hold objects without a key.
	Keyless bool
	// Decides: the target can carry out Write.Decide.
	Decides bool
	// Marks: the target takes ChangeMark, and columns with a Mark.
	Marks bool
	// Sets: the target takes ChangeClear.
	Sets bool
}

// Target is a system that changes are applied to, as one slice of one route sees it. It is used by one goroutine at a time.
type Target interface {
	Traits() Traits
	// Apply carries out the changes and returns once they are durable by the target's own standard. Unless it returns an
	// error, every change has an outcome. It calls w.Commit exactly once, after the last change took effect and before its own
	// commit (or, where there is no transaction, before the cursor is written, or last of all); if that fails it gives up
	// without the commit or the cursor and returns that error.
	//
	// A transient error leaves it unknown whether the Write happened: the caller asks CursorKeeper.Own or, where there is
	// none, repeats it. A rejected error (only from transactional targets) means that nothing happened; Error.Change may name
	// the culprit. Other targets report rejections per change, in the Result.
	Apply(ctx context.Context, w *Write) (Result, error)
	Close() error
}

// CursorKeeper is a Target that can hold its cursor.
type CursorKeeper interface {
	// Own takes ownership in one statement: it raises the stored epoch to one more than the larger of itself and atLeast, and
	// returns the cursor with that epoch and the id of the state store it belongs to. It waits for a commit in flight of the
	// previous owner. found is false where there is no cursor, and then nothing was changed.
	Own(ctx context.Context, atLeast uint64) (c Cursor, state string, found bool, err error)
	// Place writes the cursor, whatever stood there, also what Own cannot read (fatal cursor_damaged): the route begins, or an
	// operator moves it.
	Place(ctx context.Context, c Cursor, state string) error
}

// Guarded is a CursorKeeper whose records carry the Order of the change that wrote them, so that nothing goes back behind it,
// whichever route writes. Orders of different logs compare by their epoch, and only the object knows which logs have written
// it: state stores and logs can be lost, and a rule can be given another source.
type Guarded interface {
	CursorKeeper
	// LogEpoch returns the Order.Epoch of what is written to the object from the log, as LogEpochs gives it out, and keeps it with
	// the object, durably. A target that holds no orders at the moment returns 1.
	LogEpoch(ctx context.Context, object, log string, begins bool) (uint8, error)
}

// Definer is a Target whose objects have a shape.
type Definer interface {
	// Define makes the object fit rows of the schema, once before the first row and whenever the schema changes. It creates
	// or alters only what the policy allows. A fatal error halts the route at the event that brought the schema.
	Define(ctx context.Context, d Definition) (Defined, error)
}

// Sighted is a Target whose system tells of a transaction before others can see what it wrote.
type Sighted interface {
	// Sees reports whether whoever reads now sees what these transactions of the target's own system have written, by Txn.XID. They have
	// committed, as the log of changes tells.
	Sees(ctx context.Context, xids []uint64) (bool, error)
}

// SchemaPolicy is what a rule does about a changed schema.
type SchemaPolicy uint8

const (
	SchemaIgnore SchemaPolicy = iota
	SchemaEvolve
	SchemaHalt
)

// Definition describes an object that a rule writes.
type Definition struct {
	Object string
	Schema *Schema
	// Previous is the schema that the object was last made to fit, by this process or one before it; nil where that is not known.
	Previous *Schema
	// Create: make the object if it is missing.
	Create bool
	Policy SchemaPolicy
	// Reread is called, at most once and before anything is altered, where records that are there will lack the value of a column
	// of Schema that Previous did not have, or where the object that fitted Previous is gone: they must be read from the source
	// again, whoever added the column and whatever becomes of this process. Its error is Define's, and nothing is altered. nil =
	// nobody asks.
	Reread func(context.Context) error
}

// Regains reports whether a column that the object has is one that records did not get until now: it holds what somebody else
// wrote, or what it held before the source dropped it.
func (d *Definition) Regains(column string) bool {
	return d.Policy == SchemaEvolve && d.Previous != nil && d.Previous.Index(column) < 0
}

// Defined is what Define did.
type Defined struct {
	// Warnings are for the operator: a type that became text, a column that the target lacks.
	Warnings []string
}

// Current is a Target that can be read by key, in the terms of the given schema. Missing records are nil.
type Current interface {
	Current(ctx context.Context, object string, s *Schema, keys []Row) ([][]Value, error)
}

// Scanner is a Target that can list an object's records, in the terms of the given schema and in any order. A schema without
// columns asks only how many there are: each is a row without values.
type Scanner interface {
	Scan(ctx context.Context, object string, s *Schema, each func(Row) error) error
}

// StrayLister is a Scanner that lists what routes have written, where others can write beside them without its notice. Strays lists the rest of
// what stands where records of the object would: each is called now and then, with how many names were looked at since and what was found among
// them. A target that cannot tell its records' names from others' refuses.
type StrayLister interface {
	Strays(ctx context.Context, object string, s *Schema, each func(looked int, found []Stray) error) error
}

// Stray stands where a record of an object would, and no route has written it.
type Stray struct {
	// Row has the key that its place is that of.
	Row Row
	// Record is set where it is what a route would write there. Else it is of somebody who gives things such names, too.
	Record bool
}

// Write is what a target is asked to do at once.
type Write struct {
	Changes []Change
	// Ordered asks for the changes one after the other, in order; keys may repeat. Otherwise the changes are Puts, Marks, Deletes and
	// Clears with distinct keys per object and without OldKey, or Inserts, and the target may do them in any order (an event target
	// always keeps the order per key).
	Ordered bool
	// Cursor is where the route stands when all changes are done; a CursorKeeper stores it with them, and refuses with a fatal
	// error (code "fenced") where the stored epoch is not Cursor.Epoch, or (code "cursor_lost") where the cursor is gone.
	Cursor Cursor
	// Commit is called once, see Target.Apply. Never nil.
	Commit func(context.Context, Result) error
	// Decide, where it is set, judges each Put, Mark and Delete against what the target holds (see Held); the changes then have whole
	// keys and no OldKey. Only for targets with Traits.Decides.
	Decide func(change int, held Held) (Decision, error)
	// Recalls: Decide takes records that are Held.Untouched, from targets that can tell.
	Recalls bool
}

// Result is what became of the changes of a Write, in their order.
type Result struct {
	Outcomes []Outcome
	// Rejected has the error of each change whose outcome is OutcomeRejected.
	Rejected map[int]error
}

// ChangeOp is what a change does at the target.
type ChangeOp uint8

const (
	// ChangePut makes the record of this key have these values. Unset columns keep what they have; a Put with unset columns
	// for a record that is not there, or is only kept (Mark.IsGone), does nothing and has OutcomeMissing.
	ChangePut ChangeOp = iota + 1
	// ChangeInsert adds a row to an object without a key.
	ChangeInsert
	// ChangeDelete removes the record of this key; for a keyless object exactly one row equal to Before.
	ChangeDelete
	// ChangeReplace (keyless only) turns exactly one row equal to Before into After.
	ChangeReplace
	// ChangeTruncate removes every record of the object.
	ChangeTruncate
	// ChangeSend delivers the event itself (event targets).
	ChangeSend
	// ChangeMark sets the columns of Row that are set, among them at least one with a Mark, in the record of this key if there is one,
	// kept or not; else it does nothing and has OutcomeMissing.
	ChangeMark
	// ChangeClear removes the records whose first Parent columns of the key are those of Row, but for those of Keep. It stands for what
	// has vanished from a set of records that a parent has; in an unordered Write the Puts of the others stand beside it, with keys of
	// their own, and it may be done before them or after.
	ChangeClear
)

// Change is one effect of one or more events on one object.
type Change struct {
	Op     ChangeOp
	Object string
	// Row is the record to write (Put, Insert, Replace, Send), or of a Delete the columns of the key.
	Row Row
	// OldKey are the parts of the key that the record had before, in key order, where it had another: columns that are unset in
	// Row are carried over from there, and the old record is removed.
	OldKey []Value
	// Before is the whole old row of a keyless Delete or Replace, and what a Send tells of the old record.
	Before []Value
	// Fresh: as far as the source tells, the target has no record of this key: its first event in the change created it, or a
	// first copy read it. A hint for the faster way, never a promise.
	Fresh bool
	// Parent and Keep are of a Clear: how many columns of the key say whose the records are, and the records of Row's schema, with
	// their keys at least, that stay. A Send of one of several records of an event has Parent, too.
	Parent int
	Keep   [][]Value
	// Part is set for one of several records that a Send delivers of one event: it tells them apart.
	Part Key
	// Order is the position of the newest event in the change: it never goes backwards for a key within one log.
	Order Order
	// Batch and Event are the newest event in the change, for envelopes and explanations.
	Batch *Batch
	Event int
	// Version is the record's own version for targets that fence by it; 0 = none.
	Version int64
}

// ID identifies what a Send delivers, on every attempt: the event, and which of its records.
func (c *Change) ID() string {
	id := c.Batch.EventID(c.Event)
	if c.Part != "" {
		id += "/" + string(c.Part)
	}
	return id
}

// Concerns returns the keys of the record whose events a Send must not overtake: its own, and the one that it had before, which is the same
// where it was not moved. Several records that are made of one are told in the order of that one.
func (c *Change) Concerns() (is, was Key, ok bool) {
	ev := &c.Batch.Events[c.Event]
	if c.Parent > 0 {
		is, ok = ev.Key()
		if old, moved := ev.OldKey(); moved {
			return is, old, ok
		}
		return is, is, ok
	}
	is, ok = c.Row.Key()
	if ok && len(c.OldKey) > 0 {
		return is, MakeKey(c.OldKey...), ok
	}
	return is, is, ok
}

// Outcome is what became of a change.
type Outcome uint8

const (
	// OutcomeApplied: the target is as the change wants it.
	OutcomeApplied Outcome = iota
	// OutcomeStale: the target already holds something newer.
	OutcomeStale
	// OutcomeKept: it was decided that the target keeps what it has.
	OutcomeKept
	// OutcomeMissing: a partial Put found no record; the key must be read from the source.
	OutcomeMissing
	// OutcomeRejected: the target refused this change; nothing of it happened.
	OutcomeRejected
	// OutcomeHeld: not tried, because an earlier change of the same key in this Write was rejected.
	OutcomeHeld
	// OutcomeConflict: a person has to decide; nothing of the change happened.
	OutcomeConflict
)

// Checker is a Source or Target that can tell before it runs whether it will be able to.
type Checker interface {
	Check(ctx context.Context) []Finding
}

// Describer is a Source that can tell, before it is opened, what its rows would look like now. It changes nothing and may run beside
// anything.
type Describer interface {
	// Describe returns the schemas of the entities. It leaves out those that Check has something against.
	Describe(ctx context.Context) ([]*Schema, error)
}

// Finding is one result of a check.
type Finding struct {
	// Level is "ok", "warn" or "fail".
	Level string
	// Code is stable, for "warn" and "fail".
	Code string
	// What was looked at and found; Fix is the way out.
	What, Fix string
}

// Failure is the finding of an error. Its fix is the error's own, else the one given.
func Failure(err error, fix string) Finding {
	f := Finding{Level: "fail", Code: CodeOf(err), What: err.Error(), Fix: fix}
	var known *Error
	if errors.As(err, &known) {
		f.What = known.Msg
		if known.Fix != "" {
			f.Fix = known.Fix
		}
	}
	return f
}
