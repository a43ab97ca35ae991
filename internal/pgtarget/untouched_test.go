package pgtarget

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// A record is untouched only where nobody else has written it since it was decided about.
func TestUntouchedRecords(t *testing.T) {
	for _, test := range []struct {
		name, meanwhile string
		want            bool
	}{
		{"nothing", "", true},
		{"another record", "UPDATE c SET n = 'x' WHERE id = '2'", true},
		{"another column", "UPDATE c SET theirs = 1 WHERE id = '1'", false},
		{"the same values", "UPDATE c SET n = n WHERE id = '1'", false},
		{"another record of the key", "WITH gone AS (DELETE FROM c WHERE id = '1' RETURNING *) INSERT INTO d SELECT * FROM gone; INSERT INTO c SELECT * FROM d", false},
		{"a copy of the table", "CREATE TABLE copy (LIKE c INCLUDING ALL); INSERT INTO copy SELECT * FROM c; DROP TABLE c; ALTER TABLE copy RENAME TO c", false},
		{"a cut shadow", "UPDATE c SET _syncline_shadow = '\\x4040' WHERE id = '1'", false},
		{"a write that was rolled back", "BEGIN; UPDATE c SET n = 'x' WHERE id = '1'; ROLLBACK", true},
		{"a lock", "BEGIN; SELECT FROM c WHERE id = '1' FOR UPDATE; COMMIT", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text, theirs bigint, _syncline_shadow bytea)", "CREATE TABLE d (LIKE c)",
				"INSERT INTO c VALUES ('2', 'two')")
			r.decideUntouched("first")
			if test.meanwhile != "" {
				execute(t, r.c, test.meanwhile)
			}
			if diff := cmp.Diff([]bool{test.want}, r.decideUntouched("second")[:1]); diff != "" {
				t.Errorf("untouched (-want +got):\n%s", diff)
			}
			r.rows("SELECT n FROM c WHERE id = '1'", "(second)")
		})
	}
}

// What a trigger makes of a row is not known, and of a row that was written in another cluster nothing is.
func TestUntouchedRecordsAreNotToldOf(t *testing.T) {
	for name, spoil := range map[string]func(*rig){
		"a table with a trigger": func(r *rig) {
			execute(r.t, r.c, "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.theirs = 1; RETURN NEW; END'",
				"CREATE TRIGGER loud BEFORE UPDATE ON c FOR EACH ROW EXECUTE FUNCTION loud()")
			r.tgt = open(r.t, r.tgt.o)
			r.own()
		},
		"another cluster": func(r *rig) { r.tgt.s.cluster ^= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text, theirs bigint, _syncline_shadow bytea)")
			r.decideUntouched("first")
			spoil(r)
			if got := r.decideUntouched("second"); got[0] {
				t.Error("the record is untouched")
			}
		})
	}
}

// Who writes a record between the look at it and the write is seen.
func TestUntouchedRecordThatMoves(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text, theirs bigint, _syncline_shadow bytea)")
	r.decideUntouched("first")
	s, told := cols(1, "id", "n"), []string{}
	w := r.write(false, put("c", s, "1", "ours"))
	w.Recalls = true
	w.Decide = func(_ int, held syncline.Held) (syncline.Decision, error) {
		if held.Untouched {
			told = append(told, "untouched")
			execute(t, r.c, "UPDATE c SET n = 'theirs'")
		} else {
			told = append(told, held.Values[1].Text())
		}
		return syncline.Decision{Op: syncline.ChangePut, Values: w.Changes[0].Row.Values, Shadow: []byte("s"), Recallable: true}, nil
	}
	if _, err := r.tgt.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"untouched", "theirs"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// decideUntouched writes record 1 and returns, for each time it was asked about it, whether the record was untouched.
func (r *rig) decideUntouched(n string) (told []bool) {
	r.t.Helper()
	w := r.write(false, put("c", cols(1, "id", "n"), "1", n))
	w.Recalls = true
	w.Decide = func(_ int, held syncline.Held) (syncline.Decision, error) {
		told = append(told, held.Untouched)
		if held.Untouched && (held.Values != nil || string(held.Shadow) != "of 1") {
			r.t.Errorf("held %v after %q", held.Values, held.Shadow)
		}
		return syncline.Decision{Op: syncline.ChangePut, Values: w.Changes[0].Row.Values, Shadow: []byte("of 1"), Recallable: true}, nil
	}
	if _, err := r.tgt.Apply(r.t.Context(), w); err != nil {
		r.t.Fatal(err)
	}
	return told
}
