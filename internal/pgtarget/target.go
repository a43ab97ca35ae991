package pgtarget

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"syncline"
)

// Options describe the target of one slice of one route.
type Options struct {
	// URL is the connection string, as libpq knows it.
	URL string
	// Route and Slice name the cursor.
	Route string
	Slice int
	// Guard keeps the order of each record's newest change in a column _syncline_seq, and lets no older change over it.
	// Several rules that write one table need it.
	Guard bool
	// Shadows gives tables that are made or altered here a column _syncline_shadow, in which decisions keep a record's shadow. Without
	// the column it stands in a table of its own, which takes several times as long.
	Shadows bool
	// PostgresSource says that the types, defaults and expressions in the schemas are PostgreSQL's. Otherwise columns that
	// are made here get their type from the kind of their values.
	PostgresSource bool
	// Logger gets changes of state; nil = discard.
	Logger *slog.Logger
}

// generated returns the expression of a column that nobody writes. That of another system is no SQL to us, so its values
// are written like any other.
func (o *Options) generated(c *syncline.Column) string {
	if !o.PostgresSource {
		return ""
	}
	return c.Generated
}

// Target is one slice of one route. It holds one connection, which it opens again in Own, Place, Define and the reading
// methods; Apply does so only after Own or Place.
type Target struct {
	o   Options
	log *slog.Logger
	// s is the connection; nil when there is none.
	s *session
	// unsettled: a connection was lost, perhaps with a commit on its way. Only Own or Place may follow.
	unsettled bool
	objects   map[string]*object
	shapes    int // counts the shapes made, for their names
	// copyMin is the size of a group from which it is copied.
	copyMin int
}

// object is a table as it was when it was last looked at, with a binding for each schema by its fingerprint.
type object struct {
	table *table
	bound map[uint64]*binding
	// last spares the fingerprint while the schema is the same one.
	last        *syncline.Schema
	lastBinding *binding
	// deciding are bindings for writes that are decided about, by fingerprint.
	deciding map[uint64]*binding
	// looked is when the table was last looked at because a record was refused.
	looked time.Time
}

// Open connects. A refused login and an unreachable server are transient errors.
func Open(ctx context.Context, o Options) (*Target, error) {
	t := &Target{o: o, log: o.Logger, objects: map[string]*object{}, copyMin: defaultCopyMin}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.log = t.log.With("route", o.Route, "slice", o.Slice)
	if _, err := t.session(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// Traits: rows and cursor are one transaction, and SQL can do all that a state target can.
func (t *Target) Traits() syncline.Traits {
	return syncline.Traits{Transactional: true, Partial: true, Rekey: true, Keyless: true, Decides: true, Marks: true, Sets: true}
}

// Close ends the connection.
func (t *Target) Close() error {
	if t.s == nil {
		return nil
	}
	s := t.s
	t.s, t.unsettled = nil, true
	return s.close()
}

// session returns the connection, and opens one if there is none.
func (t *Target) session(ctx context.Context) (*session, error) {
	if t.s != nil && !t.s.conn.IsClosed() {
		return t.s, nil
	}
	t.lost()
	s, err := connect(ctx, t.o.URL)
	if err != nil {
		return nil, classify("connect to the target", err)
	}
	t.s = s
	return s, nil
}

// lost forgets a dead connection and the catalog as it was seen through it.
func (t *Target) lost() {
	if t.s == nil {
		return
	}
	t.s, t.unsettled = nil, true
	clear(t.objects)
	t.log.Warn("connection to the target lost")
}

// failed notes after an error whether the connection survived it.
func (t *Target) failed(attempt string, err error) error {
	if t.s != nil && t.s.conn.IsClosed() {
		t.lost()
	}
	return classify(attempt, err)
}

// object returns the table of this name, from the catalog if it was not seen yet.
func (t *Target) object(ctx context.Context, s *session, name string) (*object, error) {
	if o, ok := t.objects[name]; ok {
		return o, nil
	}
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	tab, err := describe(ctx, s.conn, n)
	if err != nil {
		return nil, t.failed("look up "+name, err)
	}
	if tab == nil {
		return nil, objectMissing(name)
	}
	o := &object{table: tab, bound: map[uint64]*binding{}}
	t.objects[name] = o
	return o, nil
}

// lookAgain is how often a table is looked at again, at most.
const lookAgain = 100 * time.Millisecond

// altered reports whether the object's table is another one than when it was looked at, and has it bound anew: somebody may have made room for
// a record that was refused.
func (t *Target) altered(ctx context.Context, object string) bool {
	o := t.objects[object]
	if o == nil || t.s == nil || t.s.conn.IsClosed() || time.Since(o.looked) < lookAgain {
		return false
	}
	o.looked = time.Now()
	tab, err := describe(ctx, t.s.conn, o.table.name)
	if err != nil || tab == nil || reflect.DeepEqual(tab, o.table) {
		return false // what is wrong is told of the next write
	}
	delete(t.objects, object)
	return true
}

func objectMissing(object string) error {
	return syncline.Errorf(syncline.Fatal, "object_missing", "there is no table %s at the target", object).
		WithFix("create the table, or set create: true on the rule")
}

// binding returns how rows of the schema are written to the object.
func (t *Target) binding(ctx context.Context, s *session, name string, schema *syncline.Schema) (*binding, error) {
	o, err := t.object(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if o.last == schema {
		return o.lastBinding, nil
	}
	print := schema.Fingerprint()
	b, ok := o.bound[print]
	if !ok {
		if b, _, err = bind(name, o.table, schema, &t.o); err != nil {
			return nil, err
		}
		o.bound[print] = b
	}
	o.last, o.lastBinding = schema, b
	return b, nil
}

// deciding returns how rows are written that are decided about.
func (t *Target) deciding(ctx context.Context, s *session, name string, schema *syncline.Schema) (*binding, error) {
	o, err := t.object(ctx, s, name)
	if err != nil {
		return nil, err
	}
	print := schema.Fingerprint()
	b, ok := o.deciding[print]
	if !ok {
		free := t.o
		free.Guard = false
		if b, _, err = bind(name, o.table, schema, &free); err != nil {
			return nil, err
		}
		if c := o.table.column(shadowColumn); c != nil && c.cast == "bytea" {
			b.shadow = len(b.cols)
			b.cols = append(b.cols, boundColumn{src: len(schema.Columns), name: shadowColumn, cast: c.cast, equal: true})
		}
		if o.deciding == nil {
			o.deciding = map[uint64]*binding{}
		}
		o.deciding[print] = b
	}
	return b, nil
}

// tidy begins the list of prepared statements and temporary tables anew once it is long: a source with very many
// combinations of unsent columns would fill the memory of both sides.
func (t *Target) tidy(ctx context.Context, s *session) error {
	if len(s.prepared) < maxPrepared {
		return nil
	}
	clear(s.prepared)
	clear(s.temps)
	clear(t.objects)
	if err := s.run(ctx, []request{{sql: "DEALLOCATE ALL", change: -1}}); err != nil {
		return err
	}
	return s.run(ctx, []request{{sql: "DISCARD TEMP", change: -1}})
}
