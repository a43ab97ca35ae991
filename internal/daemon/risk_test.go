package daemon

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/testserver"
)

// TestWhatASourceHolds: the changes that wait in the application's database are shown by status, without asking it.
func TestWhatASourceHolds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shop := database(t, filepath.Join(dir, "shop.db"))
	exec(t, shop, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
	d := running(t, load(t, dir, head+`
systems:
  shop: {type: sqlite, url: "sqlite:$DIR/shop.db", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
rules:
  - {id: items, from: shop/item, to: report/item, create: true}
`))
	eventually(t, "the source has told", func() bool { return len(d.risks(t.Context())) == 1 })
	st, err := d.Engine().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Systems {
		if (s.Name == "shop") != (s.Risk != nil) {
			t.Errorf("risk of %s = %+v", s.Name, s.Risk)
		}
		if s.Risk != nil && (s.Risk.AtRisk || s.Risk.Slot != "" || s.Risk.At.IsZero()) {
			t.Errorf("risk of a source without a slot = %+v", s.Risk)
		}
	}
	named := make(map[string]alert.Signal)
	for _, s := range d.signals(t.Context()) {
		named[s.Name+s.Labels["system"]] = s
	}
	if _, ok := named["log_bytesshop"]; !ok {
		t.Error("no signal log_bytes of shop")
	}
	if s := named["log_disk_free_ratio"]; s.Value <= 0 || s.Value > 1 {
		t.Errorf("log_disk_free_ratio = %v", s.Value)
	}
}

// TestRisksGoWithTheirSource: what a slot was said to be counts no more once its source is polled instead.
func TestRisksGoWithTheirSource(t *testing.T) {
	t.Parallel()
	h := newHouse(t, config.Log{})
	s := h.set().sources[0]
	s.system = &config.System{Name: "crm", Type: config.TypeSQLite, SQLite: &config.SQLite{Path: filepath.Join(t.TempDir(), "crm.db")}, Capture: &config.Capture{Mode: config.ModePoll}}
	s.asked.Store(&asked{risk: syncline.SourceRisk{Slot: "s", State: syncline.SlotLost}, at: time.Now()})
	if why := h.unheardOf(s, &capture.Status{}, time.Now()); why == "" {
		t.Error("a lost slot is not named")
	}
	h.askRisk(t.Context(), s)
	if why := h.unheardOf(s, &capture.Status{}, time.Now()); why != "" || len(h.risks(t.Context())) > 0 {
		t.Errorf("a source that is polled is said to be lost: %s", why)
	}
}

// TestARefusedLoginIsNotRepeatedBeside: what a source's system keeps is asked with the same login as its capture, which is refused too.
func TestARefusedLoginIsNotRepeatedBeside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := strings.Replace(testserver.NewPostgres(t, "fsync=off").Database(t), "postgres@", "nobody_of_that_name@", 1)
	d := running(t, load(t, dir, head+`
systems:
  crm: {type: postgres, url: "`+url+`", capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
rules:
  - {id: items, from: crm/item, to: report/item, create: true}
`))
	s := d.set().sources[0]
	eventually(t, "the login is refused", func() bool {
		st := s.capture.Status()
		return st.State == capture.StateDegraded && syncline.CodeOf(st.Err) == "login_refused" && s.asked.Load() != nil
	})
	was := s.asked.Load()
	if wait := time.Until(was.until); wait < syncline.Patience/2 {
		t.Errorf("the source's system is asked again in %s, want in a minute", wait)
	}
	if d.askRisk(t.Context(), s); s.asked.Load() != was {
		t.Error("a system that refused the login was asked again at once")
	}
}
