package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// program is Syncline on a field: the real binary, or the daemon inside the bench where a profile is wanted.
type program struct {
	label   string
	dir     string
	config  string
	binary  string
	profile string // the profiles' path without its end; "" = the real binary
	port    int
	api     *ops.Client
	conn    *pgx.Conn
	running process       // nil = stopped
	before  time.Duration // CPU that the process had used before the start: the bench's own where the daemon runs inside it
}

// process is a running Syncline.
type process interface {
	// pid is the operating system's process that does the work.
	pid() int
	// ended is closed when the work has ended, by request or not; err says how, after that.
	ended() <-chan struct{}
	err() error
	// end asks for an orderly end, kill for one at once.
	end()
	kill()
}

var _ side = (*program)(nil)

// rule is what Syncline does with the table account.
type rule struct {
	label string // what the side is called
	text  string // the rule, in YAML
	// table makes the target's table; "" = as at the source, or none where the rule creates it.
	table   string
	creates bool
	more    string // other sections of the configuration
}

// mirror is a rule that changes nothing.
var mirror = rule{"syncline", "{id: account, from: source/account, to: target/account}", "", false, ""}

// newProgram is a program with one rule, and makes the target's database, <field>_<label>. Slot and publication at the source have the same name.
func newProgram(ctx context.Context, b *bench, name string, s shape, r rule) (*program, error) {
	database := name + "_" + r.label
	p, err := b.program(database, r.label, setup{
		source:   b.source.URL(name),
		entities: []string{"account: {table: account}"},
		systems:  []string{fmt.Sprintf("target: {type: postgres, url: %q}", b.target.URL(database))},
		rules:    []string{r.text},
		more:     r.more,
	})
	if err != nil {
		return nil, err
	}
	var statements []string
	if !r.creates {
		statements = append(statements, cmp.Or(r.table, s.table))
	}
	p.conn, err = create(ctx, b.target.URL, database, statements...)
	return p, err
}

// setup is a configuration with one source, in YAML.
type setup struct {
	source                   string // URL
	entities, systems, rules []string
	more                     string // other sections
}

// program writes the configuration. The name is also that of the slot and the publication.
func (b *bench) program(name, label string, s setup) (*program, error) {
	port, err := testserver.FreePort()
	if err != nil {
		return nil, err
	}
	p := &program{label: label, dir: filepath.Join(b.dir, name), binary: b.binary, port: port}
	p.config = filepath.Join(p.dir, "syncline.yaml")
	if b.pprof != "" {
		p.profile = filepath.Join(b.pprof, name)
	}
	if p.api, err = ops.NewClient(fmt.Sprintf("http://127.0.0.1:%d", port)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`version: 1
log: {dir: %q}
state: {url: %q}
http: {listen: "127.0.0.1:%d"}
%s
systems:
  source:
    type: postgres
    url: %q
    capture:
      manage: true
      slot: %s
      publication: %[6]s
      entities:
        %[7]s
  %[8]s
rules:
  - %[9]s
`, filepath.Join(p.dir, "log"), "sqlite:"+filepath.Join(p.dir, "state.db"), port, s.more, s.source, name,
		strings.Join(s.entities, "\n        "), strings.Join(s.systems, "\n  "), strings.Join(s.rules, "\n  - "))
	return p, os.WriteFile(p.config, []byte(text), 0o600)
}

func (p *program) name() string { return p.label }

func (p *program) copy() *pgx.Conn { return p.conn }

func (p *program) logFile() string { return filepath.Join(p.dir, "syncline.log") }

func (p *program) start(ctx context.Context) error {
	out, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if p.profile != "" {
		p.running, err = startInside(ctx, p.config, p.profile, out)
	} else {
		p.running, err = startChild(exec.CommandContext(ctx, p.binary, "run", "-c", p.config), out)
	}
	if err != nil {
		p.running = nil
		return err
	}
	u, err := usageOf(p.running.pid())
	p.before = u.cpu
	return err
}

// check returns what stopped the process or its route.
func (p *program) check(ctx context.Context) error {
	select {
	case <-p.running.ended():
		return p.died()
	default:
	}
	routes, err := p.api.Routes(ctx)
	if err != nil {
		return nil //nolint:nilerr // it may be too early, or too busy: the mark decides
	}
	for _, r := range routes {
		if r.State == ops.RouteHalted {
			return fmt.Errorf("syncline: route %s has halted: %+v", r.ID, r.Error)
		}
	}
	return nil
}

func (p *program) died() error {
	log, _ := os.ReadFile(p.logFile())
	return fmt.Errorf("syncline has ended: %w\n%s", p.running.err(), log[max(0, len(log)-4000):])
}

func (p *program) stop(ctx context.Context) error {
	p.running.end()
	select {
	case <-p.running.ended():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.running.err(); err != nil {
		return p.died()
	}
	p.running = nil
	return nil
}

// kill ends it if it runs.
func (p *program) kill() {
	if p.running != nil {
		p.running.kill()
		<-p.running.ended()
		p.running = nil
	}
}

func (p *program) remove(context.Context) error { return os.RemoveAll(p.dir) }

func (p *program) abandon(ctx context.Context) {
	p.kill()
	if p.conn != nil {
		_ = p.conn.Close(ctx)
	}
}

func (p *program) usage() (usage, error) {
	u, err := usageOf(p.running.pid())
	u.cpu -= p.before
	return u, err
}

// ready waits until every source and route works.
func (p *program) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return wait(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		select {
		case <-p.running.ended():
			return false, p.died()
		default:
		}
		r, err := p.api.Ready(ctx)
		return err == nil && r.Ready, nil
	})
}

// child is a process that the bench has started: the real binary, or another tool.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed by the goroutine that waits for the process
	exit error         // valid once done is closed
}

// startChild starts a command in a process group of its own: a Ctrl-C is for the bench, which ends its children itself.
func startChild(cmd *exec.Cmd, out *os.File) (process, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := c.cmd.Start()
	_ = out.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(c.done)
		c.exit = c.cmd.Wait()
	}()
	return c, nil
}

func (c *child) pid() int               { return c.cmd.Process.Pid }
func (c *child) ended() <-chan struct{} { return c.done }
func (c *child) err() error             { return c.exit }
func (c *child) end()                   { _ = c.cmd.Process.Signal(syscall.SIGTERM) }
func (c *child) kill()                  { _ = c.cmd.Process.Kill() }
