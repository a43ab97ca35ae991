package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// hookSecret signs what the webhook is sent; it is a canary, too.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// routes are the ids of the plan's routes, by what they write.
func (w *world) routeIDs() []string {
	ids := []string{"reg-dw", "line-dw", "trail-dw", "reg-cache", "line-bus", "reg-hook", pushRoute, "deal-crm", "deal-till"}
	if w.plan.Shape.Group {
		ids = []string{"both", "trail-dw", "reg-cache", "line-bus", "reg-hook", pushRoute, "deal-crm", "deal-till"}
	}
	if w.plan.Shape.Gold {
		ids = append(ids, "reg-gold")
	}
	for _, s := range w.sides {
		ids = append(ids, s.route())
	}
	return ids
}

// configure writes the configuration, and makes the tokens that requests need.
func (w *world) configure(ctx context.Context) error {
	port, err := testserver.FreePort()
	if err != nil {
		return err
	}
	for _, name := range []string{"api", "push"} {
		if err := w.net.add(name, port); err != nil {
			return err
		}
	}
	w.pushed.server = fmt.Sprintf("http://127.0.0.1:%d", w.net.port("push"))
	rnd := rand.New(rand.NewPCG(w.plan.Seed, 0x5ec7e7))
	password, other := token(rnd), token(rnd)
	w.secrets = append(w.secrets, password, other, strings.TrimPrefix(hookSecret, "whsec_"))
	w.program = &program{binary: w.opts.binary, config: filepath.Join(w.folder, "syncline.yaml"), log: filepath.Join(w.folder, "syncline.log"),
		unasked: func(err error) { w.watch.ended(err) },
		env: []string{
			clockVariable + "=" + w.clock.file.Name(),
			fmt.Sprintf("CRM_URL=postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable", password, w.net.port("src"), database),
			fmt.Sprintf("DW_URL=postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable&idle_in_transaction_session_timeout=3000", other, w.net.port("dst"), database),
			fmt.Sprintf("CACHE_URL=redis://127.0.0.1:%d/0", w.net.port("cache")),
			fmt.Sprintf("BUS_URL=nats://127.0.0.1:%d", w.net.port("bus")),
			fmt.Sprintf("HOOK_URL=http://127.0.0.1:%d", w.net.port("hook")),
			"HOOK_SECRET=" + hookSecret,
		}}
	for _, s := range w.sides {
		w.program.setEnv(strings.ToUpper(s.name)+"_URL", fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable&idle_in_transaction_session_timeout=3000", password, w.net.port(s.server), s.name))
	}
	w.apiPort = port
	if err := os.WriteFile(w.program.config, []byte(w.yaml(port)), 0o600); err != nil {
		return err
	}
	w.server = fmt.Sprintf("http://127.0.0.1:%d", w.net.port("api"))
	return w.makeTokens(ctx)
}

// makeTokens makes the tokens in the state store itself; the program does not run.
func (w *world) makeTokens(ctx context.Context) error {
	w.program.setEnv("SYNCLINE_SERVER", "")
	w.program.setEnv("SYNCLINE_TOKEN", "")
	publisher, err := w.newToken(ctx, "--role", "publisher", "--system", "till", "--name", "till")
	if err != nil {
		return err
	}
	w.pushed.token.Store(&publisher)
	secret, err := w.newToken(ctx, "--role", "admin", "--name", "chaos")
	if err != nil {
		return err
	}
	w.secrets = append(w.secrets, publisher, secret)
	w.program.setEnv("SYNCLINE_SERVER", w.server)
	w.program.setEnv("SYNCLINE_TOKEN", secret)
	client, err := ops.Connect(ops.ClientOptions{Server: w.server, Token: secret})
	if err == nil {
		w.api.Store(client)
	}
	return err
}

// newToken makes one token and returns its secret.
func (w *world) newToken(ctx context.Context, what ...string) (string, error) {
	out, err := w.program.command(ctx, append([]string{"token", "create"}, what...)...)
	if err != nil {
		return "", fmt.Errorf("make a token: %w\n%s", err, out)
	}
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "syn_") {
			return word, nil
		}
	}
	return "", fmt.Errorf("make a token: there is none in %q", out)
}

// yaml is the configuration of the plan's shape.
func (w *world) yaml(port int) string {
	s := w.plan.Shape
	both := fmt.Sprintf("schema: evolve, create: true, retry: {max: 2, delay: 100ms, max_delay: 1s}, batch: {max_rows: %d}", s.Batch)
	group := ""
	if s.Group {
		group = ", group: both"
	}
	urgent := ""
	if s.Urgent {
		urgent = `, priority: 'after.ver % 2 == 0 ? "high" : nil'`
	}
	limit := w.logLimit
	if limit == "" {
		limit = "max_bytes: 4GB, on_full: pause"
	}
	sides, pair := w.sidesYAML()
	text := fmt.Sprintf(`version: 1
log: {dir: %q, %s}
state: {url: %q}
http: {listen: "127.0.0.1:%d"}
systems:
  crm:
    type: postgres
    url: "${CRM_URL}"
    capture:
      manage: true
      heartbeat: 1s
      entities: {reg: {table: reg}, line: {table: line%s}, trail: {table: trail}, deal: {table: deal}}
  till: {type: http, capture: {mode: push, entities: {sale: {key: [k]}, deal: {key: [k]}}}}
  dw: {type: postgres, url: "${DW_URL}"}
  cache: {type: redis, url: "${CACHE_URL}"}
  bus: {type: nats_kv, url: "${BUS_URL}", bucket: chaos}
  hook: {type: webhook, url: "${HOOK_URL}", secret: "${HOOK_SECRET}", allow_private: true, timeout: 3s}
%srules:
%s%s`, filepath.Join(w.home, "log"), limit, "sqlite:"+filepath.Join(w.home, "state.db"), port, urgent, sides, pair, dealYAML(s))
	text += fmt.Sprintf(`  - {id: reg-dw, from: crm/reg, to: dw/reg, %[1]s%[2]s}
  - {id: line-dw, from: crm/line, to: dw/line, %[1]s%[2]s}
  - {id: trail-dw, from: crm/trail, to: dw/trail, %[1]s}
  - {id: reg-cache, from: crm/reg, to: cache/reg, schema: evolve, batch: {max_rows: %[3]d}}
  - {id: line-bus, from: crm/line, to: bus/line}
  - {id: reg-hook, from: crm/reg, to: hook/reg, start: earliest, batch: {max_rows: 20}}
  - {id: sale-dw, from: till/sale, to: dw/sale, batch: {max_rows: %[3]d}}
`, both, group, s.Batch)
	if s.Gold {
		text += fmt.Sprintf("  - {id: reg-gold, from: crm/reg, to: dw/gold, conditions: [{field: tier, operator: equals, value: gold}], %s}\n", both)
	}
	return text
}
