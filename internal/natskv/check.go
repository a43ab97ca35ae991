package natskv

import (
	"context"

	"syncline"
)

// Check connects and looks at how the bucket is set up. It makes none: one that is missing and that o.Create asks for is well.
func Check(ctx context.Context, o Options) []syncline.Finding {
	create := o.Create
	o.Create = false
	t, err := Open(ctx, o)
	switch {
	case create && syncline.CodeOf(err) == "object_missing":
		return []syncline.Finding{{Level: "ok", What: "bucket " + o.Bucket + " will be made"}}
	case err != nil:
		return []syncline.Finding{syncline.Failure(err, "check the URL, the network and the login")}
	}
	defer t.Close() //nolint:errcheck // nothing was written
	return t.Check(ctx)
}

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
