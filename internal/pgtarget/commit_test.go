package pgtarget

import (
	"context"
	"testing"

	"syncline"
)

// TestACommitThatTheServerRefuses has not happened, although every statement before it went well: constraints that are checked late speak
// only then. The connection can be used for the next attempt.
func TestACommitThatTheServerRefuses(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)",
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure'; END $$`)
	s := cols(1, "id", "v")
	r.must(false, put("a", s, "1", "x"))
	seq := r.cur.Seq
	execute(t, r.c, "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON _syncline_cursor DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()")
	for _, ordered := range []bool{false, true} {
		if err := r.apply(ordered, put("a", s, "2", "y")); syncline.ClassOf(err) != syncline.Transient || err == nil {
			t.Errorf("ordered: %t: Apply = %v, want a transient error", ordered, err)
		}
		r.rows("SELECT id FROM a", "(1)")
	}
	execute(t, r.c, "DROP TRIGGER late ON _syncline_cursor")
	w := r.write(false, put("a", s, "2", "y"))
	w.Commit = func(ctx context.Context, _ syncline.Result) error {
		_, _ = r.tgt.s.conn.Exec(ctx, "SELECT 1/0") // from here on the server takes COMMIT for ROLLBACK, and says so in its answer alone
		return nil
	}
	_, err := r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Transient, "server_error")
	r.own()
	if r.cur.Seq != seq {
		t.Errorf("cursor = %d, want %d", r.cur.Seq, seq)
	}
	r.must(false, put("a", s, "2", "y"))
	r.rows("SELECT id FROM a ORDER BY id", "(1)", "(2)")
}
