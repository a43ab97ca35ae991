package pgtarget

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"syncline"
)

// Two routes and somebody else write the same records: no decision is made on what is no longer there.
func TestDecisionsOfSeveralWritersAreAtomic(t *testing.T) {
	const keys, writes = 20, 40
	for _, mode := range []struct{ ordered, column bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		ordered := mode.ordered
		t.Run(fmt.Sprintf("%+v", mode), func(t *testing.T) {
			name := "other" // where the shadow column is, or none
			if mode.column {
				name = shadowColumn
			}
			r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n bigint, theirs bigint NOT NULL DEFAULT 0, "+name+" bytea)")
			s := cols(1, "id", "n")
			var all sync.WaitGroup
			for w := range 2 {
				all.Go(func() {
					tgt := open(t, Options{URL: r.tgt.o.URL, Route: "w" + strconv.Itoa(w)})
					cur := syncline.Cursor{Log: "l", Seq: 1, Epoch: 1}
					if err := tgt.Place(context.Background(), cur, "s"); err != nil {
						t.Error(err)
						return
					}
					for n := 0; n < writes; {
						cur.Seq++
						err := count(tgt, cur, ordered, s, keys, n+w)
						switch {
						case err == nil:
							n++
						case syncline.CodeOf(err) == "serialization" || syncline.CodeOf(err) == "target_moves": // a deadlock, or the records move too fast
							if c, _, _, err := tgt.Own(context.Background(), cur.Epoch); err == nil {
								cur = c
							}
						default:
							t.Error(err)
							return
						}
					}
				})
			}
			other := connection(t, r.tgt.o.URL)
			all.Go(func() {
				for i := range keys * 10 {
					if _, err := other.Exec(context.Background(), "UPDATE c SET theirs = theirs + 1 WHERE id = $1", strconv.Itoa(i%keys)); err != nil {
						t.Error(err)
					}
				}
			})
			all.Wait()
			// What stands apart of a row that has its shadow with it is older, and does not count.
			shadows := "(SELECT key, data FROM _syncline_shadow a WHERE NOT EXISTS (SELECT FROM c WHERE c.id = a.key AND c." + name + " IS NOT NULL) UNION ALL SELECT id, substring(" + name + " FOR length(" + name + ") - " + strconv.Itoa(tagSize) + ") FROM c WHERE " + name + " IS NOT NULL) s"
			r.rows("SELECT count(*) FILTER (WHERE convert_from(data, 'UTF8') = '80'), count(*) FROM "+shadows, fmt.Sprintf("(%d,%d)", keys, keys))
			r.rows("SELECT count(*) FROM c JOIN "+shadows+" ON s.key = c.id WHERE c.n <> convert_from(s.data, 'UTF8')::bigint", "(0)")
		})
	}
}

// count writes each record's number of decisions, which its shadow keeps, and removes some of the records.
func count(tgt *Target, cur syncline.Cursor, ordered bool, s *syncline.Schema, keys, round int) error {
	w := &syncline.Write{Cursor: cur, Ordered: ordered, Commit: func(context.Context, syncline.Result) error { return nil }}
	for k := range keys {
		if !ordered { // in another order each time
			k = (k + round) % keys
		}
		w.Changes = append(w.Changes, put("c", s, strconv.Itoa(k), ""))
	}
	w.Decide = func(i int, held syncline.Held) (syncline.Decision, error) {
		n, _ := strconv.Atoi(string(held.Shadow)) // none is 0
		next := strconv.Itoa(n + 1)
		if held.Values != nil && held.Values[1].Text() != strconv.Itoa(n) {
			return syncline.Decision{}, fmt.Errorf("record %s after %d decisions has %s", held.Values[0].Text(), n, held.Values[1].Text())
		}
		d := syncline.Decision{Op: syncline.ChangePut, Values: []syncline.Value{w.Changes[i].Row.Values[0], syncline.Text(next)}, Shadow: []byte(next)}
		if (i+round)%7 == 0 {
			d.Op = syncline.ChangeDelete
		}
		return d, nil
	}
	_, err := tgt.Apply(context.Background(), w)
	return err
}

// A record that somebody adds after it was looked for is seen before anything is decided about it.
func TestDecisionSeesARecordThatAppears(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text)")
	s := cols(1, "id", "n")
	told := []string{}
	w := r.write(false, put("c", s, "1", "ours"))
	w.Decide = func(_ int, held syncline.Held) (syncline.Decision, error) {
		if held.Values == nil {
			told = append(told, "nothing")
			execute(t, r.c, "INSERT INTO c VALUES ('1', 'theirs')")
		} else {
			told = append(told, held.Values[1].Text())
		}
		return syncline.Decision{Op: syncline.ChangePut, Values: w.Changes[0].Row.Values}, nil
	}
	if _, err := r.tgt.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(told); got != "[nothing theirs]" {
		t.Errorf("held = %s, want nothing, then theirs", got)
	}
	r.rows("SELECT * FROM c", "(1,ours)")
}

// A table that somebody keeps filling gives up, and nothing is written.
func TestDecisionGivesUpOnRecordsThatMove(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text)",
		"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE TRIGGER no BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION no()")
	s := cols(1, "id", "n")
	asked := 0
	w := r.write(false, put("c", s, "1", "ours"))
	w.Decide = func(int, syncline.Held) (syncline.Decision, error) {
		asked++
		return syncline.Decision{Op: syncline.ChangePut, Values: w.Changes[0].Row.Values, Shadow: []byte("s")}, nil
	}
	_, err := r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Transient, "target_moves")
	if asked != maxMoves {
		t.Errorf("asked %d times, want %d", asked, maxMoves)
	}
	r.rows("SELECT count(*) FROM _syncline_shadow", "(0)")
}

// A record that somebody else deletes is not one that was never decided about, also where its shadow went with it.
func TestARecordThatOthersDeleteWasDecidedAbout(t *testing.T) {
	for _, column := range []string{"other", shadowColumn} {
		t.Run(column, func(t *testing.T) {
			r := newRig(t, Options{}, "CREATE TABLE c (id text PRIMARY KEY, n text, "+column+" bytea)")
			s := cols(1, "id", "n")
			decide := func(op syncline.ChangeOp, shadow, want string) {
				t.Helper()
				told := ""
				w := r.write(false, put("c", s, "1", shadow))
				w.Decide = func(_ int, held syncline.Held) (syncline.Decision, error) {
					if told = "nothing"; held.Values != nil {
						told = held.Values[1].Text()
					}
					told += " after " + string(held.Shadow)
					d := syncline.Decision{Op: op, Shadow: []byte(shadow)}
					if op == syncline.ChangePut {
						d.Values = w.Changes[0].Row.Values
					}
					return d, nil
				}
				if _, err := r.tgt.Apply(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if r.cur = w.Cursor; told != want {
					t.Errorf("held = %q, want %q", told, want)
				}
			}
			latest := map[string]string{"other": "second", shadowColumn: "first"} // with its row, what was last is lost, not that there was something
			decide(syncline.ChangePut, "first", "nothing after ")
			decide(syncline.ChangePut, "second", "first after first")
			execute(t, r.c, "DELETE FROM c")
			decide(syncline.ChangePut, "third", "nothing after "+latest[column])
			decide(syncline.ChangeDelete, "gone", "third after third")
			decide(syncline.ChangePut, "fourth", "nothing after gone")
			execute(t, r.c, "DELETE FROM c", "INSERT INTO c VALUES ('1', 'theirs')")
			decide(syncline.ChangePut, "fifth", "theirs after fourth")
			decide(syncline.ChangePut, "sixth", "fifth after fifth")
		})
	}
}
