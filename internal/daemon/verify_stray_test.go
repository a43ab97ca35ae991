package daemon

import (
	"fmt"
	"path/filepath"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestStraysAreExtra: what somebody sets in a cache under the keys of a rule's records is found, and a repair removes it where it is a record.
// What is none is told and stays, and so does what belongs to another rule.
func TestStraysAreExtra(t *testing.T) {
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
  cache: {type: redis, url: %q}
rules:
  - {id: all, from: crm/item, to: cache/item}
  - {id: old, from: crm/item, to: "cache/item:old"}
  - {id: computed, from: crm/item, to: cache/named, transform: [{set: {id: '"n" + string(after.id)'}}]}
`, filepath.Join(dir, "crm.db"), cache.URL())))
	eventuallyEqual(t, d, 9)
	for key, value := range map[string]string{"item:900": `{"id": 900, "name": "x"}`, "item:901": "junk", "item:count": "3", "item:old:902": `{"id": 902, "name": "x"}`,
		"named:n903": `{"id": "n903", "name": "x"}`} {
		if err := client.Set(t.Context(), key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		rule, repair, want string
	}{
		{"all", "off", "done equal=3 extra=2 900:extra::found 901:extra::foreign"},
		{"all", "auto", "done equal=3 extra=2 repaired=1 900:extra::repaired 901:extra::foreign"},
		{"all", "off", "done equal=3 extra=1 901:extra::foreign"},
		{"old", "auto", "done equal=3 extra=1 repaired=1 902:extra::repaired"},
		{"computed", "auto", "done equal=3 extra=1 n903:extra::found"},
	} {
		v := verified(t, d, ops.VerificationRequest{Rules: []string{step.rule}, Repair: step.repair})
		if got := verdictIn(t, d, &v); got != step.want {
			t.Errorf("verification of %s, repair %s:\n got %s\nwant %s", step.rule, step.repair, got, step.want)
		}
	}
	if left, err := client.Exists(t.Context(), "item:900", "item:901", "item:count", "item:old:902", "named:n903").Result(); err != nil || left != 3 {
		t.Errorf("%d of the keys are left, %v, want 3", left, err)
	}
}
