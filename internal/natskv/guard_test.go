package natskv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

func TestTruncateLeavesWhatIsNewer(t *testing.T) {
	r := newRig(t, Options{})
	changes := []syncline.Change{put("c", 1, "newer", 30), put("other", 1, "kept", 10), del("c", 2, 10)}
	for i := range int64(2500) {
		changes = append(changes, put("c", 10+i, "old", 10))
	}
	r.Write(changes...)
	if _, err := r.Try(true, truncate("c", 20), put("c", 10, "after", 21)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"1": "newer", "10": "after"}, r.Names("c")); diff != "" {
		t.Errorf("records after truncate (-want +got):\n%s", diff)
	}
	if got := r.Names("other"); len(got) != 1 {
		t.Errorf("records of another object = %v", got)
	}
	if got := r.Write(put("c", 11, "risen", 19)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("a replay of what the truncate removed = outcome %d, want stale", got)
	}
}

func TestDeleteMarkersExpire(t *testing.T) {
	r := newRig(t, Options{Bucket: newBucket(), Create: true, Tombstone: time.Millisecond})
	r.Write(put("c", 1, "n", 10))
	r.Write(del("c", 1, 11))
	if got := r.Write(put("c", 1, "late", 10)).Outcomes[0]; got != syncline.OutcomeStale {
		t.Errorf("an old change behind a delete = outcome %d, want stale", got)
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := r.read(t.Context(), []string{r.subject("c.1")})
		if err != nil {
			t.Fatal(err)
		}
		if have[0].revision == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the marker is still there after thirty seconds, with a time to live of one")
		}
	}
}

// TestWritersOfOneKeyNeverGoBack lets two routes write the same records in opposite order.
func TestWritersOfOneKeyNeverGoBack(t *testing.T) {
	bucket := newBucket()
	a := newRig(t, Options{Bucket: bucket, Create: true, Route: "a"})
	b := newRig(t, Options{Bucket: bucket, Route: "b"})
	const keys, rounds = 40, 15
	write := func(r *rig, from, step int) error {
		for n := range rounds {
			seq := syncline.Seq(from + step*n)
			var changes []syncline.Change
			for k := range int64(keys) {
				changes = append(changes, put("c", k, fmt.Sprint("by ", seq), seq))
			}
			if _, err := r.Try(false, changes...); err != nil && syncline.CodeOf(err) != "natskv_contended" {
				return err
			}
		}
		_, err := r.Try(false)
		return err
	}
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { errs[0] = write(a, 100, 2) })
	wg.Go(func() { errs[1] = write(b, 99+2*rounds, -2) })
	wg.Wait()
	if errs[0] != nil || errs[1] != nil {
		t.Fatalf("Apply: %v, %v", errs[0], errs[1])
	}
	b.Write(put("c", 0, "old", 1)) // whatever happened: nothing older gets through
	want := fmt.Sprint("by ", 99+2*rounds)
	for k, v := range a.Names("c") {
		if v != want {
			t.Errorf("customer %s = %q, want %q", k, v, want)
		}
	}
}

// TestAWriteNamesWhatItReplaces writes over a revision that is no longer the last.
func TestAWriteNamesWhatItReplaces(t *testing.T) {
	r := newRig(t, Options{})
	r.Write(put("c", 1, "first", 5))
	subject := r.subject("c.1")
	have, err := r.read(t.Context(), []string{subject})
	if err != nil {
		t.Fatal(err)
	}
	r.Write(put("c", 1, "newer", 7))
	late := func() []*nats.Msg {
		return []*nats.Msg{r.message(record{subject: subject, version: 6, document: []byte(`{"id":1,"name":"late"}`)}, have[0].revision)}
	}
	outcome := func(int, syncline.Outcome, error) { t.Error("a write over an old revision has an outcome") }
	if again, err := r.publishEach(t.Context(), []int{0}, late(), outcome); err != nil || len(again) != 1 {
		t.Errorf("publishEach over an old revision = %v, %v, want it to be tried again", again, err)
	}
	if err := conflict(r.publishAtomic(t.Context(), late())); !errors.Is(err, errConflict) {
		t.Errorf("publishAtomic over an old revision = %v, want errConflict", err)
	}
	if got := r.Names("c")["1"]; got != "newer" {
		t.Errorf("customer 1 = %q, want newer", got)
	}
}

