package pgtarget

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// shadowTable has, for each record that decisions were made about, what the last one left (syncline.Decision.Shadow).
const shadowTable = "_syncline_shadow"

// shadowColumn has the same in a record's own row, where its table has the column. The shadow table then has what the decision left that
// added the row, and no more: rows that are there are written without it. Whoever else deletes a row takes the column along; with what is
// left, the record is not one that was never decided about.
const shadowColumn = "_syncline_shadow"

func (s *session) shadowName() string { return name{s.schema, shadowTable}.sql() }

// shadows makes sure of the table, once for each connection.
func (t *Target) shadows(ctx context.Context, s *session) error {
	if s.shadows {
		return nil
	}
	create := "CREATE TABLE IF NOT EXISTS " + s.shadowName() + " (object text NOT NULL, key text NOT NULL, data bytea NOT NULL, PRIMARY KEY (object, key)) WITH (fillfactor = 70)"
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", shadowTable); err != nil { // one route at a time
			return err
		}
		var there bool // CREATE … IF NOT EXISTS would need the right to create all the same
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", s.shadowName()).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, create)
		return err
	})
	switch {
	case isCode(err, "42501"):
		return syncline.Errorf(syncline.Fatal, "permission_denied", "the target's user may not create %s", s.shadowName()).
			WithFix("create it as the owner of the schema and grant SELECT, INSERT, UPDATE and DELETE on it:\n%s", create)
	case err != nil:
		return t.failed("look for "+s.shadowName(), err)
	}
	s.findCluster(ctx)
	s.shadows = true
	return nil
}

// shadowObject is the object's name in the shadow table: the same however a rule writes it.
func (s *session) shadowObject(object string) (string, error) {
	n, err := parseName(object)
	if n.schema == "" {
		n.schema = s.schema
	}
	return n.sql(), err
}

// shadowSet are shadows of one object that one statement writes.
type shadowSet struct {
	keys []syncline.Key
	data [][]byte
}

func (w *shadowSet) add(k syncline.Key, data []byte) {
	w.keys, w.data = append(w.keys, k), append(w.data, data)
}

// shadowWrites are the shadows of one object that a write leaves, by what becomes of them.
type shadowWrites struct{ added, changed, replaced, removed shadowSet }

// note takes over what a decision makes of a shadow.
func (w *shadowWrites) note(k syncline.Key, was, is []byte) {
	switch {
	case bytes.Equal(was, is) && (was == nil) == (is == nil):
	case was == nil:
		w.added.add(k, is)
	case is == nil:
		w.removed.add(k, nil)
	default:
		w.changed.add(k, is)
	}
}

// replace takes over what a decision leaves of a row that had its shadow with it, and goes or is forgotten.
func (w *shadowWrites) replace(k syncline.Key, is []byte) {
	if is == nil {
		w.removed.add(k, nil)
		return
	}
	w.replaced.add(k, is)
}

// shadowArgs encodes the object, the keys and, where there are any, the shadows.
func (x *transaction) shadowArgs(object string, w *shadowSet, data bool) [][]byte {
	args := [][]byte{[]byte(object), x.array(len(w.keys), func(i int) syncline.Value { return syncline.Text(string(w.keys[i])) })}
	if data {
		args = append(args, x.array(len(w.data), func(i int) syncline.Value { return syncline.Bytes(w.data[i]) }))
	}
	return args
}

// queueShadows writes the shadows of an object. One that somebody else added meanwhile belongs to a decision that this one does not
// know.
func (x *transaction) queueShadows(object string, w *shadowWrites) {
	table := x.s.shadowName()
	if len(w.removed.keys) > 0 {
		x.queue = append(x.queue, request{shape: x.s.shadowShape("remove", "DELETE FROM "+table+" AS s USING unnest($2::text[]) AS u(k) WHERE s.object = $1::text AND s.key = u.k"),
			change: -1, args: x.shadowArgs(object, &w.removed, false)})
	}
	if len(w.changed.keys) > 0 {
		x.queue = append(x.queue, request{shape: x.s.shadowShape("change", "UPDATE "+table+" AS s SET data = u.d::bytea FROM unnest($2::text[], $3::text[]) AS u(k, d) WHERE s.object = $1::text AND s.key = u.k"),
			change: -1, args: x.shadowArgs(object, &w.changed, true)})
	}
	if len(w.replaced.keys) > 0 {
		x.queue = append(x.queue, request{shape: x.s.shadowShape("replace", "INSERT INTO "+table+" (object, key, data) SELECT $1::text, u.k, u.d::bytea FROM unnest($2::text[], $3::text[]) AS u(k, d) ON CONFLICT (object, key) DO UPDATE SET data = EXCLUDED.data"),
			change: -1, args: x.shadowArgs(object, &w.replaced, true)})
	}
	if n := int64(len(w.added.keys)); n > 0 {
		x.queue = append(x.queue, request{shape: x.s.shadowShape("add", "INSERT INTO "+table+" (object, key, data) SELECT $1::text, u.k, u.d::bytea FROM unnest($2::text[], $3::text[]) AS u(k, d) ON CONFLICT DO NOTHING"),
			change: -1, args: x.shadowArgs(object, &w.added, true), done: func(done int64) error {
				if done < n {
					return errMoved
				}
				return nil
			}})
	}
}

func (s *session) shadowShape(what, sql string) *shape {
	return &shape{name: "_syncline_shadow_" + what, sql: sql}
}

// queueForget removes all shadows of an object.
func (x *transaction) queueForget(object string) error {
	name, err := x.s.shadowObject(object)
	if err != nil {
		return err
	}
	x.queue = append(x.queue, request{sql: "DELETE FROM " + x.s.shadowName() + " WHERE object = $1::text", args: [][]byte{[]byte(name)}, change: -1})
	return nil
}

// readShadows asks for the shadows of keys; each gets the place of the key among them. With lock, nobody else can write them until
// the transaction ends.
func (x *transaction) readShadows(object string, keys []syncline.Key, lock bool, each func(i int, shadow []byte)) (request, *error) {
	sql, what := "SELECT u.o, s.data FROM unnest($2::text[]) WITH ORDINALITY AS u(k, o) JOIN "+x.s.shadowName()+" AS s ON s.object = $1::text AND s.key = u.k", "read"
	if lock {
		sql, what = sql+" FOR UPDATE OF s", "lock"
	}
	var failed error
	return request{shape: x.s.shadowShape(what, sql), change: -1, args: x.shadowArgs(object, &shadowSet{keys: keys}, false), formats: []int16{0, 1}, row: func(v [][]byte) {
		i, err := strconv.Atoi(string(v[0]))
		if err != nil || i < 1 || i > len(keys) {
			failed = fmt.Errorf("read a shadow: row number %q of %d", v[0], len(keys))
			return
		}
		each(i-1, bytes.Clone(v[1]))
	}}, &failed
}
