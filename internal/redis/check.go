package redis

import (
	"context"
	"strings"

	"syncline"
)

// Check looks at how the server is set up.
func (t *Target) Check(ctx context.Context) []syncline.Finding {
	info, err := t.client.Info(ctx).Result()
	if err != nil {
		return []syncline.Finding{syncline.Failure(classify(err, "ask the Redis server about itself"), "check that the server runs and that the URL is right")}
	}
	findings := []syncline.Finding{{Level: "ok", What: "Redis " + field(info, "redis_version") + " answers"}}
	add := func(level, code, what, fix string) {
		findings = append(findings, syncline.Finding{Level: level, Code: code, What: what, Fix: fix})
	}
	if field(info, "role") == "slave" {
		add("fail", "redis_readonly", "the server is a read-only replica", "connect to the primary")
	}
	if p := field(info, "maxmemory_policy"); strings.HasPrefix(p, "allkeys-") {
		add("warn", "redis_eviction", "maxmemory-policy "+p+" may evict records, their versions and the cursor", "set maxmemory-policy to noeviction or to one of volatile-*")
	}
	if field(info, "aof_enabled") == "0" {
		add("warn", "redis_persistence", "the server keeps no append-only file: a crash loses the cursor or sets it back by minutes", "set appendonly yes")
	}
	return findings
}
