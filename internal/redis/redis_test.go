package redis

import (
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

// rig is a target with the cursor to write with; the changes are of customers.
type rig struct {
	*Target
	*targettest.Rig[*Target]
}

var (
	customer = targettest.Customer
	put      = targettest.Put
	del      = targettest.Delete
)

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	if o.Route == "" {
		o.Route = fmt.Sprintf("route%d", instances.Add(1))
	}
	target := open(t, o)
	return &rig{target, targettest.NewRig(t, target)}
}
