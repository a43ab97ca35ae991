package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"syncline"
)

// The vector of the Standard Webhooks reference libraries.
const (
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	wrongSignature  = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
)

var vectorTime = time.Unix(1614265330, 0)

func TestSignatureVector(t *testing.T) {
	key, err := parseSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, [][]byte{key}, vectorID, vectorTime, []byte(vectorBody))
	if got := h.Get("webhook-signature"); got != vectorSignature {
		t.Errorf("webhook-signature = %s, want %s", got, vectorSignature)
	}
	if id, at := h.Get("webhook-id"), h.Get("webhook-timestamp"); id != vectorID || at != "1614265330" {
		t.Errorf("webhook-id, webhook-timestamp = %s, %s", id, at)
	}
}

func vectorHeader(change func(http.Header)) http.Header {
	h := http.Header{}
	h.Set("webhook-id", vectorID)
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", vectorSignature)
	if change != nil {
		change(h)
	}
	return h
}

func TestVerify(t *testing.T) {
	bare := strings.TrimPrefix(testSecret, secretPrefix)
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for _, tt := range []struct {
		name, secret string
		header       http.Header
		body         string
		off          time.Duration
		want         string // code
	}{
		{"as signed", testSecret, vectorHeader(nil), vectorBody, 0, ""},
		{"a secret without prefix", bare, vectorHeader(nil), vectorBody, 0, ""},
		{"at the end of the tolerance", testSecret, vectorHeader(nil), vectorBody, 5 * time.Minute, ""},
		{"one of several", testSecret, vectorHeader(set("webhook-signature", wrongSignature+" v2,x v1a,y "+vectorSignature)), vectorBody, 0, ""},
		{"too old", testSecret, vectorHeader(nil), vectorBody, 5*time.Minute + time.Second, "signature_expired"},
		{"from the future", testSecret, vectorHeader(nil), vectorBody, -5*time.Minute - time.Second, "signature_expired"},
		{"another body", testSecret, vectorHeader(nil), vectorBody + " ", 0, "signature_invalid"},
		{"another id", testSecret, vectorHeader(set("webhook-id", "msg_2")), vectorBody, 0, "signature_invalid"},
		{"another time", testSecret, vectorHeader(set("webhook-timestamp", "1614265331")), vectorBody, 0, "signature_invalid"},
		{"another secret", "whsec_" + strings.Repeat("QUJD", 8), vectorHeader(nil), vectorBody, 0, "signature_invalid"},
		{"another version", testSecret, vectorHeader(set("webhook-signature", "v2"+vectorSignature[2:])), vectorBody, 0, "signature_invalid"},
		{"no version", testSecret, vectorHeader(set("webhook-signature", vectorSignature[3:])), vectorBody, 0, "signature_invalid"},
		{"a timestamp that is no number", testSecret, vectorHeader(set("webhook-timestamp", "now")), vectorBody, 0, "signature_invalid"},
		{"no id", testSecret, vectorHeader(func(h http.Header) { h.Del("webhook-id") }), vectorBody, 0, "signature_missing"},
		{"no timestamp", testSecret, vectorHeader(func(h http.Header) { h.Del("webhook-timestamp") }), vectorBody, 0, "signature_missing"},
		{"no signature", testSecret, vectorHeader(func(h http.Header) { h.Del("webhook-signature") }), vectorBody, 0, "signature_missing"},
		{"no secret", "", vectorHeader(nil), vectorBody, 0, "secret_invalid"},
	} {
		err := Verify(tt.secret, tt.header, []byte(tt.body), vectorTime.Add(tt.off), 0)
		if tt.want == "" && err != nil || tt.want != "" && syncline.CodeOf(err) != tt.want {
			t.Errorf("%s: Verify = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestVerifyDuringARotation(t *testing.T) {
	second := "whsec_" + strings.Repeat("QUJD", 8)
	var keys [][]byte
	for _, s := range []string{second, testSecret} {
		key, err := parseSecret(s)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	h := http.Header{}
	sign(h, keys, vectorID, vectorTime, []byte(vectorBody))
	for _, s := range []string{testSecret, second} {
		if err := Verify(s, h, []byte(vectorBody), vectorTime, time.Minute); err != nil {
			t.Errorf("Verify with one of two secrets: %v", err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	for _, s := range []string{"whsec_short", "whsec_" + strings.Repeat("QUJD", 30), "hunter2!", ""} {
		_, err := parseSecret(s)
		if syncline.CodeOf(err) != "secret_invalid" || s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("parseSecret(%q) = %v", s, err)
		}
	}
}

// TestHeaderIDHasOneReading: no id can be mistaken for another id and the beginning of a timestamp, or for that of another source.
func TestHeaderIDHasOneReading(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"shop", "shop/1/1a2b/3"}: "shop/1/1a2b/3", {"pos", "a.1"}: "pos:a%2E1", {"pos", "a%2E1"}: "pos:a%252E1", {"pos", "订单 1"}: "pos:%E8%AE%A2%E5%8D%95%201",
		{"pos", "a\r\nb"}: "pos:a%0D%0Ab", {"pos2", "a.1"}: "pos2:a%2E1", {"pos", "pos/a"}: "pos/a", {"pos", "pos2/a"}: "pos:pos2/a", {"pos", ""}: "pos:",
	} {
		if got := headerID(in[0], in[1]); got != want {
			t.Errorf("headerID(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(vectorID, "1614265330", vectorSignature, vectorBody)
	f.Add("", "", wrongSignature+" "+vectorSignature, "{}")
	f.Fuzz(func(t *testing.T, id, timestamp, signatures, body string) {
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {timestamp}, HeaderSignature: {signatures}}
		err := Verify(testSecret, h, []byte(body), vectorTime, time.Minute)
		if err == nil && (id != vectorID || timestamp != "1614265330" || body != vectorBody) {
			t.Errorf("Verify(%q, %q, %q, %q) = nil", id, timestamp, signatures, body)
		}
	})
}

// TestTamperedRequests: no byte of what was signed can be another one, and nothing that looks like a signature is one.
func TestTamperedRequests(t *testing.T) {
	verify := func(h http.Header, body string) error { return Verify(testSecret, h, []byte(body), vectorTime, 0) }
	if err := verify(vectorHeader(nil), vectorBody); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		value := vectorHeader(nil).Get(name)
		for i := range value {
			changed := value[:i] + string(value[i]^1) + value[i+1:]
			if err := verify(vectorHeader(func(h http.Header) { h.Set(name, changed) }), vectorBody); err == nil {
				t.Errorf("%s %q is taken", name, changed)
			}
			if err := verify(vectorHeader(func(h http.Header) { h.Set(name, value[:i]) }), vectorBody); err == nil {
				t.Errorf("%s %q is taken", name, value[:i])
			}
		}
	}
	for i := range vectorBody {
		if err := verify(vectorHeader(nil), vectorBody[:i]+string(vectorBody[i]^1)+vectorBody[i+1:]); err == nil {
			t.Errorf("a body with another byte %d is taken", i)
		}
	}
	digest := strings.TrimPrefix(vectorSignature, "v1,")
	signatures := map[string]string{
		"of another version": "v2," + digest, "asymmetric": "v1a," + digest, "without a version": digest, "in other letters": "V1," + digest, "without its padding": strings.TrimRight(vectorSignature, "="),
		"for URLs": strings.NewReplacer("+", "-", "/", "_").Replace(vectorSignature), "empty": "v1,", "none": "none", "with a comma": "v1," + digest + ",", "between commas": "v1,x,v1," + digest,
		"behind a tab": "v1,x\t" + vectorSignature, "the seventeenth": strings.Repeat(wrongSignature+" ", 16) + vectorSignature, "one of a million": strings.Repeat("x ", 1_000_000) + vectorSignature,
	}
	for name, s := range signatures {
		if s == vectorSignature {
			continue // its digest has no letter that is written otherwise there
		}
		if err := verify(vectorHeader(func(h http.Header) { h.Set("webhook-signature", s) }), vectorBody); syncline.CodeOf(err) != "signature_invalid" {
			t.Errorf("a signature %s: %v, want signature_invalid", name, err)
		}
	}
	for _, at := range []string{" 1614265330", "+1614265330", "01614265330", "1614265330.0", "0x6037c5f2", "1614265330e0", "-1614265330", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "1614265330000"} {
		if err := verify(vectorHeader(func(h http.Header) { h.Set("webhook-timestamp", at) }), vectorBody); err == nil {
			t.Errorf("the timestamp %q is taken", at)
		}
	}
	// The text that is signed has one reading: a point moved from one part to another makes another request.
	h := vectorHeader(func(h http.Header) {
		h.Set("webhook-id", vectorID+".1614265330")
		h.Set("webhook-timestamp", "1614265330")
	})
	if err := verify(h, strings.TrimPrefix(vectorBody, "1614265330.")); err == nil {
		t.Error("a timestamp that is part of the id is taken")
	}
	// Of several headers the first counts, however many say otherwise.
	h = vectorHeader(func(h http.Header) { h.Add("webhook-id", "msg_2"); h.Add("webhook-signature", wrongSignature) })
	if err := verify(h, vectorBody); err != nil {
		t.Errorf("a header twice: %v", err)
	}
	h = vectorHeader(func(h http.Header) { h["Webhook-Id"] = []string{"msg_2", vectorID} })
	if err := verify(h, vectorBody); err == nil {
		t.Error("the second of two ids is taken")
	}
}
