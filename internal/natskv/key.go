package natskv

import (
	"syncline"
)

// maxKey is the length of a record's key in the bucket that surely fits into a line of the protocol (4 KiB), which holds
// it beside a prefix and a reply address.
const maxKey = 2048

// encode writes any text in NATS' alphabet for one token of a key, so that different texts have different tokens: letters,
// digits, - and _ stand for themselves, other bytes are = and two hexadecimal digits, nothing at all is a lone =. A leading
// _ is encoded too: keys that begin with it are ours.
func encode(s string) string {
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		plain = plainByte(s, i)
	}
	if plain {
		return s
	}
	if s == "" {
		return "="
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if plainByte(s, i) {
			b = append(b, s[i])
		} else {
			b = append(b, '=', digits[s[i]>>4], digits[s[i]&15])
		}
	}
	return string(b)
}

func plainByte(s string, i int) bool {
	c := s[i]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' && i > 0
}

// recordSubject returns where the record of the row is kept.
func (t *Target) recordSubject(object string, row syncline.Row) (string, error) {
	key, ok := row.Key()
	if !ok {
		return "", syncline.Errorf(syncline.Fatal, "key_missing", "object %s needs records with a key", object).
			WithFix("declare the entity's key")
	}
	name := encode(object) + "." + encode(string(key))
	if len(name) > maxKey {
		return "", syncline.Errorf(syncline.Rejected, "key_too_long", "the key of a record of %s takes %d bytes in the bucket, more than %d", object, len(name), maxKey).
			WithFix("use a shorter key in the rule's transform")
	}
	return t.subject(name), nil
}
