package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/testserver"
)

// TestWALBudget: a target is down, the log is full and waits for it, and the source's server holds more WAL than it may. The slot is released, and
// the server free, while the target is still down; a crash of the program changes nothing about it. Once the target is back, what was given up is
// read again, what was deleted meanwhile goes, and the source is captured as before.
func TestWALBudget(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, "fsync=off")
	url := pg.Database(t)
	s := &store{t: t, src: connect(t, url), redis: testserver.NewRedis(t), slot: "budget"}
	options, err := goredis.ParseURL(s.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	s.cache = goredis.NewClient(options)
	t.Cleanup(func() { _ = s.cache.Close() })
	mustExec(t, s.src, `CREATE TABLE item (id int PRIMARY KEY, ver int NOT NULL, body text)`)
	mustExec(t, s.src, `ALTER TABLE item ALTER body SET STORAGE EXTERNAL`) // else the WAL would be small
	mustExec(t, s.src, `INSERT INTO item SELECT n, 0, 'first' FROM generate_series(1, 10) n`)
	s.program = newProgram(t, fmt.Sprintf(`
log: {max_bytes: %d, on_full: pause}
systems:
  crm:
    type: postgres
    url: %q
    capture: {manage: true, slot: budget, publication: budget, wal_budget: {warn: 4MB, spill: 8MB, limit: 16MB, on_limit: release, release_after: 3s}, entities: {item: {table: item}}}
  dw: {type: sqlite, path: %q}
  cache: {type: redis, url: %q}
rules:
  - {id: item-dw, from: crm/item, to: dw/item, create: true}
  - {id: item-cache, from: crm/item, to: cache/item}
`, smallLog, url, filepath.Join(t.TempDir(), "dw.db"), s.redis.URL()))
	s.program.start()
	s.program.ready()
	cached := func(ctx context.Context) error {
		want, err := items(ctx, s.src)
		if err != nil {
			return err
		}
		for id := range 10 {
			key := fmt.Sprint("item:", id+1)
			text, err := s.cache.Get(ctx, key).Result()
			w, there := want[key]
			if errors.Is(err, goredis.Nil) != !there || there && !containsVersion(text, w.Ver) {
				return fmt.Errorf("%s: cached %.60q, want version %d, there: %t", key, text, w.Ver, there)
			}
		}
		return nil
	}
	eventually(t, "first copy", cached)
	s.redis.Kill()
	s.write(40)
	eventually(t, "the cache holds half of the log", func(context.Context) error { // so that its slot would not be made again if it went now
		if log := s.source().Log; log == nil || log.Bytes <= smallLog/2 {
			return fmt.Errorf("the log is %+v", log)
		}
		return nil
	})
	s.write(60)
	mustExec(t, s.src, `DELETE FROM item WHERE id = 10`)
	slots := func(ctx context.Context) (n int, err error) {
		err = s.src.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'budget'`).Scan(&n)
		return n, err
	}
	eventually(t, "the slot is released", func(ctx context.Context) error {
		n, err := slots(ctx)
		if st := s.source(); err == nil && (n > 0 || st.Gap == nil || st.Gap.Reason != "wal_budget" || st.Gap.By != "policy") {
			err = fmt.Errorf("%d slots, %s, the gap is %+v, risk %+v, warnings %v", n, st.State, st.Gap, st.Risk, st.Warnings)
		}
		return err
	})
	s.program.kill()
	s.program.start()
	s.program.answers()
	if g := s.source().Gap; g == nil || g.Status != "declared" {
		t.Errorf("after a restart the gap is %+v", g)
	}
	eventually(t, "the slot waits for room in the log", func(ctx context.Context) error {
		n, err := slots(ctx)
		if st := s.source(); err == nil && (n > 0 || st.Error == nil || st.Error.Code != "slot_released") {
			err = fmt.Errorf("%d slots, %s, %+v", n, st.State, st.Error)
		}
		return err
	})
	if err := s.redis.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache is as the source", cached)
	eventually(t, "the gap is closed", func(ctx context.Context) error {
		n, err := slots(ctx)
		if st := s.source(); err == nil && (n != 1 || st.Gap != nil || st.State != "running") {
			err = fmt.Errorf("%d slots, %s, the gap is %+v", n, st.State, st.Gap)
		}
		return err
	})
	mustExec(t, s.src, `UPDATE item SET ver = ver + 1, body = 'small'`)
	eventually(t, "changes behind the gap arrive", cached)
}

// containsVersion looks for the version in a cached record.
func containsVersion(text string, ver int) bool {
	return strings.Contains(text, fmt.Sprintf(`"ver":%d,`, ver)) || strings.Contains(text, fmt.Sprintf(`"ver":%d}`, ver))
}
