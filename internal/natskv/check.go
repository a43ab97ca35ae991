package natskv

import (
	"context"

	"syncline"
)

// Check looks at how the bucket is set up.
func (t *Target) Check(ctx context.Context) []syncline.Finding {
	config, err := t.find(ctx)
	if err != nil {
		return []syncline.Finding{syncline.Failure(classify(err, "ask for bucket "+t.bucket), "check that the server runs and that the bucket exists")}
	}
	findings := []syncline.Finding{{Level: "ok", What: "bucket " + t.bucket + " answers"}}
	if config.MaxAge > 0 {
		findings = append(findings, syncline.Finding{Level: "fail", Code: "natskv_max_age",
			What: "bucket " + t.bucket + " forgets keys after " + config.MaxAge.String() + ": records and the cursor would vanish",
			Fix:  "run `nats stream edit " + t.stream() + " --max-age=0`"})
	}
	if !config.AllowMsgTTL {
		findings = append(findings, syncline.Finding{Level: "warn", Code: "natskv_markers_stay",
			What: "bucket " + t.bucket + " allows no time to live per message: the markers of deleted records stay for ever",
			Fix:  "run `nats stream edit " + t.stream() + " --allow-msg-ttl`"})
	}
	return findings
}
