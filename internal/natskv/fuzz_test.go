package natskv

import (
	"encoding/base64"
	"testing"

	"github.com/nats-io/nats.go"

	"syncline"
)

// FuzzEntry: a message of the bucket that somebody else has written is understood or counts as none of ours.
func FuzzEntry(f *testing.F) {
	f.Add("7", "s"+base64.StdEncoding.EncodeToString([]byte("shadow")), "", []byte(`{"log":"l","seq":7,"index":0,"epoch":1,"state":"s"}`))
	f.Add("-99999999999999999999", "é", "DEL", []byte(`{"seq":-1}`))
	f.Add("", "", "PURGE", []byte(nil))
	f.Fuzz(func(t *testing.T, version, shadow, operation string, data []byte) {
		s := stored{revision: 1, data: data}
		s.header(nats.Header{versionHeader: {version}, shadowHeader: {shadow}, operationHeader: {operation}})
		if s.live != (operation == "") {
			t.Fatalf("operation %q: live is %v", operation, s.live)
		}
		c, err := (&Target{bucket: "b"}).parseCursor(s)
		if err != nil && syncline.CodeOf(err) != "cursor_damaged" || c != nil && !s.live {
			t.Fatalf("cursor %+v, %v", c, err)
		}
	})
}