func TestForeignValuesAreNoRecords(t *testing.T) {
	r := newRig(t, Options{})
	kv, err := stream(t).KeyValue(t.Context(), r.bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "c.1", "not a document"); err != nil {
		t.Fatal(err)
	}
	r.Write(put("c", 2, "ours", 5))
	if diff := cmp.Diff(map[string]string{"2": "ours"}, r.Names("c")); diff != "" {
		t.Errorf("Scan (-want +got):\n%s", diff)
	}
	got, err := r.Current(t.Context(), "c", customer, []syncline.Row{put("c", 1, "", 1).Row, put("c", 2, "", 1).Row})
	if err != nil || got[0] != nil || got[1] == nil {
		t.Errorf("Current = %v, %v", got, err)
	}
	r.Write(put("c", 1, "over it", 5))
	e, err := kv.Get(t.Context(), "c.1")
	if err != nil || string(e.Value()) != `{"id":1,"name":"over it"}` {
		t.Errorf("a client's Get = %v, %v", e, err)
	}
}

func TestPausedOwnerWritesNothing(t *testing.T) {
	r := newRig(t, Options{})
	if _, _, _, err := r.Own(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Try(false, put("c", 1, "late", 5)); syncline.CodeOf(err) != "fenced" {
		t.Errorf("Apply of a paused owner = %v, want fenced", err)
	}
	if got := r.Names("c"); len(got) != 0 {
		t.Errorf("records of a paused owner = %v", got)
	}
}

func TestBucketThatCannotServe(t *testing.T) {
	js := stream(t)
	if _, err := Open(t.Context(), Options{Conn: conn(t), Bucket: newBucket()}); syncline.CodeOf(err) != "object_missing" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Open without a bucket = %v, want object_missing", err)
	}
	for create, want := range map[bool]string{true: "ok", false: "fail"} {
		o := Options{Conn: conn(t), Bucket: newBucket(), Create: create}
		if f := Check(t.Context(), o); len(f) != 1 || f[0].Level != want {
			t.Errorf("Check before there is a bucket, create %v = %v, want %s", create, f, want)
		}
		if _, err := js.Stream(t.Context(), "KV_"+o.Bucket); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("after Check the bucket is there: %v", err)
		}
	}
	r := newRig(t, Options{})
	if f := r.Check(t.Context()); len(f) != 1 || f[0].Level != "ok" {
		t.Errorf("Check of a bucket of ours = %v", f)
	}
	if err := js.DeleteKeyValue(t.Context(), r.bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Try(false, put("c", 1, "n", 5)); syncline.CodeOf(err) != "cursor_lost" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Apply to a removed bucket = %v, want cursor_lost", err)
	}
	if f := r.Check(t.Context()); f[0].Level != "fail" {
		t.Errorf("Check of a removed bucket = %v", f)
	}

	brief := newBucket()
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: brief, TTL: time.Hour, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range open(t, Options{Bucket: brief}).Check(t.Context()) {
		codes = append(codes, f.Level+" "+f.Code)
	}
	if diff := cmp.Diff([]string{"ok ", "fail natskv_max_age", "warn natskv_markers_stay"}, codes); diff != "" {
		t.Errorf("Check of a bucket that forgets (-want +got):\n%s", diff)
	}

	indirect := newBucket()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_" + indirect, Subjects: []string{"$KV." + indirect + ".>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Conn: conn(t), Bucket: indirect}); syncline.CodeOf(err) != "natskv_direct" {
		t.Errorf("Open of a bucket without direct reads = %v, want natskv_direct", err)
	}
}

func TestCursorThatIsNoCursor(t *testing.T) {
	r := newRig(t, Options{})
	if _, err := stream(t).Publish(t.Context(), r.Target.cursor, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Own(t.Context(), 0); syncline.CodeOf(err) != "cursor_damaged" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Own of a damaged cursor = %v, want cursor_damaged", err)
	}
	r.PlaceOver()
}

