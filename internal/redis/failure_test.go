package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/testserver"
)

func TestCrashThatLosesTheTailTakesTheCursorBack(t *testing.T) {
	s := testserver.NewRedis(t)
	r := newRig(t, Options{URL: s.URL()})
	// Write n changes customer n and customer n-5 (a delete where that is even), so that each state tells where it stands.
	write := func(n int64) []syncline.Change {
		changes := []syncline.Change{put("c", n, fmt.Sprint("at ", n), syncline.Seq(n))}
		if n > 5 && n%2 == 0 {
			changes = append(changes, del("c", n-5, syncline.Seq(n)))
		} else if n > 5 {
			changes = append(changes, put("c", n-5, fmt.Sprint("again at ", n), syncline.Seq(n)))
		}
		return changes
	}
	const last = 60
	for n := int64(1); n <= last; n++ {
		r.Write(write(n)...)
	}
	want := r.Names("c")

	s.Kill()
	logs, err := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("append-only files = %v, %v", logs, err)
	}
	info, err := os.Stat(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(logs[0], info.Size()*2/3); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Try(false, write(last+1)...); syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != "redis_unreachable" {
		t.Errorf("Apply without a server = %v, want transient redis_unreachable", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}

	r.TakeOver()
	if r.Cursor.Seq <= 1 || r.Cursor.Seq > last {
		t.Fatalf("cursor after losing a third of %d writes = %d", last, r.Cursor.Seq)
	}
	for n := int64(r.Cursor.Seq); n <= last; n++ {
		r.Write(write(n)...)
	}
	if diff := cmp.Diff(want, r.Names("c")); diff != "" {
		t.Errorf("records after the refill (-want +got):\n%s", diff)
	}
}

func TestServerThatForgotTheScripts(t *testing.T) {
	s := testserver.NewRedis(t)
	r := newRig(t, Options{URL: s.URL()})
	var changes []syncline.Change
	for i := range int64(1200) {
		changes = append(changes, put("c", i, "n", 5))
	}
	if err := client(t, s).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.Write(changes...)
	if got := len(r.Names("c")); got != 1200 {
		t.Errorf("records = %d, want 1200", got)
	}
}

func TestServersTroubleIsTransient(t *testing.T) {
	s := testserver.NewRedis(t)
	r := newRig(t, Options{URL: s.URL()})
	c := client(t, s)
	do := func(args ...any) {
		t.Helper()
		if err := c.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(code string) {
		t.Helper()
		_, err := r.Try(false, put("c", 1, "secret value", 7))
		if syncline.ClassOf(err) != syncline.Transient || syncline.CodeOf(err) != code {
			t.Errorf("Apply = %v, want transient %s", err, code)
		}
		if err != nil && strings.Contains(err.Error(), "secret value") {
			t.Errorf("the error shows a row value: %v", err)
		}
	}
	do("config", "set", "maxmemory", "1")
	fails("redis_oom")
	do("config", "set", "maxmemory", "0")
	do("replicaof", "127.0.0.1", "1")
	fails("redis_readonly")
	if f := r.Check(t.Context()); len(f) < 2 || f[1].Code != "redis_readonly" {
		t.Errorf("Check of a replica = %v", f)
	}
	do("replicaof", "no", "one")
	r.Write(put("c", 1, "n", 8))

	do("config", "set", "requirepass", "pw")
	if _, err := Open(t.Context(), Options{URL: s.URL()}); syncline.CodeOf(err) != "redis_auth" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("Open without the password = %v, want redis_auth", err)
	}
}

func TestCheckWarnsOfEvictionAndOfNoPersistence(t *testing.T) {
	s := testserver.NewRedis(t)
	r := newRig(t, Options{URL: s.URL()})
	levels := func() string {
		var b strings.Builder
		for _, f := range r.Check(t.Context()) {
			b.WriteString(f.Level + " " + f.Code + "\n")
		}
		return b.String()
	}
	if got := levels(); got != "ok \n" {
		t.Errorf("Check of a good server:\n%s", got)
	}
	c := client(t, s)
	if err := errors.Join(c.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(), c.ConfigSet(t.Context(), "appendonly", "no").Err()); err != nil {
		t.Fatal(err)
	}
	if got, want := levels(), "ok \nwarn redis_eviction\nwarn redis_persistence\n"; got != want {
		t.Errorf("Check:\n%swant:\n%s", got, want)
	}
	s.Kill()
	if got := levels(); got != "fail redis_unreachable\n" {
		t.Errorf("Check of a dead server:\n%s", got)
	}
}

func TestOpenKeepsThePasswordToItself(t *testing.T) {
	for _, url := range []string{"redis://u:hunter2@host:port/0", "http://u:hunter2@h", "redis://u:hunter2@127.0.0.1:1/0", "redis://u:hunter2@h/x%zz"} {
		_, err := Open(t.Context(), Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open = %v, want an error without the password", err)
		}
	}
}

// TestAServerThatRepeatsWhatItWasSent is not quoted: the client has sent it the password, and values of records.
func TestAServerThatRepeatsWhatItWasSent(t *testing.T) {
	for what, answer := range map[string]string{
		"no Redis":        "hunter2\r\n",
		"a bad number":    ":hunter2\r\n",
		"a bad length":    "$hunter2\r\n",
		"an error of one": "-hunter2 is no password\r\n",
		"a text":          "+hunter2\r\n",
		"nothing":         "",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, strings.Repeat(answer, 10))
				_ = conn.Close()
			}
		}()
		_, err = Open(t.Context(), Options{URL: "redis://u:hunter2@" + listener.Addr().String()})
		_ = listener.Close()
		if syncline.ClassOf(err) != syncline.Transient || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "connect to Redis: ") {
			t.Errorf("%s: Open = %v, want a transient error without the password", what, err)
		}
	}
}

