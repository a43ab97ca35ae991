package pgtarget

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline"
)

// rig is a target with an owned cursor, and a connection that looks at the same database.
type rig struct {
	t   *testing.T
	tgt *Target
	c   *pgx.Conn
	cur syncline.Cursor
}

func newRig(t *testing.T, o Options, ddl ...string) *rig {
	t.Helper()
	o.URL, o.Route = server.Database(t), "r"
	r := &rig{t: t, c: connection(t, o.URL)}
	execute(t, r.c, ddl...)
	r.tgt = open(t, o)
	if err := r.tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1, Epoch: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	r.own()
	return r
}

func (r *rig) own() {
	r.t.Helper()
	c, _, found, err := r.tgt.Own(r.t.Context(), 0)
	if err != nil || !found {
		r.t.Fatalf("Own = %v, %v", found, err)
	}
	r.cur = c
}

func (r *rig) write(ordered bool, changes ...syncline.Change) *syncline.Write {
	r.cur.Seq++
	for i := range changes {
		if changes[i].Order == (syncline.Order{}) {
			changes[i].Order = syncline.Order{Epoch: 1, Seq: r.cur.Seq, Index: i}
		}
	}
	return &syncline.Write{Changes: changes, Ordered: ordered, Cursor: r.cur, Commit: func(context.Context, syncline.Result) error { return nil }}
}

func (r *rig) apply(ordered bool, changes ...syncline.Change) error {
	_, err := r.tgt.Apply(r.t.Context(), r.write(ordered, changes...))
	return err
}

func (r *rig) must(ordered bool, changes ...syncline.Change) {
	r.t.Helper()
	if err := r.apply(ordered, changes...); err != nil {
		r.t.Fatalf("Apply: %v", err)
	}
}

// rows checks what a query returns, each row as its text.
func (r *rig) rows(query string, want ...string) {
	r.t.Helper()
	rows, err := r.c.Query(context.Background(), "SELECT q::text FROM ("+query+") q")
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// cols makes a schema: the first nkey columns are the key, all are text to us, so that the table's types decide.
func cols(nkey int, names ...string) *syncline.Schema {
	s := &syncline.Schema{Entity: "e", Version: -1}
	for i, n := range names {
		s.Columns = append(s.Columns, syncline.Column{Name: n, Kind: syncline.KindText, Nullable: i >= nkey})
		if i < nkey {
			s.Key = append(s.Key, i)
		}
	}
	return s
}

// texts makes a row of texts: "" is null, "-" unset.
func texts(s *syncline.Schema, values ...string) syncline.Row {
	row := syncline.Row{Schema: s}
	for i, v := range values {
		switch v {
		case "":
			row.Values = append(row.Values, syncline.Null)
		case "-":
			row.Values = append(row.Values, syncline.Unset)
		default:
			row.Values = append(row.Values, syncline.Raw(s.Columns[i].Kind, []byte(v)))
		}
	}
	return row
}

func put(object string, s *syncline.Schema, values ...string) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: object, Row: texts(s, values...)}
}

func del(object string, s *syncline.Schema, values ...string) syncline.Change {
	return syncline.Change{Op: syncline.ChangeDelete, Object: object, Row: texts(s, values...)}
}

func wantError(t *testing.T, err error, class syncline.Class, code string) {
	t.Helper()
	if err == nil || syncline.ClassOf(err) != class || syncline.CodeOf(err) != code {
		t.Errorf("error = %v (%s, %s), want %s %s", err, syncline.ClassOf(err), syncline.CodeOf(err), class, code)
	}
}
