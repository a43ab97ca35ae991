package natskv

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
	"syncline/internal/jetlog"
	"syncline/internal/targettest"
)

// server is the embedded server as a daemon runs it: it syncs every message.
var server *jetlog.Server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "syncline-natskv-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if server, err = jetlog.Open(context.Background(), jetlog.Options{Dir: dir}); err != nil {
		return 0, err
	}
	code := m.Run()
	return code, server.Close()
}

func conn(tb testing.TB) *nats.Conn {
	tb.Helper()
	nc, err := server.Conn()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func stream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(conn(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// instances counts what tests open, to give each its own bucket on the shared server.
var instances atomic.Int64

func newBucket() string { return fmt.Sprintf("bucket%d", instances.Add(1)) }

func open(tb testing.TB, o Options) *Target {
	tb.Helper()
	if o.Conn == nil && o.URL == "" {
		o.Conn = conn(tb)
	}
	target, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() { _ = target.Close() })
	return target
}

func TestConforms(t *testing.T) {
	js := stream(t)
	for name, prepare := range map[string]func(*testing.T, string){
		"bucket made by us": func(t *testing.T, bucket string) {
			open(t, Options{Bucket: bucket, Create: true})
			s, err := js.Stream(t.Context(), "KV_"+bucket)
			if err != nil {
				t.Fatal(err)
			}
			config := s.CachedInfo().Config
			config.MaxMsgSize = 2 << 20
			if _, err := js.UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		},
		"bucket made by hand": func(t *testing.T, bucket string) {
			if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, MaxValueSize: 2 << 20, Storage: jetstream.MemoryStorage, History: 3}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			targettest.Run(t, targettest.Harness{
				Refuses: []string{"text_invalid_utf8"},
				Stored: func(name string, v syncline.Value) syncline.Value {
					if name == "json_null" {
						return syncline.Null // a document has one null
					}
					return v
				},
				Open: func(t *testing.T) targettest.Instance {
					o := Options{Bucket: newBucket(), Route: "a.b *>", Conn: conn(t)}
					prepare(t, o.Bucket)
					return targettest.Instance{
						Target: open(t, o),
						Reopen: func() syncline.Target { return open(t, o) },
						Refuse: func(_ string, row syncline.Row) syncline.Row {
							row.Values[1] = syncline.Text(strings.Repeat("x", 3<<20))
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
	truncate = targettest.Truncate
)

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	if o.Bucket == "" {
		o.Bucket, o.Create = newBucket(), true
	}
	target := open(t, o)
	return &rig{target, targettest.NewRig(t, target)}
}

func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			r := newRig(b, Options{})
			seq := syncline.Seq(1)
			for b.Loop() {
				seq++
				var changes []syncline.Change
				for i := range rows {
					changes = append(changes, put("bench", int64(i), "a name of ordinary length", seq))
				}
				r.Write(changes...)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
