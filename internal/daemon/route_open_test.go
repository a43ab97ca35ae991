package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

// TestATargetThatDoesNotOpen is none, whatever its type, and a verification of its route ends with the error: it does not take the process
// with it.
func TestATargetThatDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	makeDatabase(t, filepath.Join(dir, "crm.db"))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, load(t, dir, head+`
log: {dir: "$DIR/log"}
state: {url: "sqlite:$DIR/state.db"}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  warehouse: {type: postgres, url: "postgres://127.0.0.1:1/dw"}
  lite: {type: sqlite, url: "sqlite:$DIR/file/dw.db"}
  cache: {type: redis, url: "redis://127.0.0.1:1/0"}
  bucket: {type: nats_kv, url: "nats://127.0.0.1:1"}
  index: {type: search, path: "$DIR/file/index"}
  erp: {type: postgres, url: "postgres://127.0.0.1:1/erp", capture: {entities: {customer: {table: customer}}}}
rules:
  - {id: warehouse, from: crm/customer, to: warehouse/customer}
  - {id: lite, from: crm/customer, to: lite/customer}
  - {id: cache, from: crm/customer, to: cache/customer}
  - {id: bucket, from: crm/customer, to: bucket/customer}
  - {id: index, from: crm/customer, to: index/customer}
  - {id: both, between: [crm/customer, erp/customer], conflict: {strategy: manual}}
`))
	defer closeDaemon(t, d)
	for _, r := range d.set().routes {
		target, err := r.open(t.Context())
		if r.target.Name == "crm" && err == nil { // the side that is there
			_ = target.Close()
			continue
		}
		if err == nil || target != nil {
			t.Errorf("route %s: open = %v, %v, want nothing and an error", r.id, target, err)
		}
		if r.pair != nil {
			continue
		}
		if _, err := d.verifies(t.Context(), r, 0); err == nil {
			t.Errorf("route %s: a verification begins", r.id)
		}
	}
}
