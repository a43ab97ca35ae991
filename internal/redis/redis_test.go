package redis

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/targettest"
	"syncline/internal/testserver"
)

var server *testserver.Redis

func TestMain(m *testing.M) {
	var err error
	if server, err = testserver.StartRedis(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// instances counts what tests open, to give each its own names on the shared server.
var instances atomic.Int64

func open(t *testing.T, o Options) *Target {
	t.Helper()
	if o.URL == "" {
		o.URL = server.URL()
	}
	target, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = target.Close() })
	return target
}

func client(t *testing.T, s *testserver.Redis) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opt)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestConforms(t *testing.T) {
	for _, format := range []Format{JSON, Hash} {
		t.Run(string(format), func(t *testing.T) {
			targettest.Run(t, targettest.Harness{
				Refuses: []string{"text_invalid_utf8"},
				Stored: func(name string, v syncline.Value) syncline.Value {
					if name == "json_null" && format == JSON {
						return syncline.Null // a document has one null
					}
					return v
				},
				Open: func(t *testing.T) targettest.Instance {
					n := instances.Add(1)
					o := Options{Route: fmt.Sprintf("route%d", n), Objects: map[string]Object{}}
					name := func(entity string) string {
						name := fmt.Sprintf("%s%d", entity, n)
						o.Objects[name] = Object{Format: format}
						return name
					}
					target := open(t, o)
					return targettest.Instance{
						Target: target,
						Reopen: func() syncline.Target { return open(t, o) },
						Object: func(s *syncline.Schema) string { return name(s.Entity) },
						Refuse: func(object string, row syncline.Row) syncline.Row {
							key, _ := row.Key()
							if err := client(t, server).LPush(t.Context(), object+":"+string(key), "a list").Err(); err != nil {
								t.Fatal(err)
							}
							return row
						},
					}
				},
			})
		})
	}
}

var customer = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true}}}

// put is the change of a customer by the event at seq.
func put(object string, id int64, name string, seq syncline.Seq) syncline.Change {
	return syncline.Change{Op: syncline.ChangePut, Object: object, Order: syncline.Order{Epoch: 1, Seq: seq},
		Row: syncline.Row{Schema: customer, Values: []syncline.Value{syncline.Int(id), syncline.Text(name)}}}
}

func del(object string, id int64, seq syncline.Seq) syncline.Change {
	c := put(object, id, "", seq)
	c.Op, c.Row.Values[1] = syncline.ChangeDelete, syncline.Unset
	return c
}

// rig is a target that owns its slice, and the cursor to write with.
type rig struct {
	*Target
	t      *testing.T
	cursor syncline.Cursor
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	if o.Route == "" {
		o.Route = fmt.Sprintf("route%d", instances.Add(1))
	}
	r := &rig{Target: open(t, o), t: t, cursor: syncline.Cursor{Log: "log", Seq: 1}}
	if err := r.Place(t.Context(), r.cursor, "state"); err != nil {
		t.Fatalf("Place: %v", err)
	}
	r.own()
	return r
}

func (r *rig) own() {
	r.t.Helper()
	c, _, found, err := r.Own(r.t.Context(), r.cursor.Epoch)
	if err != nil || !found {
		r.t.Fatalf("Own = %v, %v", found, err)
	}
	r.cursor = c
}

// placeOver begins anew over a cursor that cannot be read, and writes.
func (r *rig) placeOver() {
	r.t.Helper()
	r.cursor = syncline.Cursor{Log: "log", Seq: 9, Epoch: r.cursor.Epoch + 1}
	if err := r.Place(r.t.Context(), r.cursor, "state"); err != nil {
		r.t.Fatalf("Place over a damaged cursor: %v", err)
	}
	if _, err := r.try(false); err != nil {
		r.t.Errorf("Apply after Place = %v", err)
	}
	want := r.cursor
	want.Epoch++
	if got, state, found, err := r.Own(r.t.Context(), 0); err != nil || !found || got != want || state != "state" {
		r.t.Errorf("Own after Place = %+v, %q, %v, %v, want %+v", got, state, found, err, want)
	}
	r.cursor = want
}

func (r *rig) try(ordered bool, changes ...syncline.Change) (syncline.Result, error) {
	next := r.cursor
	next.Seq++
	res, err := r.Apply(r.t.Context(), &syncline.Write{Changes: changes, Ordered: ordered, Cursor: next,
		Commit: func(context.Context, syncline.Result) error { return nil }})
	if err == nil {
		r.cursor = next
	}
	return res, err
}

func (r *rig) apply(changes ...syncline.Change) syncline.Result {
	r.t.Helper()
	res, err := r.try(false, changes...)
	if err != nil {
		r.t.Fatalf("Apply: %v", err)
	}
	return res
}

// names reads the object's customers back.
func (r *rig) names(object string) map[string]string {
	r.t.Helper()
	got := map[string]string{}
	err := r.Scan(r.t.Context(), object, customer, func(row syncline.Row) error {
		got[row.Values[0].Text()] = row.Values[1].Text()
		return nil
	})
	if err != nil {
		r.t.Fatalf("Scan: %v", err)
	}
	return got
}
