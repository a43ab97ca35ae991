package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// peer is another tool on a field, by a script: `SCRIPT prepare` makes it ready, once, and `SCRIPT run` becomes the tool, until SIGTERM.
// What the script is told is in bench/peers/README.md.
type peer struct {
	label   string
	script  string // absolute
	dir     string // where the script runs
	env     []string
	slot    string // of the publication's name too
	src     *pgx.Conn
	conn    *pgx.Conn
	running process // nil = stopped
}

var _ side = (*peer)(nil)

// patienceAtEnd is how long a tool may take for an orderly end, after which it is killed.
const patienceAtEnd = 30 * time.Second

// peerLabel is what a script's name may be without its extension: it becomes part of names of databases and slots.
var peerLabel = regexp.MustCompile(`^[a-z][a-z0-9_]{0,20}$`)

// labelOf is the peer's name, that of its script.
func labelOf(script string) (string, error) {
	base := filepath.Base(script)
	label := strings.TrimSuffix(base, filepath.Ext(base))
	if !peerLabel.MatchString(label) || label == mirror.label || label == "native" || label == "ceiling" {
		return "", fmt.Errorf("-peer %s: want a script with a name of small letters and digits that no other side has", script)
	}
	return label, nil
}

// newPeer makes the copy's database.
func newPeer(ctx context.Context, f *field, s shape, script string) (*peer, error) {
	label, err := labelOf(script)
	if err != nil {
		return nil, err
	}
	database := f.name + "_" + label
	p := &peer{label: label, dir: filepath.Join(f.b.dir, database), slot: database, src: f.src}
	if p.script, err = filepath.Abs(script); err != nil {
		return nil, err
	}
	p.env = append(os.Environ(),
		"SOURCE_URL="+f.b.source.URL(f.name), fmt.Sprintf("SOURCE_PORT=%d", f.b.source.Port), "SOURCE_DATABASE="+f.name,
		"TARGET_URL="+f.b.target.URL(database), fmt.Sprintf("TARGET_PORT=%d", f.b.target.Port), "TARGET_DATABASE="+database,
		"SLOT="+p.slot, "PUBLICATION="+p.slot,
		"PATH="+filepath.Dir(f.b.source.Program("psql"))+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	p.conn, err = create(ctx, f.b.target.URL, database, s.table)
	return p, err
}

// prepare copies what the source has, which does not change meanwhile, makes a slot and a publication for what comes after it, and
// lets the script do what it needs besides.
func (p *peer) prepare(ctx context.Context) error {
	var rows bytes.Buffer
	if _, err := p.src.PgConn().CopyTo(ctx, &rows, "COPY account TO STDOUT"); err != nil {
		return err
	}
	if _, err := p.conn.PgConn().CopyFrom(ctx, &rows, "COPY account FROM STDIN"); err != nil {
		return err
	}
	err := execAll(ctx, p.src, "CREATE PUBLICATION "+p.slot+" FOR TABLE account", "SELECT pg_create_logical_replication_slot('"+p.slot+"', 'pgoutput')")
	if err != nil {
		return err
	}
	cmd := p.command(ctx, "prepare")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s prepare: %w\n%s", p.script, err, out)
	}
	return nil
}

func (p *peer) command(ctx context.Context, what string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.script, what)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

func (p *peer) name() string { return p.label }

func (p *peer) copy() *pgx.Conn { return p.conn }

func (p *peer) logFile() string { return filepath.Join(p.dir, "peer.log") }

func (p *peer) start(ctx context.Context) error {
	out, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	running, err := startChild(p.command(ctx, "run"), out)
	if err != nil {
		return err
	}
	p.running = running
	return nil
}

func (p *peer) check(context.Context) error {
	select {
	case <-p.running.ended():
		log, _ := os.ReadFile(p.logFile())
		return fmt.Errorf("%s has ended: %v\n%s", p.label, p.running.err(), log[max(0, len(log)-4000):]) //nolint:errorlint // nil where it ended well
	default:
		return nil
	}
}

// stop does not ask how the tool ended: a JVM tells SIGTERM by a status of its own. It waits until the source knows of it.
func (p *peer) stop(ctx context.Context) error {
	p.running.end()
	select {
	case <-p.running.ended():
	case <-time.After(patienceAtEnd):
	case <-ctx.Done():
	}
	p.kill()
	return wait(ctx, 10*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		err = p.src.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database() AND active)").Scan(&done)
		return done, err
	})
}

// kill ends the tool and what it started, if any of it is left.
func (p *peer) kill() {
	if p.running != nil {
		_ = syscall.Kill(-p.running.pid(), syscall.SIGKILL)
		<-p.running.ended()
		p.running = nil
	}
}

func (p *peer) usage() (usage, error) { return usageOf(p.running.pid()) }

// same returns an error if the copy is not the source's table: a tool that leaves something out would be a fast one.
func (p *peer) same(ctx context.Context) error {
	var source, target string
	for c, sum := range map[*pgx.Conn]*string{p.src: &source, p.conn: &target} {
		if err := c.QueryRow(ctx, "SELECT count(*) || ' rows ' || md5(string_agg(a::text, ' ' ORDER BY id)) FROM account a").Scan(sum); err != nil {
			return err
		}
	}
	if source != target {
		return fmt.Errorf("%s has %s at the end, the source %s", p.label, target, source)
	}
	return nil
}

func (p *peer) remove(context.Context) error { return os.RemoveAll(p.dir) }

func (p *peer) abandon(ctx context.Context) {
	p.kill()
	if p.conn != nil {
		_ = p.conn.Close(ctx)
	}
}
