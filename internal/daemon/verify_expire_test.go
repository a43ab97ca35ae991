package daemon

import (
	"fmt"
	"path/filepath"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestWhatMayHaveExpiredIsNoDifference: a record that is not in a cache with a time to live is told by a class of its own, and not sent again;
// one that is there and differs is a difference.
func TestWhatMayHaveExpiredIsNoDifference(t *testing.T) {
	cache := testserver.NewRedis(t)
	opt, err := goredis.ParseURL(cache.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(opt)
	t.Cleanup(func() { _ = client.Close() })
	dir := t.TempDir()
	execute(t, filepath.Join(dir, "crm.db"), `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`, `INSERT INTO item VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
	d := running(t, load(t, dir, head+fmt.Sprintf(`systems:
  crm: {type: sqlite, url: "sqlite:%s", capture: {manage: true, entities: {item: {table: item}}}}
  cache: {type: redis, url: %q, ttl: 1h}
rules: [{id: mirror, from: crm/item, to: cache/item}]
`, filepath.Join(dir, "crm.db"), cache.URL())))
	eventuallyEqual(t, d, 3)
	if err := client.Del(t.Context(), "item:1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "item:2", `{"id": 2, "name": "x"}`, 0).Err(); err != nil {
		t.Fatal(err)
	}
	v := verified(t, d, ops.VerificationRequest{Repair: "auto"})
	const want = "done equal=1 different=1 repaired=1 policy=1 2:different:name:repaired"
	if got := verdictIn(t, d, &v); got != want || len(v.Parts[0].Notes) != 1 {
		t.Errorf("got %s, notes %q, want %s and a note", got, v.Parts[0].Notes, want)
	}
	if n, err := client.Exists(t.Context(), "item:1").Result(); err != nil || n != 0 {
		t.Errorf("the record that may have expired is there again: %d, %v", n, err)
	}
}
