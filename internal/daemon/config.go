package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/problem"
	"syncline/internal/state"
)

var _ ops.Configurations = engine{}

// ConfigHash is the same for files of the same text.
func ConfigHash(files []config.File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%d\n%s", len(f.Text), f.Text) //nolint:errcheck // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// noteStart takes note of the configuration that the process was started with. What was applied while another one ran is not in its
// file unless somebody has put it there.
func (d *Daemon) noteStart(ctx context.Context) error {
	if d.o.Files == nil {
		return nil
	}
	last, err := d.state.Config(ctx)
	if err != nil {
		return err
	}
	hash := ConfigHash(d.o.Files)
	if last.Version > 0 && last.Hash == hash {
		d.set().applied = appliedOf(last)
		return nil
	}
	if last.Version > 0 && last.By != byStart {
		d.log.Warn("the configuration file is not the one that was applied last, and it is used", "file_hash", hash, "applied_version", last.Version,
			"applied_hash", last.Hash, "applied_by", last.By, "applied_at", last.Applied)
	}
	d.set().applied, err = d.noteApplied(ctx, last.Version+1, d.o.Files, byStart)
	return err
}

// byStart is who applied a configuration that a process was started with.
const byStart = "start"

func (d *Daemon) noteApplied(ctx context.Context, version int64, files []config.File, by string) (ops.AppliedConfig, error) {
	c := state.Config{Version: version, Hash: ConfigHash(files), Applied: time.Now().UTC().Truncate(time.Microsecond), By: by}
	for _, f := range files {
		c.Files = append(c.Files, state.ConfigFile{Name: filepath.Base(f.Name), Text: string(f.Text)})
	}
	return appliedOf(c), d.state.SaveConfig(ctx, c)
}

func appliedOf(c state.Config) ops.AppliedConfig {
	return ops.AppliedConfig{Version: c.Version, Hash: c.Hash, Applied: c.Applied, By: c.By}
}

func (e engine) Config(context.Context) (ops.RunningConfig, error) {
	s := e.set()
	c := ops.RunningConfig{AppliedConfig: s.applied}
	text, err := json.Marshal(s.config)
	if err == nil {
		err = json.Unmarshal(text, &c.Config)
	}
	return c, err
}

func (e engine) PlanConfig(ctx context.Context, r ops.PlanRequest) (ops.Plan, error) {
	files := filesOf(r.Files)
	c, err := e.read(files)
	if err != nil {
		return ops.Plan{}, err
	}
	was := e.set()
	p, err := e.plan(ctx, was, c, files)
	if err != nil || r.Since == "" {
		return p, err
	}
	list, err := e.lookBack(ctx, was, c, r.Since, &p)
	for _, one := range list {
		p.Impact = append(p.Impact, one.tell(r.Values))
	}
	return p, err
}

// lookBack runs the edited rules over what the logs have of the time since.
func (d *Daemon) lookBack(ctx context.Context, was *set, c *config.Config, since string, p *ops.Plan) (list []*impact, err error) {
	back, err := time.ParseDuration(since)
	if err != nil || back <= 0 {
		return nil, syncline.Errorf(syncline.Rejected, "request_invalid", "since is not a duration").WithFix("as in 30m or 24h")
	}
	list, p.Covered, err = d.preview(ctx, was, c, time.Now().Add(-back))
	return list, err
}

func (e engine) ApplyConfig(ctx context.Context, r ops.ApplyRequest) (ops.Applied, error) {
	return e.Apply(ctx, Application{filesOf(r.Files), r.Version, r.Since, ops.CallerName(ctx)})
}

// Application asks for a configuration to be put in the place of the one at work.
type Application struct {
	Files []config.File
	// Version is that which must be at work; 0 = whatever is.
	Version int64
	// Since is how far back records that the edited rules make otherwise are read again; "" = none is.
	Since string
	By    string
}

// Apply puts another configuration in the place of the one at work, while Run runs: the whole of it, or after an error nothing. Everything
// that can be known to be wrong is found before anything is touched.
func (d *Daemon) Apply(ctx context.Context, a Application) (ops.Applied, error) {
	if !d.applying.TryLock() {
		return ops.Applied{}, syncline.Errorf(syncline.Rejected, "config_busy", "another configuration is being applied").
			WithFix("wait for it, then plan again")
	}
	defer d.applying.Unlock()
	was := d.set()
	if a.Version != 0 && a.Version != was.applied.Version {
		return ops.Applied{}, stale(was.applied.Version)
	}
	c, err := d.read(a.Files)
	if err != nil {
		return ops.Applied{}, err
	}
	p, err := d.plan(ctx, was, c, a.Files)
	if err != nil {
		return ops.Applied{}, err
	}
	if p.Empty && p.Hash == was.applied.Hash {
		return ops.Applied{AppliedConfig: was.applied, Plan: p}, nil
	}
	if len(p.Restart) > 0 {
		return ops.Applied{}, syncline.Errorf(syncline.Rejected, "restart_needed", "only a restart changes %s", strings.Join(p.Restart, ", ")).
			WithFix("write the configuration to the server's file and restart it")
	}
	if faults := faultsOf(checkChanges(ctx, c, was)); len(faults) > 0 {
		return ops.Applied{}, &ops.CheckFailed{Faults: faults}
	}
	var concerned []*impact
	if a.Since != "" {
		if concerned, err = d.lookBack(ctx, was, c, a.Since, &p); err != nil {
			return ops.Applied{}, err
		}
	}
	change := &change{config: c, files: a.Files, by: a.By, from: was, answer: make(chan error, 1)}
	select {
	case d.changes <- change:
	case <-d.over:
		return ops.Applied{}, syncline.Errorf(syncline.Transient, "stopping", "the server is stopping").WithFix("apply it when it runs again")
	case <-ctx.Done():
		return ops.Applied{}, ctx.Err()
	}
	if err := <-change.answer; err != nil {
		return ops.Applied{}, err
	}
	return ops.Applied{AppliedConfig: d.set().applied, Plan: p, Resyncs: d.resync(ctx, concerned)}, nil
}

// Reload is Apply for a signal to the process. The audit log has it under the name of the signal.
func (d *Daemon) Reload(ctx context.Context, files []config.File, signal string) error {
	call := state.Call{Who: signal, Operation: "apply-config", Details: map[string]string{"files": strconv.Itoa(len(files))}}
	return ops.NoteCall(ctx, d.state, call, http.StatusOK, func() error {
		_, err := d.Apply(ctx, Application{Files: files, By: signal})
		return err
	})
}

// faultsOf are the findings that would keep something from working.
func faultsOf(found []Finding) []problem.Field {
	var faults []problem.Field
	for _, f := range found {
		if f.Level != "fail" {
			continue
		}
		fault := problem.Field{Location: "system " + f.System, Message: f.Code + ": " + f.What}
		if f.Rule != "" {
			fault.Location = "rule " + f.Rule
		}
		if f.Fix != "" {
			fault.Message += " (" + f.Fix + ")"
		}
		faults = append(faults, fault)
	}
	return faults
}

func filesOf(list []ops.ConfigFile) []config.File {
	var files []config.File
	for _, f := range list {
		files = append(files, config.File{Name: f.Name, Text: []byte(f.Text)})
	}
	return files
}

// read reads a configuration that somebody sends as if it stood in place of the one that the process was started with.
func (d *Daemon) read(files []config.File) (*config.Config, error) {
	c, problems := config.Read(files, cmp.Or(d.o.Dir, "."), nil)
	return c, invalid(problems)
}

// readDraft is read of rules that are only to be tried: they may leave the systems out, which are then those at work.
func (d *Daemon) readDraft(ctx context.Context, files []config.File) (*config.Config, error) {
	at, err := d.state.Config(ctx)
	if err != nil {
		return nil, err
	}
	var base []config.File
	for _, f := range at.Files {
		base = append(base, config.File{Name: f.Name, Text: []byte(f.Text)})
	}
	c, problems := config.ReadDraft(files, base, cmp.Or(d.o.Dir, "."), nil)
	return c, invalid(problems)
}

func invalid(problems config.Problems) error {
	if problems == nil {
		return nil
	}
	invalid := &ops.InvalidConfig{}
	for _, p := range problems {
		f := problem.Field{Location: p.File, Message: string(p.Code) + ": " + p.Message}
		if p.Line > 0 {
			f.Location = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		}
		if p.Suggestion != "" {
			f.Message += " (" + p.Suggestion + ")"
		}
		invalid.Faults = append(invalid.Faults, f)
	}
	return invalid
}

func (d *Daemon) plan(ctx context.Context, was *set, c *config.Config, files []config.File) (ops.Plan, error) {
	if len(was.config.Rules) > 0 && !c.RulesGiven {
		return ops.Plan{}, syncline.Errorf(syncline.Rejected, "rules_missing", "the configuration has no list of rules, and %d are at work: is the file whole?", len(was.config.Rules)).
			WithFix("write `rules: []` if no rule is to be left")
	}
	f, err := d.facts(ctx, was.sources)
	if err != nil {
		return ops.Plan{}, err
	}
	p := plan(was.config, c, f)
	p.Version, p.Hash = was.applied.Version, ConfigHash(files)
	return p, nil
}

// Plan tells what a start with this configuration would change of what was applied last, while no process runs. It makes nothing.
func Plan(ctx context.Context, c *config.Config, files []config.File, dir string) (p ops.Plan, err error) {
	if _, err := os.Stat(c.State.Path); err != nil { // nothing was ever applied
		p := plan(&config.Config{Log: c.Log, State: c.State, HTTP: c.HTTP}, c, facts{})
		p.Hash = ConfigHash(files)
		return p, nil
	}
	d := &Daemon{o: Options{Dir: dir}}
	if d.state, err = state.Open(ctx, state.Options{Path: c.State.Path}); err != nil {
		return p, err
	}
	defer d.state.Close() //nolint:errcheck // it was only read
	last, err := d.state.Config(ctx)
	if err != nil {
		return p, err
	}
	was := &set{config: &config.Config{Log: c.Log, State: c.State, HTTP: c.HTTP}, applied: appliedOf(last)}
	if last.Version > 0 {
		var applied []config.File
		for _, f := range last.Files {
			applied = append(applied, config.File{Name: f.Name, Text: []byte(f.Text)})
		}
		if was.config, err = d.read(applied); err != nil {
			return p, syncline.Errorf(syncline.Rejected, "applied_config_unreadable", "version %d of the configuration, which was applied last, cannot be read here: %w",
				last.Version, err).WithFix("set the variables that it refers to, or plan against the running server")
		}
	}
	p, err = d.plan(ctx, was, c, files)
	p.Restart = []string{} // a start is one
	return p, err
}
