package ops

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/problem"
	"syncline/internal/trial"
)

// ConfigFile is a file of a configuration, as it was written.
type ConfigFile struct {
	Name string `json:"name" minLength:"1" maxLength:"255" doc:"The file's name, for messages."`
	Text string `json:"text" maxLength:"4194304" doc:"What it holds. References are resolved by the server, in its environment and its directory."`
}

// PlanRequest asks what a configuration would change.
type PlanRequest struct {
	Files []ConfigFile `json:"files" minItems:"1" maxItems:"100" doc:"The whole configuration."`
	// Since has the edited rules run over what the logs have of the time until now; "" = they do not.
	Since string `json:"since,omitempty" maxLength:"20" doc:"How far back the edited rules are run over the logs, as in 1h. Without it they are not."`
	// Values has the samples show what the records hold.
	Values bool `json:"values,omitempty" doc:"Samples show the values that differ."`
}

// Covered is what of a log was looked at.
type Covered struct {
	Source string    `json:"source"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Events int64     `json:"events"`
	// Whole: up to its end, from the time that was asked for or its beginning.
	Whole bool `json:"whole" doc:"Whether that is all of the time that was asked for, as far as the log has it."`
}

// Impact is what an edited rule makes of the records that the log has, beside what it made of them before.
type Impact struct {
	Route  string `json:"route"`
	Rule   string `json:"rule"`
	Target string `json:"target"`
	// Keys is how many records were looked at; of those, the others would appear, change or vanish.
	Keys   int64 `json:"keys" doc:"How many records were looked at."`
	Appear int64 `json:"appear"`
	Change int64 `json:"change"`
	Vanish int64 `json:"vanish"`
	// Unknown need a column that the log does not have, Fail cannot be made any more.
	Unknown int64 `json:"unknown" doc:"Records that need a column which the log does not have."`
	Fail    int64 `json:"fail" doc:"Records that the edited rule cannot make."`
	// Unsupported: the rule asks for something outside of the log, or makes several records of one, so that nothing is told of it.
	Unsupported bool           `json:"unsupported,omitempty" doc:"The rule has steps that cannot be previewed."`
	Samples     []ImpactSample `json:"samples" nullable:"false" doc:"The first keys of each kind."`
}

// ImpactSample is one record.
type ImpactSample struct {
	Key string `json:"key" doc:"The key at the source."`
	// What is appears, changes, vanishes, unknown or fails.
	What   string         `json:"what" enum:"appears,changes,vanishes,unknown,fails"`
	Error  string         `json:"error,omitempty" doc:"Why the edited rule cannot make the record."`
	Fields []PlannedField `json:"fields,omitempty" nullable:"false" doc:"Where values were asked for, those that differ."`
}

// Resync is a run that reads records again which an edited rule makes otherwise.
type Resync struct {
	Source string `json:"source"`
	Entity string `json:"entity"`
	Route  string `json:"route"`
	Keys   int    `json:"keys"`
	// Run is the run's id; "" where there is none, for the reason of Error.
	Run   string `json:"run,omitempty"`
	Error string `json:"error,omitempty"`
}

// Plan is what a configuration changes, and what that means for data.
type Plan struct {
	// Version is that of the configuration at work, 0 if there is none.
	Version int64 `json:"version" doc:"The version of the configuration that the plan starts from; give it with the apply."`
	// Hash is of the planned files.
	Hash string `json:"hash" doc:"Of the planned files."`
	// Settings, Systems, Rules and Schedules are what the files say otherwise.
	Settings  []PlannedField  `json:"settings" nullable:"false" doc:"Settings outside of systems, rules and schedules."`
	Systems   []PlannedChange `json:"systems" nullable:"false"`
	Rules     []PlannedChange `json:"rules" nullable:"false"`
	Schedules []PlannedChange `json:"schedules" nullable:"false" doc:"Those that nobody wrote down, too."`
	// Sources and Routes are what that does to those that work. What is not listed is not touched.
	Sources []PlannedEffect `json:"sources" nullable:"false" doc:"What becomes of sources; those that are not listed are not touched."`
	Routes  []PlannedEffect `json:"routes" nullable:"false" doc:"What becomes of routes; those that are not listed are not touched."`
	// Untouched is how many routes go on as they are.
	Untouched int `json:"untouched" doc:"How many routes are not touched."`
	// Restart names the settings that only another process can change.
	Restart []string `json:"restart" nullable:"false" doc:"Settings that take a restart of the process. With any, the configuration cannot be applied."`
	Empty   bool     `json:"empty" doc:"Nothing changes."`
	// Impact and Covered are there where Since was given.
	Impact  []Impact  `json:"impact,omitempty" nullable:"false" doc:"What the edited rules make of the records in the logs."`
	Covered []Covered `json:"covered,omitempty" nullable:"false" doc:"What of the logs was looked at."`
}

// PlannedChange is what happens to a system, a rule or a schedule.
type PlannedChange struct {
	Name   string         `json:"name"`
	Change string         `json:"change" enum:"added,removed,changed,enabled,disabled"`
	Fields []PlannedField `json:"fields,omitempty" nullable:"false" doc:"Those that differ."`
}

// PlannedField is a value that differs. Secrets show that they do, not what they are.
type PlannedField struct {
	Path string `json:"path"`
	Was  string `json:"was"`
	Now  string `json:"now"`
}

// The effects of a configuration on a source or a route.
const (
	// EffectBegins: it has never worked before.
	EffectBegins = "begins"
	// EffectGoesOn: it has worked before, and goes on where it stopped.
	EffectGoesOn = "goes_on"
	// EffectRestarts: it stops after what it has in hand, and goes on there.
	EffectRestarts = "restarts"
	// EffectBeginsAnew: what it has done so far counts for nothing.
	EffectBeginsAnew = "begins_anew"
	// EffectChanges: it is changed without a stop.
	EffectChanges = "changes"
	// EffectStops: it stops after what it has in hand.
	EffectStops = "stops"
)

// PlannedEffect is what becomes of a source or a route.
type PlannedEffect struct {
	Name   string `json:"name"`
	Effect string `json:"effect" enum:"begins,goes_on,restarts,begins_anew,changes,stops"`
	// Mixed: the target holds records of both versions of the rules until a sync or a verification that finds none.
	Mixed bool `json:"mixed,omitempty" doc:"The target holds records of both versions of the rules until a sync or a verification that finds none."`
	// Data says what that means for data.
	Data []string `json:"data" nullable:"false" doc:"What that means for data."`
}

// AppliedConfig is the configuration at work.
type AppliedConfig struct {
	Version int64     `json:"version" doc:"Counts the configurations that were applied."`
	Hash    string    `json:"hash"`
	Applied time.Time `json:"applied"`
	By      string    `json:"by" doc:"Who applied it."`
}

// RunningConfig is the configuration at work, and what it says.
type RunningConfig struct {
	AppliedConfig
	Config map[string]any `json:"config" doc:"With every default filled in. Secrets are redacted."`
}

// Configurations is what the API shows and changes of the configuration.
type Configurations interface {
	// Config returns the configuration at work.
	Config(context.Context) (RunningConfig, error)
	// PlanConfig tells what a configuration would change, and changes nothing. What is wrong with it is an *InvalidConfig.
	PlanConfig(context.Context, PlanRequest) (Plan, error)
	// ApplyConfig puts a configuration in the place of the one at work: the whole of it or nothing. What is wrong with it is an
	// *InvalidConfig, what would not work a *CheckFailed.
	ApplyConfig(context.Context, ApplyRequest) (Applied, error)
	// Rules are in the order of the configuration.
	Rules(context.Context) ([]RuleInfo, error)
	// TryRule tells what a rule makes of an event, and writes nothing.
	TryRule(ctx context.Context, id string, r TryRequest) (trial.View, error)
}

// ApplyRequest puts a configuration in the place of the one at work.
type ApplyRequest struct {
	Files []ConfigFile `json:"files" minItems:"1" maxItems:"100" doc:"The whole configuration."`
	// Version is that of a plan; 0 = whatever is at work.
	Version int64 `json:"version,omitempty" minimum:"0" doc:"The version that must be at work: that of the plan. Without it: whatever is."`
	// Since has the records that the logs have of the time until now, and that the edited rules make otherwise, read again.
	Since string `json:"since,omitempty" maxLength:"20" doc:"How far back records of the logs that the edited rules make otherwise are read again, as in 1h. Without it none is."`
}

// Applied is what was applied, and what that changed.
type Applied struct {
	AppliedConfig
	Plan    Plan     `json:"plan"`
	Resyncs []Resync `json:"resyncs,omitempty" nullable:"false" doc:"What is read again."`
}

// CheckFailed is why a configuration that is valid cannot work.
type CheckFailed struct {
	Faults []problem.Field
}

func (e *CheckFailed) Error() string { return e.detail() + listed(e.Faults) }

func (e *CheckFailed) detail() string {
	return "not everything would work as configured; nothing was changed"
}

// InvalidConfig is why a configuration was refused.
type InvalidConfig struct {
	Faults []problem.Field
}

func (e *InvalidConfig) Error() string { return e.detail() + listed(e.Faults) }

func (e *InvalidConfig) detail() string {
	if len(e.Faults) == 1 {
		return "the configuration has a problem"
	}
	return fmt.Sprintf("the configuration has %d problems", len(e.Faults))
}

// listed is what is wrong, in one line.
func listed(faults []problem.Field) string {
	text := ""
	for _, f := range faults {
		text += "; " + f.Location + ": " + f.Message
	}
	return text
}

func (a *api) registerConfig(h huma.API) {
	add(h, op(h, "config", "GET", "/v1/config", "The configuration at work, without its secrets"), a.config)
	large := op(h, "plan-config", "POST", "/v1/config/plan", "What a configuration would change, and what that means for data")
	large.MaxBodyBytes = maxConfig
	add(h, large, a.planConfig)
	apply := op(h, "apply-config", "POST", "/v1/config/apply", "Put a configuration in the place of the one at work: the whole of it, or nothing")
	apply.MaxBodyBytes = maxConfig
	add(h, apply, a.applyConfig)
}

// maxConfig bounds a request with a configuration.
const maxConfig = 32 << 20

func (a *api) config(ctx context.Context, _ *struct{}) (*reply[RunningConfig], error) {
	c, err := a.configs.Config(ctx)
	return answer(ctx, a, c, err)
}

func (a *api) planConfig(ctx context.Context, in *reply[PlanRequest]) (*reply[Plan], error) {
	p, err := a.configs.PlanConfig(ctx, in.Body)
	return answer(ctx, a, p, err)
}

func (a *api) applyConfig(ctx context.Context, in *reply[ApplyRequest]) (*reply[Applied], error) {
	done, err := a.configs.ApplyConfig(ctx, in.Body)
	return answer(ctx, a, done, err)
}

// Config returns the configuration at work.
func (c *Client) Config(ctx context.Context) (RunningConfig, error) {
	return call[RunningConfig](ctx, c, "GET", "/v1/config", nil)
}

// PlanConfig tells what a configuration would change.
func (c *Client) PlanConfig(ctx context.Context, r PlanRequest) (Plan, error) {
	return call[Plan](ctx, c.patient(), "POST", "/v1/config/plan", r)
}

// applyTimeout leaves room for systems that do not answer a check, for batches in hand, and for a look at the logs.
const applyTimeout = 5 * time.Minute

// patient is the client for what may take long.
func (c *Client) patient() *Client {
	patient, plain := *c, *c.http
	plain.Timeout, patient.http = applyTimeout, &plain
	return &patient
}

// ApplyConfig puts a configuration in the place of the one at work.
func (c *Client) ApplyConfig(ctx context.Context, r ApplyRequest) (Applied, error) {
	return call[Applied](ctx, c.patient(), "POST", "/v1/config/apply", r)
}
