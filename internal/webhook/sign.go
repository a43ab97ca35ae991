package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"syncline"
)

// Headers of Standard Webhooks 1.0 (standardwebhooks.com, "Signature scheme").
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	secretPrefix      = "whsec_"
	signatureVersion  = "v1,"
	minSecret         = 24 // bytes, by the specification
	maxSecret         = 64
	verifyTolerance   = 5 * time.Minute
	secretFix         = "make one with: echo whsec_$(openssl rand -base64 32)"
	maxSignatureCount = 16
)

// parseSecret returns the key of a secret, base64 with or without its prefix. Errors do not show it.
func parseSecret(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "secret_invalid", "the secret is not whsec_ and base64").WithFix(secretFix)
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return nil, syncline.Errorf(syncline.Fatal, "secret_invalid", "the secret has %d bytes, not %d to %d", len(key), minSecret, maxSecret).WithFix(secretFix)
	}
	return key, nil
}

// signature is what the header says for one key: the version and the HMAC of "id.timestamp.body".
func signature(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + ".")) //nolint:errcheck // a hash never fails
	mac.Write(body)                               //nolint:errcheck // a hash never fails
	return signatureVersion + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// sign sets the three headers. Every key signs, so that a receiver that knows only the old or only the new secret of a
// rotation accepts the request.
func sign(header http.Header, keys [][]byte, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	header.Set(HeaderID, id)
	header.Set(HeaderTimestamp, timestamp)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		signatures[i] = signature(key, id, timestamp, body)
	}
	if len(signatures) > 0 {
		header.Set(HeaderSignature, strings.Join(signatures, " "))
	}
}

// Verify is for receivers: it checks that the body was signed with the secret at a time no further from now than the
// tolerance (0 = five minutes). The body must be the bytes as they came. Comparison takes constant time. A receiver must
// also drop what it has already seen of the same HeaderID.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	key, err := parseSecret(secret)
	if err != nil {
		return err
	}
	if tolerance == 0 {
		tolerance = verifyTolerance
	}
	id, timestamp, signatures := header.Get(HeaderID), header.Get(HeaderTimestamp), header.Get(HeaderSignature)
	if id == "" || timestamp == "" || signatures == "" {
		return syncline.Errorf(syncline.Rejected, "signature_missing", "the request is not signed")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return syncline.Errorf(syncline.Rejected, "signature_invalid", "the timestamp is not a number of seconds")
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return syncline.Errorf(syncline.Rejected, "signature_expired", "the timestamp is more than %s from now", tolerance)
	}
	want := []byte(signature(key, id, timestamp, body))
	for _, s := range strings.SplitN(signatures, " ", maxSignatureCount) {
		if subtle.ConstantTimeCompare([]byte(s), want) == 1 {
			return nil
		}
	}
	return syncline.Errorf(syncline.Rejected, "signature_invalid", "no signature fits the body and the secret")
}

// headerID is the event's id as a header value, or that of what has no source: unique over all sources, because a receiver drops what it has seen of an id. Ids of
// ours begin with their source; one that a client gave gets its source before it, with a colon, which no name of a source has. A dot would let two requests have one signed text ("id.timestamp.body"), and
// a header holds printable ASCII: what is neither is percent-encoded. The id in the body stays as it is.
func headerID(source, id string) string {
	if source != "" && !strings.HasPrefix(id, source+"/") {
		id = source + ":" + id
	}
	plain := func(c byte) bool { return c > ' ' && c < 0x7F && c != '.' && c != '%' }
	for i := 0; ; i++ {
		if i == len(id) {
			return id
		}
		if !plain(id[i]) {
			break
		}
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(id)+16)
	for i := 0; i < len(id); i++ {
		if c := id[i]; plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}
