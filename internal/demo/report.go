package demo

import (
	"fmt"
	"path/filepath"
	"strings"

	"syncline/internal/daemon"
	"syncline/internal/ops"
	"syncline/internal/verify"
)

// notInstalled is for those who began with a checkout.
const notInstalled = "in a checkout: go run ./cmd/syncline …"

// welcome tells what this is and where things are.
func (r *runner) welcome() {
	api := "http://" + r.daemon.Addr()
	dir, err := filepath.Abs(r.o.Dir)
	if err != nil {
		dir = r.o.Dir
	}
	if r.o.Headless {
		r.screen.line("syncline demo in %s, API at %s", dir, api)
		return
	}
	server := ""
	if !strings.HasSuffix(api, ":"+usualAPI) {
		server = " --server " + api
	}
	r.screen.line("%s", r.screen.colored(strong, "Syncline demo: from lead to cash"))
	r.screen.line(`
A CRM, a shop, a stock system and the books (four SQLite files) are written to
by a business that is made up. Their changes go through a durable log to a
warehouse, a report, a cache, a search index and a partner's webhook: in order,
without loss. The books tell of nothing: they are polled. Every minute all
targets are verified.

  directory   %s   (all there is: remove it and it is gone)
  rules       %s   (change them and start again)
  API         %s   (/v1/status, /v1/routes, /metrics, /openapi.json)
  log         %s

Look at it from another terminal (`+notInstalled+`):
  syncline status%s
  sqlite3 %s "SELECT lead_name, score_band FROM dim_lead ORDER BY lead_id DESC LIMIT 5"
`, dir, configFile, api, logFile, server, filepath.Join(dir, "warehouse.db"))
}

// line is what became of one route.
type line struct {
	route, from, to string
	rules           []daemon.Comparison
	sum             verify.Result
}

// lines gathers the comparisons of each route, in their order.
func (r *runner) lines(list []daemon.Comparison) []*line {
	from := make(map[string]string)
	for _, route := range r.base.routes {
		from[route.ID] = route.Source
	}
	var lines []*line
	byRoute := make(map[string]*line)
	for _, c := range list {
		l := byRoute[c.Route]
		if l == nil {
			to, _, _ := strings.Cut(c.Target, "/")
			l = &line{route: c.Route, from: from[c.Route], to: to}
			byRoute[c.Route], lines = l, append(lines, l)
		}
		l.rules = append(l.rules, c)
		l.sum.Source += c.Result.Source
		l.sum.Target += c.Result.Target
		l.sum.Missing += c.Result.Missing
		l.sum.Extra += c.Result.Extra
		l.sum.Different += c.Result.Different
	}
	return lines
}

// report prints a line for each route, what differs, and the sum of it.
func (r *runner) report(res Result) {
	var records int64
	targets := make(map[string]bool)
	for _, l := range r.lines(res.Comparisons) {
		mark, look := "equal", plain
		if !l.sum.Equal() {
			mark, look = "DIFFERS", alarm
		}
		r.screen.line("%s", r.screen.colored(look, fmt.Sprintf("%-8s %-18s %-18s %s", mark, l.route, l.from+" > "+l.to, l.sum)))
		for _, c := range l.rules {
			r.samples(c)
		}
		records += l.sum.Source
		targets[l.to] = true
	}
	r.screen.line("")
	if v := r.verified; v.ID != "" {
		r.screen.line("Verified while it was at work: %d records of the sources, %d differences.", v.Total.Source, v.Differences)
	}
	arrival := ""
	if r.first > 0 {
		arrival = ", the first of them at a target after " + ops.Seconds(r.first.Seconds())
	}
	r.screen.line("%d changes made in this run%s.", r.workload.made.Load(), arrival)
	if res.Equal() {
		r.screen.line("%s", r.screen.colored(strong, fmt.Sprintf("All %d records in %d targets are what the rules make of the sources.", records, len(targets))))
	} else {
		r.screen.line("%s", r.screen.colored(alarm, "The targets are not what the rules make of the sources."))
		r.screen.line("The tasks that wait: `syncline tasks` while the demo runs. What happened: %s", filepath.Join(r.o.Dir, logFile))
	}
	if !r.o.Headless {
		r.screen.line(`
Next, with systems of your own (` + notInstalled + `):
  syncline init        writes a syncline.yaml with comments
                       change ` + "`sqlite` to `postgres`" + ` in it, and path to url
  syncline validate    finds everything that is wrong with it
  syncline run         does the work
Started again in the same directory, the demo goes on where it stopped.`)
	}
}

// maxShown bounds the differing records that are named for each rule.
const maxShown = 5

func (r *runner) samples(c daemon.Comparison) {
	for i, s := range c.Result.Samples {
		if i == maxShown {
			r.screen.line("           …")
			break
		}
		fields := ""
		if len(s.Fields) > 0 {
			fields = " in " + strings.Join(s.Fields, ", ")
		}
		r.screen.line("         %s %s: %s%s", c.Target, s.Key, s.Kind, fields)
	}
}
