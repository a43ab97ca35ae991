package ops

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/access"
)

// anyone is the least role of what needs no token.
const anyone access.Role = "anyone"

// least says who may call each operation, by its id. An operation that is missing here keeps New from building a server: what nobody has
// thought about is not served.
var least = map[string]access.Role{
	"healthz": anyone,
	"readyz":  anyone, // its reasons are for viewers

	"publish-events": access.Publisher,

	"alert-channels":   access.Viewer,
	"alert-history":    access.Viewer,
	"alert-rules":      access.Viewer,
	"alert-silences":   access.Viewer,
	"alerts":           access.Viewer,
	"config":           access.Viewer,
	"conflict":         access.Viewer,
	"conflicts":        access.Viewer,
	"explain":          access.Viewer,
	"health":           access.Viewer,
	"health-checks":    access.Viewer,
	"lag":              access.Viewer,
	"metrics":          access.Viewer,
	"openapi":          access.Viewer,
	"pauses":           access.Viewer,
	"route":            access.Viewer,
	"routes":           access.Viewer,
	"rules":            access.Viewer,
	"stats":            access.Viewer,
	"status":           access.Viewer,
	"syncs":            access.Viewer,
	"systems":          access.Viewer,
	"task":             access.Viewer,
	"task-events":      access.Viewer,
	"tasks":            access.Viewer,
	"schedule-history": access.Viewer,
	"schedules":        access.Viewer,

	"sync":           access.Viewer,
	"sync-events":    access.Viewer,
	"cancel-sync":    access.Operator,
	"delete-missing": access.Operator,
	"pause-sync":     access.Operator,
	"resume-sync":    access.Operator,

	"verification":             access.Viewer,
	"verification-differences": access.Viewer,
	"verifications":            access.Viewer,

	"accept-gap":          access.Operator,
	"audit":               access.Operator,
	"cancel-task":         access.Operator,
	"cancel-tasks":        access.Operator,
	"cancel-verification": access.Operator,
	"end-silence":         access.Operator,
	"pause":               access.Operator,
	"resolve-conflict":    access.Operator,
	"resolve-conflicts":   access.Operator,
	"resume-route":        access.Operator,
	"resume-system":       access.Operator,
	"retry-task":          access.Operator,
	"retry-tasks":         access.Operator,
	"silence-alerts":      access.Operator,
	"start-replay":        access.Operator,
	"start-sync":          access.Operator,
	"start-verification":  access.Operator,
	"test-channel":        access.Operator,
	"try-rule":            access.Operator, // with it, what a rule hashes can be guessed
	"unpause":             access.Operator,
	"pause-schedule":      access.Operator,
	"resume-schedule":     access.Operator,
	"run-schedule":        access.Operator,

	"apply-config":  access.Admin,
	"create-token":  access.Admin,
	"explain-draft": access.Admin, // as for plan-config
	"plan-config":   access.Admin, // it shows what references to the server's files and environment stand for
	"revoke-token":  access.Admin,
	"tokens":        access.Admin,
}

// operation is what the guard knows of a route.
type operation struct {
	id    string
	least access.Role
	// path is the template with its parameters in braces.
	path string
	// mutating: it is no GET.
	mutating bool
}

// probe reports whether the operation is asked by what watches the process, which must be answered whoever is busy.
func (o *operation) probe() bool { return o.least == anyone }

// bounded reports whether the operation counts for http.concurrency. Streams are open for long and have a bound of their own.
func (o *operation) bounded() bool {
	return !o.probe() && o.id != "task-events" && o.id != "sync-events"
}

// counted reports whether the operation counts for http.rate. Events do not: what bounds them is how many bytes of them are under way.
func (o *operation) counted() bool { return !o.probe() && o.least != access.Publisher }

// operations returns what the document describes, by the patterns of the mux.
func operations(doc *huma.OpenAPI) (map[string]*operation, error) {
	all := make(map[string]*operation)
	for path, item := range doc.Paths {
		for method, described := range map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
			http.MethodPatch: item.Patch, http.MethodDelete: item.Delete} {
			if described == nil {
				continue
			}
			role, ok := least[described.OperationID]
			if !ok {
				return nil, fmt.Errorf("operation %s has no least role", described.OperationID)
			}
			op := &operation{described.OperationID, role, path, method != http.MethodGet}
			op.describe(described)
			all[method+" "+path] = op
		}
	}
	return all, nil
}

// may reports whether the role is enough.
func (o *operation) may(role access.Role) bool { return o.least == anyone || role.May(o.least) }

// describe names the least role in the document.
func (o *operation) describe(to *huma.Operation) {
	if o.least == anyone {
		to.Security = []map[string][]string{}
		return
	}
	to.Security = []map[string][]string{{bearer: {}}}
	to.Description = strings.TrimSpace(to.Description + " Least role: " + string(o.least) + ".")
	if o.recorded() {
		longest := maxReason
		to.Parameters = append(to.Parameters, &huma.Param{Name: "reason", In: "query", Description: "Why; the audit log keeps it.",
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &longest}})
	}
}