func TestChangesThatARecordTargetCannotDo(t *testing.T) { newRig(t, Options{}).RefusesParts() }

func TestConnectByURL(t *testing.T) {
	opts := &natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Username: "u", Password: "hunter2", NoSigs: true, NoLog: true}
	s, err := natsserver.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	port := opts.Port
	r := newRig(t, Options{URL: fmt.Sprintf("nats://u:hunter2@127.0.0.1:%d", port), Bucket: "b", Create: true})
	r.Write(put("c", 1, "n", 5))

	for url, code := range map[string]string{
		fmt.Sprintf("nats://u:hunter3@127.0.0.1:%d", port): "nats_auth",
		"nats://u:hunter3@127.0.0.1:1":                     "nats_unreachable",
		"nats://u:hunter3@127.0.0.1:no":                    "nats_unreachable",
	} {
		_, err := Open(t.Context(), Options{URL: url, Bucket: "b"})
		if syncline.CodeOf(err) != code || syncline.ClassOf(err) != syncline.Transient || strings.Contains(err.Error(), "hunter") {
			t.Errorf("Open = %v, want transient %s without the password", err, code)
		}
	}

	s.Shutdown()
	s.WaitForShutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	w := &syncline.Write{Cursor: r.Cursor, Commit: func(context.Context, syncline.Result) error { return nil }}
	if _, err := r.Apply(ctx, w); syncline.ClassOf(err) != syncline.Transient || err == nil {
		t.Errorf("Apply without a server = %v, want transient", err)
	}
}

func TestLongKeysAreRejected(t *testing.T) {
	s := &syncline.Schema{Entity: "t", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindText}}}
	r := newRig(t, Options{})
	long := syncline.Change{Op: syncline.ChangePut, Object: "t", Order: syncline.Order{Epoch: 1, Seq: 5},
		Row: syncline.Row{Schema: s, Values: []syncline.Value{syncline.Text(strings.Repeat("键", 400))}}}
	res := r.Write(long, put("c", 1, "n", 5))
	if res.Outcomes[0] != syncline.OutcomeRejected || syncline.CodeOf(res.Rejected[0]) != "key_too_long" || res.Outcomes[1] != syncline.OutcomeApplied {
		t.Errorf("Apply of a long key = %v %v, want it rejected alone", res.Outcomes, res.Rejected)
	}
	short := syncline.Row{Schema: s, Values: []syncline.Value{syncline.Text("k")}}
	r.Write(syncline.Change{Op: syncline.ChangePut, Object: "t", Order: long.Order, Row: short})
	got, err := r.Current(t.Context(), "t", s, []syncline.Row{long.Row, short, {Schema: s, Values: []syncline.Value{syncline.Text("none")}}})
	if err != nil || len(got) != 3 || got[0] != nil || len(got[1]) != 1 || got[2] != nil {
		t.Errorf("Current of a long key, a record and none = %v, %v, want the record in its place", got, err)
	}
	long.Row.Values[0] = syncline.Text(strings.Repeat("k", maxKey-2))
	if res := r.Write(long); res.Outcomes[0] != syncline.OutcomeApplied {
		t.Errorf("Apply of the longest key = %v %v", res.Outcomes, res.Rejected)
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "a", "_x", "a.b", "*", ">", "=", "=2E", "日本", "a b\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token := encode(s)
		if token == "" || token[0] == '_' || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=") != "" {
			t.Errorf("encode(%q) = %q is not in the alphabet", s, token)
		}
		if back := decode(t, token); back != s {
			t.Errorf("decode(encode(%q)) = %q", s, back)
		}
	})
}

// decode shows that encode loses nothing.
func decode(t *testing.T, token string) string {
	if token == "=" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '=' {
			b.WriteByte(token[i])
			continue
		}
		var c byte
		if _, err := fmt.Sscanf(token[i+1:i+3], "%02X", &c); err != nil {
			t.Fatalf("decode(%q): %v", token, err)
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}
