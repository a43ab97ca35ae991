package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"syncline/internal/testserver"
)

// outlet is one of the targets that a source fans out to.
type outlet struct{ name, system, rule string }

// fanout measures one source that feeds five kinds of targets, against each of them alone.
func (b *bench) fanout(ctx context.Context) (section, error) {
	rows := max(b.rows/50*10, 100)
	s := section{
		title: fmt.Sprintf("One source, five targets: %s updates", count(rows)),
		how: "Updates as in the first section. For each target, the rate from the start of the process until nothing of the log is left to apply, alone and with all five in one process. " +
			"The source is read once: one slot, one walsender. The CPU is Syncline's; in the last line, of all five in one process against the sum of each alone.",
		head: []string{"", "rows/s alone", "CPU alone", "rows/s of five"},
	}
	receiver, err := newReceiver()
	if err != nil {
		return s, err
	}
	defer receiver.close()
	redis, err := testserver.StartRedis()
	if err != nil {
		return s, err
	}
	defer redis.Close()
	f := &field{b: b, name: "fanout"}
	defer f.abandon()
	records := max(rows/5, 10)
	if f.src, err = create(ctx, b.source.URL, f.name, account.table, account.insert(0, records)); err != nil {
		return s, err
	}
	outlets := []outlet{
		{"postgres", "type: postgres, url: %q", "to: postgres/account"},
		{"sqlite", "type: sqlite, path: %q", "to: sqlite/account, create: true"},
		{"redis", fmt.Sprintf("type: redis, url: \"redis://127.0.0.1:%d/%%s\", key: \"{key}\"", redis.Port), "to: redis/account"},
		{"nats", "type: nats_kv, bucket: %q", "to: nats/account"},
		{"webhook", fmt.Sprintf("type: webhook, url: \"%s/%%s\", allow_private: true", receiver.url), "to: webhook"},
	}
	write := updateBacklog(rows, "score = score + 1, amount = amount + 0.01, at = clock_timestamp()", spread(records))
	var sum time.Duration
	for _, o := range outlets {
		r, err := f.fan(ctx, "fan_"+o.name, []outlet{o}, write)
		if err != nil {
			return s, fmt.Errorf("%s: %w", o.name, err)
		}
		sum += r.cpu
		b.say("  %-8s alone %s rows/s, CPU %s", o.name, count(int(rate(rows, r.took[o.name]))), seconds(r.cpu))
		s.rows = append(s.rows, []string{o.name, count(int(rate(rows, r.took[o.name]))), seconds(r.cpu)})
	}
	r, err := f.fan(ctx, "fan_all", outlets, write)
	if err != nil {
		return s, err
	}
	for i, o := range outlets {
		s.rows[i] = append(s.rows[i], count(int(rate(rows, r.took[o.name]))))
	}
	b.say("  five CPU %s, against %s", seconds(r.cpu), seconds(sum))
	s.rows = append(s.rows, []string{"**CPU of five ÷ sum**", "", seconds(sum), fmt.Sprintf("%s (**%.2f**)", seconds(r.cpu), r.cpu.Seconds()/sum.Seconds())})
	s.goals = []goal{
		{"source of five targets is read once", "1 walsender", fmt.Sprintf("%d", r.senders), r.senders == 1},
		atMost("CPU of five targets ÷ sum of each alone", 1, r.cpu.Seconds()/sum.Seconds(), func(v float64) string { return fmt.Sprintf("%.2f", v) }),
	}
	return s, nil
}

// fanned is how long each target took, what all took together, and how many processes of the server read its WAL for that.
type fanned struct {
	took    map[string]time.Duration
	cpu     time.Duration
	senders int
}

// fan has a process with these targets work off a backlog.
func (f *field) fan(ctx context.Context, name string, outlets []outlet, write string) (r fanned, err error) {
	s := setup{source: f.b.source.URL(f.name), entities: []string{"account: {table: account}"}}
	for _, o := range outlets {
		place := name + "_" + o.name
		switch o.name {
		case "postgres":
			c, err := create(ctx, f.b.target.URL, place, account.table)
			if err != nil {
				return r, err
			}
			if err := c.Close(ctx); err != nil {
				return r, err
			}
			place = f.b.target.URL(place)
		case "sqlite":
			place = filepath.Join(f.b.dir, place+".db")
		case "redis":
			place = strconv.Itoa(len(outlets) - 1) // a database of its own: the cursor in it is of one process
		}
		s.systems = append(s.systems, o.name+": {"+fmt.Sprintf(o.system, place)+"}")
		s.rules = append(s.rules, "{id: "+o.name+", from: source/account, "+o.rule+"}")
	}
	p, err := f.b.program(name, "syncline", s)
	if err != nil {
		return r, err
	}
	defer p.kill()
	if err := p.start(ctx); err != nil {
		return r, err
	}
	if err := p.ready(ctx); err != nil {
		return r, err
	}
	if err := f.setMark(ctx); err != nil {
		return r, err
	}
	if _, err := f.drained(ctx, p, outlets); err != nil {
		return r, err
	}
	if err := p.stop(ctx); err != nil {
		return r, err
	}
	if err := execAll(ctx, f.src, "SET synchronous_commit = off", write, "SET synchronous_commit = on", "VACUUM ANALYZE account", "CHECKPOINT"); err != nil {
		return r, err
	}
	if err := f.setMark(ctx); err != nil {
		return r, err
	}
	if err := p.start(ctx); err != nil {
		return r, err
	}
	if r.took, err = f.drained(ctx, p, outlets); err != nil {
		return r, err
	}
	u, err := p.usage()
	if err != nil {
		return r, err
	}
	r.cpu = u.cpu
	if err := f.src.QueryRow(ctx, "SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()").Scan(&r.senders); err != nil {
		return r, err
	}
	if err := p.stop(ctx); err != nil {
		return r, err
	}
	return r, f.dropSlots(ctx)
}

// drained waits until everything was captured and each target has it, and returns how long that took for each.
func (f *field) drained(ctx context.Context, p *program, outlets []outlet) (map[string]time.Duration, error) {
	began := time.Now()
	took := map[string]time.Duration{}
	return took, f.await(ctx, p, func(ctx context.Context) (bool, error) {
		// Before everything was captured, a target may have all of the log and not all of what is to come.
		if done, err := f.captured(ctx); !done || err != nil {
			return false, err
		}
		routes, err := p.api.Routes(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // it may be too busy
		}
		for _, r := range routes {
			if _, ok := took[r.ID]; !ok && r.LogEnd > 0 && r.LagEvents == 0 {
				took[r.ID] = time.Since(began)
			}
		}
		return len(took) == len(outlets), nil
	})
}

// receiver takes webhooks and forgets them.
type receiver struct {
	url    string
	server *http.Server
}

func newReceiver() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + l.Addr().String()}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go r.server.Serve(l) //nolint:errcheck // it ends when it is closed
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	w.WriteHeader(http.StatusNoContent)
}