// TestAURLThatCannotBeRead is told of by what is wrong with it: the password may have come to stand anywhere in it.
func TestAURLThatCannotBeRead(t *testing.T) {
	for url, want := range map[string]string{
		"redis://u:6379?hunter2@host/0":      "it has an option that does not exist, or with a value that is none of it",
		"redis://h/0?dial_timeout=hunter2":   "it has an option that does not exist, or with a value that is none of it",
		"redis://h/0?db=hunter2":             "it has an option that does not exist, or with a value that is none of it",
		"redis://u:6379/hunter2":             "its path is not the number of a database",
		"redis://u:6379/hunter2@host/0":      "its path is not the number of a database",
		"hunter2://u:hunter2@host":           "it begins with none of redis://, rediss:// and unix://",
		"u:hunter2@host:6379":                "it begins with none of redis://, rediss:// and unix://",
		"redis://u:hunter2/x@host:6379/0":    "a character in it is not escaped",
		"redis://u:hun%zzter2@host:6379/0":   "a character in it is not escaped",
		"redis://u@host:6379/%hunter2":       "a character in it is not escaped",
		"unix://u:hunter2@":                  "it has no path",
		"redis://u@h/0?pool_fifo=hunter2@h:": "it has an option that does not exist, or with a value that is none of it",
	} {
		_, err := Open(t.Context(), Options{URL: url})
		if syncline.CodeOf(err) != "redis_url" || syncline.ClassOf(err) != syncline.Fatal || !strings.HasSuffix(err.Error(), ": "+want) || syncline.FixOf(err) == "" || strings.Contains(err.Error(), "ter2") {
			t.Errorf("Open of %s = %v, want redis_url: %s", url, err, want)
		}
	}
}

func TestCursorThatIsNoCursor(t *testing.T) {
	r := newRig(t, Options{Route: "damaged"})
	c := client(t, server)
	for _, field := range []string{"seq", "index", "epoch"} {
		if err := c.HSet(t.Context(), "_syncline_cursor:damaged/0", field, "x").Err(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := r.Own(t.Context(), 0); syncline.CodeOf(err) != "cursor_damaged" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("Own of a damaged %s = %v, want cursor_damaged", field, err)
		}
		r.PlaceOver()
	}
	if err := errors.Join(c.Del(t.Context(), "_syncline_cursor:damaged/0").Err(), c.Set(t.Context(), "_syncline_cursor:damaged/0", "x", 0).Err()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Own(t.Context(), 0); syncline.CodeOf(err) != "redis_wrong_type" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Own of a foreign key = %v", err)
	}
}

func TestChangesThatARecordTargetCannotDo(t *testing.T) { newRig(t, Options{}).RefusesParts() }

// TestCluster runs against a cluster of one node that owns all slots.
func TestCluster(t *testing.T) {
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--cluster-enabled", "yes", "--save", "",
		"--cluster-port", fmt.Sprint(func() int { p, _ := testserver.FreePort(); return p }()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("redis://127.0.0.1:%d", port)
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	defer c.Close() //nolint:errcheck // the end of a test
	poll(t, "the node answers", func(ctx context.Context) bool { return c.Ping(ctx).Err() == nil })
	if err := c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	poll(t, "the cluster is up", func(ctx context.Context) bool {
		return strings.Contains(c.ClusterInfo(ctx).Val(), "cluster_state:ok")
	})

	if _, err := Open(t.Context(), Options{URL: url}); syncline.CodeOf(err) != "redis_cluster" {
		t.Errorf("Open without a hash tag = %v, want redis_cluster", err)
	}
	_, err = Open(t.Context(), Options{URL: url, Objects: map[string]Object{"a": {KeyTemplate: "{{x}}:{id}"}, "b": {KeyTemplate: "{{y}}:{id}"}}})
	if syncline.CodeOf(err) != "redis_key_template" {
		t.Errorf("Open with two hash tags = %v, want redis_key_template", err)
	}
	r := newRig(t, Options{URL: url, Objects: map[string]Object{"c": {KeyTemplate: "{{x}}:{id}"}}})
	var changes []syncline.Change
	for i := range int64(1200) {
		changes = append(changes, put("c", i, "n", 5))
	}
	r.Write(changes...)
	r.Write(del("c", 7, 6))
	if got := len(r.Names("c")); got != 1199 {
		t.Errorf("records = %d, want 1199", got)
	}
	if _, err := r.Try(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "c", Row: syncline.Row{Schema: customer}, Order: syncline.Order{Epoch: 1, Seq: 7}}); err != nil {
		t.Fatal(err)
	}
	if got := len(r.Names("c")); got != 0 {
		t.Errorf("records after truncate = %d", got)
	}
	if _, err := r.Try(false, put("untagged", 1, "n", 8)); syncline.CodeOf(err) != "redis_cluster" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("Apply to an object without the hash tag = %v, want redis_cluster", err)
	}
}

// poll waits until done, for at most ten seconds.
func poll(t *testing.T, what string, done func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after ten seconds", what)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			target, err := Open(b.Context(), Options{URL: server.URL(), Route: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			defer target.Close() //nolint:errcheck // the end of a benchmark
			c := syncline.Cursor{Log: "log", Seq: 1, Epoch: 1}
			if err := target.Place(b.Context(), c, "state"); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				c.Seq++
				w := &syncline.Write{Cursor: c, Commit: func(context.Context, syncline.Result) error { return nil }}
				for i := range rows {
					w.Changes = append(w.Changes, put("bench", int64(i), "a name of ordinary length", c.Seq))
				}
				if _, err := target.Apply(b.Context(), w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
