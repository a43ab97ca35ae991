package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/state"
	"syncline/internal/verify"
)

// VerificationRequest asks for targets to be compared with what rules make of their sources.
type VerificationRequest struct {
	Rules []string `json:"rules,omitempty" maxItems:"1000" doc:"The rules to compare. Without any: all that are enabled."`
	// Sample is how many records of each rule are compared; 0 = all.
	Sample int      `json:"sample,omitempty" minimum:"0" maximum:"1000000" doc:"Compare that many records of each rule, chosen at random. Without it: all of both sides."`
	Keys   []string `json:"keys,omitempty" maxItems:"10000" doc:"Compare only these records, by their keys at the source."`
	Rate   int      `json:"rate,omitempty" minimum:"0" doc:"How many records a second are compared at most. Without it: as many as go."`
	// Repair is what is done about differences.
	Repair    string `json:"repair,omitempty" enum:"off,plan,auto" doc:"auto has the records that differ sent again and compares them once more; plan only tells what that would do."`
	MaxRepair string `json:"max_repair,omitempty" maxLength:"20" doc:"Nothing is repaired where more records of a rule differ: a share of those compared (1%) or a number. Without it: what the rule says, else 1%, or 100 records where that is more."`
}

// Verification is a comparison, and how far it has got.
type Verification struct {
	ID      string        `json:"id"`
	Status  string        `json:"status" enum:"running,done,failed,cancelled"`
	Mode    string        `json:"mode" enum:"full,sample,keys,continuous"`
	Repair  string        `json:"repair" enum:"off,plan,auto"`
	Created time.Time     `json:"created"`
	Updated time.Time     `json:"updated"`
	Parts   []verify.Part `json:"parts" nullable:"false" doc:"One for each rule and entity."`
	Total   verify.Tally  `json:"total" doc:"The sum of the parts."`
	// Differences are what is left of them.
	Differences int64 `json:"differences" doc:"How many records differ, without those that were repaired."`
}

// Difference is a record that differs. Values are left to explain.
type Difference struct {
	Rule   string   `json:"rule"`
	Key    string   `json:"key" doc:"The key at the target."`
	Source string   `json:"source" doc:"The key at the source, where one is known."`
	Kind   string   `json:"kind" enum:"missing,extra,different"`
	Fields []string `json:"fields,omitempty" nullable:"false"`
	State  string   `json:"state" enum:"found,repaired,foreign" doc:"foreign: it is no record of the rule, and no repair removes it."`
}

// VerificationOf shows a verification.
func VerificationOf(v *state.Verification, spec *verify.Spec, parts []verify.Part) Verification {
	out := Verification{ID: v.ID, Status: v.Status, Mode: string(spec.Mode), Repair: string(spec.Repair), Created: v.Created, Updated: v.Updated, Parts: some(parts)}
	for i := range out.Parts {
		p := &out.Parts[i]
		p.After, p.Version, p.Listed = "", "", nil
		out.Total.Add(&p.Tally)
	}
	out.Differences = out.Total.Differences()
	return out
}

func (a *api) registerVerifications(h huma.API) {
	add(h, op(h, "verifications", "GET", "/v1/verifications", "The latest verifications"), a.verifications)
	add(h, op(h, "verification", "GET", "/v1/verifications/{id}", "One verification with its progress"), a.verification)
	add(h, op(h, "verification-differences", "GET", "/v1/verifications/{id}/differences", "The records that a verification found to differ, by key and field"), a.differences)
	add(h, op(h, "start-verification", "POST", "/v1/verifications", "Compare targets with what rules make of their sources"), a.startVerification)
	add(h, op(h, "cancel-verification", "POST", "/v1/verifications/{id}/cancel", "End a verification; what it found is kept"), a.cancelVerification)
}

func (a *api) verifications(ctx context.Context, in *page) (*reply[List[Verification]], error) {
	list, next, err := a.engine.Verifications(ctx, in.After, in.Limit)
	return answer(ctx, a, List[Verification]{Items: some(list), Next: next}, err)
}

func (a *api) verification(ctx context.Context, in *taskID) (*reply[Verification], error) {
	v, err := a.engine.Verification(ctx, in.ID)
	return answer(ctx, a, v, err)
}

func (a *api) differences(ctx context.Context, in *struct {
	ID    string `path:"id"`
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*reply[List[Difference]], error) {
	list, next, err := a.engine.Differences(ctx, in.ID, in.After, in.Limit)
	return answer(ctx, a, List[Difference]{Items: some(list), Next: next}, err)
}

func (a *api) startVerification(ctx context.Context, in *reply[VerificationRequest]) (*reply[Verification], error) {
	v, err := a.engine.StartVerification(ctx, in.Body)
	return answer(ctx, a, v, err)
}

func (a *api) cancelVerification(ctx context.Context, in *taskID) (*struct{}, error) {
	return a.done(ctx, a.engine.CancelVerification(ctx, in.ID))
}

// StartVerification has targets compared, and returns the verification as it begins.
func (c *Client) StartVerification(ctx context.Context, r VerificationRequest) (Verification, error) {
	return call[Verification](ctx, c, http.MethodPost, "/v1/verifications", r)
}

// Verification returns one with its progress.
func (c *Client) Verification(ctx context.Context, id string) (Verification, error) {
	return call[Verification](ctx, c, http.MethodGet, "/v1/verifications/"+url.PathEscape(id), nil)
}

// Verifications returns up to limit verifications, the newest first; 0 = all.
func (c *Client) Verifications(ctx context.Context, limit int) ([]Verification, error) {
	return all[Verification](ctx, c, "/v1/verifications", nil, limit)
}

// Differences returns up to limit records that a verification found to differ; 0 = all.
func (c *Client) Differences(ctx context.Context, id string, limit int) ([]Difference, error) {
	return all[Difference](ctx, c, "/v1/verifications/"+url.PathEscape(id)+"/differences", nil, limit)
}

// CancelVerification ends one.
func (c *Client) CancelVerification(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/verifications/"+url.PathEscape(id)+"/cancel", nil)
	return err
}
