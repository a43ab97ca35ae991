package transform

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"syncline"
)

// minHashKey is the least length of a key in bytes: with a shorter one, values could be guessed.
const minHashKey = 16

func (s Hash) compile() (binder, error) {
	names := make([]string, len(s.Fields))
	for i, h := range s.Fields {
		names[i] = h.Field
		if h.Key == nil || len(h.Key.Reveal()) < minHashKey {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the key of %s has fewer than %d bytes", h.Field, minHashKey).WithFix("openssl rand -hex 32 makes a good one")
		}
	}
	return s, once(names, "hashed")
}

// bind keeps the key of records that are known by what is hashed: different values stay different. Another key makes other records.
func (s Hash) bind(l *layout) error {
	for i := range s.Fields {
		h := &s.Fields[i]
		if err := l.alter(alteration{field: h.Field, kind: syncline.KindText, formula: "hash " + h.fingerprint(),
			change: func(v syncline.Value, _ syncline.Kind) (syncline.Value, error) { return syncline.Text(h.sum(v)), nil }}); err != nil {
			return err
		}
	}
	return nil
}

// sum is the HMAC-SHA256 of the value's text; equal numbers and times have one, however they are written.
func (h *Hashing) sum(v syncline.Value) string {
	text := v.Bytes()
	switch v.Kind() {
	case syncline.KindText, syncline.KindRaw, syncline.KindBytes, syncline.KindUUID, syncline.KindBool, syncline.KindInt, syncline.KindUint:
	default:
		if parts, err := syncline.MakeKey(v).Parts(); err == nil && len(parts) == 1 {
			text = []byte(parts[0])
		}
	}
	mac := hmac.New(sha256.New, []byte(h.Key.Reveal()))
	mac.Write(text) //nolint:errcheck // a hash never fails
	if h.Base64 {
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// fingerprint tells two keys apart and says no more of them.
func (h *Hashing) fingerprint() string {
	mac := hmac.New(sha256.New, []byte(h.Key.Reveal()))
	mac.Write([]byte("which key is it")) //nolint:errcheck // a hash never fails
	text := hex.EncodeToString(mac.Sum(nil)[:4])
	if h.Base64 {
		text += " base64"
	}
	return text
}

// Keys tells which keys the steps hash with, and which addresses and queries they ask with that have references, for comparing two configurations:
// it differs where one of them does.
func Keys(steps []Step) string {
	var all string
	asked := func(what, with, shown string) {
		if with != shown {
			sum := sha256.Sum256([]byte(with))
			all += what + "=" + hex.EncodeToString(sum[:4]) + ";"
		}
	}
	for _, s := range steps {
		switch s := s.(type) {
		case Hash:
			for i := range s.Fields {
				all += s.Fields[i].Field + "=" + s.Fields[i].fingerprint() + ";"
			}
		case Enrich:
			if s.HTTP != nil {
				asked("url", s.HTTP.URL, s.HTTP.Shown)
			}
			if s.SQL != nil {
				asked("query", s.SQL.Query, s.SQL.Shown)
			}
		}
	}
	return all
}
