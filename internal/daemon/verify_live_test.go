package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// writable is a database that a test writes to.
type writable func(ctx context.Context, statement string) error

// TestLiveChangesAreNoDifferences: whatever is written to the source while it is compared, a verification tells of what somebody did to the
// target behind the rule's back, and of nothing else.
func TestLiveChangesAreNoDifferences(t *testing.T) {
	sqlite := func(t *testing.T, path string) writable {
		db := database(t, path)
		return func(ctx context.Context, s string) error {
			_, err := db.ExecContext(ctx, s)
			return err
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		source, target := filepath.Join(dir, "crm.db"), filepath.Join(dir, "dw.db")
		liveChanges(t, `{type: sqlite, url: "sqlite:`+source+`", capture: {manage: true, entities: {item: {table: item}}}}`,
			`{type: sqlite, url: "sqlite:`+target+`"}`, dir, sqlite(t, source), sqlite(t, target))
	})
	t.Run("postgres", func(t *testing.T) {
		pg := testserver.NewPostgres(t, "wal_level=logical")
		at := func(url string) writable {
			pool, err := pgxpool.New(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			return func(ctx context.Context, s string) error {
				_, err := pool.Exec(ctx, s)
				return err
			}
		}
		source, target := pg.Database(t), pg.Database(t)
		liveChanges(t, fmt.Sprintf(`{type: postgres, url: %q, capture: {manage: true, entities: {item: {table: item}}}}`, source),
			fmt.Sprintf(`{type: postgres, url: %q}`, target), t.TempDir(), at(source), at(target))
	})
}

func liveChanges(t *testing.T, source, target, dir string, at, behind writable) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(at(t.Context(), `CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2))`))
	for id := 1; id <= 200; id++ {
		must(at(t.Context(), fmt.Sprintf(`INSERT INTO item VALUES (%d, 'a', %d.50)`, id, id)))
	}
	rules := `
rules:
  - {id: mirror, from: crm/item, to: dw/item, create: true}
  - {id: some, from: crm/item, to: dw/cheap, create: true, when: 'after.price < 80', transform: [{rename: {name: title}}]}
`
	d := running(t, load(t, dir, head+"systems:\n  crm: "+source+"\n  dw: "+target+rules))
	eventuallyEqual(t, d, 279)
	for seed := range 15 {
		h := histories.Example(seed)
		var want []string
		for _, id := range h.planted {
			switch id % 3 {
			case 0:
				must(behind(t.Context(), fmt.Sprintf(`UPDATE item SET price = price + 0.01 WHERE id = %d`, id)))
				want = append(want, fmt.Sprintf("mirror %d different", id))
			case 1:
				must(behind(t.Context(), fmt.Sprintf(`DELETE FROM item WHERE id = %d`, id)))
				want = append(want, fmt.Sprintf("mirror %d missing", id))
			default:
				must(behind(t.Context(), fmt.Sprintf(`INSERT INTO cheap VALUES (%d, 'x', 1)`, id)))
				want = append(want, fmt.Sprintf("some %d extra", id))
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		for w := range h.writers {
			writing.Go(func() {
				for i := w; ctx.Err() == nil; i++ {
					_ = at(ctx, h.changes[i%len(h.changes)]) // a key that is taken is as good as a change
				}
			})
		}
		v := verified(t, d, ops.VerificationRequest{})
		stop()
		writing.Wait()
		var got []string
		list, _, err := d.Engine().Differences(t.Context(), v.ID, "", 1000)
		must(err)
		for _, x := range list {
			got = append(got, fmt.Sprintf("%s %s %s", x.Rule, x.Key, x.Kind))
		}
		slices.Sort(want)
		slices.Sort(got)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || v.Status != "done" || v.Total.Unsettled > 0 {
			t.Fatalf("seed %d: %s with %d unsettled %v: found %q, want %q", seed, v.Status, v.Total.Unsettled, v.Parts[0].Notes, got, want)
		}
		if v := verified(t, d, ops.VerificationRequest{Repair: "auto"}); v.Differences != 0 || v.Total.Repaired != int64(len(want)) {
			t.Fatalf("seed %d: a repair of %d leaves %d and repairs %d", seed, len(want), v.Differences, v.Total.Repaired)
		}
	}
}

// history is what happens while a verification works.
type history struct {
	// planted are the records that differ.
	planted []int
	changes []string
	writers int
}

var histories = rapid.Custom(func(rt *rapid.T) history {
	return history{planted: rapid.SliceOfNDistinct(rapid.IntRange(101, 200), 0, 4, func(n int) int { return n }).Draw(rt, "planted"),
		changes: rapid.SliceOfN(rapid.Custom(liveChange), 30, 120).Draw(rt, "changes"), writers: rapid.IntRange(1, 3).Draw(rt, "writers")}
})

// liveChange is a statement that an application may send: about few records, so that they change again and again, and back.
func liveChange(rt *rapid.T) string {
	id := rapid.IntRange(1, 20).Draw(rt, "id")
	switch rapid.IntRange(0, 5).Draw(rt, "what") {
	case 0:
		return fmt.Sprintf(`DELETE FROM item WHERE id = %d`, id)
	case 1:
		return fmt.Sprintf(`INSERT INTO item VALUES (%d, 'new', %d)`, id, rapid.IntRange(60, 100).Draw(rt, "price"))
	case 2:
		return fmt.Sprintf(`UPDATE item SET id = %d WHERE id = %d`, rapid.IntRange(1, 20).Draw(rt, "to"), id)
	case 3:
		return fmt.Sprintf(`UPDATE item SET price = 159 - price WHERE id = %d`, id)
	}
	return fmt.Sprintf(`UPDATE item SET name = CASE name WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = %d`, id)
}
