package demo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/webhook"
)

// post sends a body as Standard Webhooks signs it and returns the answer's status.
func post(t *testing.T, p *partner, secret, id, body string) int {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body)) //nolint:errcheck // a hash never fails
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+p.port()+"/in/orders", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(webhook.HeaderID, id)
	req.Header.Set(webhook.HeaderTimestamp, timestamp)
	req.Header.Set(webhook.HeaderSignature, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // the status is all that counts
	return res.StatusCode
}

func TestPartner(t *testing.T) {
	dir := t.TempDir()
	p, err := newPartner()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.start(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	const wrong = "whsec_dGhpcy1zZWNyZXQtb3BlbnMtbm8tZG9vci1hdC1hbGw="
	for _, test := range []struct {
		what, secret, id, body string
		status                 int
	}{
		{"another secret", wrong, "0", `{"type":"order.created","subject":"1","data":{"after":{"id":1}}}`, http.StatusUnauthorized},
		{"no event", p.secret, "0", `{"type":"order.created"}`, http.StatusBadRequest},
		{"a record", p.secret, "1", `{"type":"order.created","subject":"1","data":{"after":{"id":1,"net":"1.50"}}}`, http.StatusNoContent},
		{"another record", p.secret, "2", `{"type":"order.created","subject":"2","data":{"after":{"id":2,"net":2.5}}}`, http.StatusNoContent},
		{"a change", p.secret, "3", `{"type":"order.updated","subject":"1","data":{"after":{"id":1,"net":3.50}}}`, http.StatusNoContent},
		{"the first event again", p.secret, "1", `{"type":"order.created","subject":"1","data":{"after":{"id":1,"net":1.50}}}`, http.StatusNoContent},
		{"a removal", p.secret, "4", `{"type":"order.deleted","subject":"2","data":{"before":{"id":2},"after":null}}`, http.StatusNoContent},
	} {
		if got := post(t, p, test.secret, test.id, test.body); got != test.status {
			t.Errorf("%s: status %d, want %d", test.what, got, test.status)
		}
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}

	again, err := newPartner()
	if err != nil {
		t.Fatal(err)
	}
	if err := again.start(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer again.close() //nolint:errcheck // what it holds is read
	schema := &syncline.Schema{Entity: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "net", Kind: syncline.KindDecimal}}}
	var got []string
	err = again.held("orders")(schema)(t.Context(), func(r syncline.Row) error {
		got = append(got, r.Values[0].String()+" "+r.Values[1].String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"int(1) decimal(3.50)"}, got); diff != "" {
		t.Errorf("held after a restart (-want +got):\n%s", diff)
	}
}
