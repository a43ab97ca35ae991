package config

import (
	"regexp"
	"strings"
)

// Bytes that stand in blanked text for what is not literally in the file.
const (
	// referred stands for each byte of a reference: something else will be here.
	referred = "\x00"
	// wrapping stands for the bytes around a reference's default, which is in the file like any other text.
	wrapping = '\x01'
)

// blank returns text with its references blanked, byte for byte, so that a place in the one is the same place in the other.
func blank(text string) string {
	var b strings.Builder
	for pos := 0; pos < len(text); {
		i := strings.Index(text[pos:], "${")
		if i < 0 {
			b.WriteString(text[pos:])
			break
		}
		i += pos
		end := strings.IndexByte(text[i:], '}') + i
		if end < i || i > pos && text[i-1] == '$' {
			b.WriteString(text[pos : i+2])
			pos = i + 2
			continue
		}
		b.WriteString(text[pos:i])
		name, def, has := strings.Cut(text[i:end], ":-")
		if has && !strings.HasPrefix(name, "${file:") {
			b.WriteString(strings.Repeat(string(wrapping), len(name)+len(":-")) + def + string(wrapping))
		} else {
			b.WriteString(strings.Repeat(referred, end+1-i))
		}
		pos = end + 1
	}
	return b.String()
}

// literal returns where in a piece of blanked text begins what stands in the file; -1 where there is none of it, or some is a reference.
func literal(piece string) int {
	if strings.Contains(piece, referred) {
		return -1
	}
	return strings.IndexFunc(piece, func(r rune) bool { return r != wrapping })
}

// passwordKeyword is a password among libpq's keywords and values.
var passwordKeyword = regexp.MustCompile(`(?:^|[\s` + string(wrapping) + `])(?:ssl)?password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^'\s]\S*))`)

// passwordParameter is a password among the parameters of a PostgreSQL URL.
var passwordParameter = regexp.MustCompile(`[?&](?:ssl)?password=([^&#]*)`)

// passwords returns the places (begin, end) of the passwords in a blanked connection string of the kind of system whose first
// scheme this is.
func passwords(text, scheme string) (places [][2]int) {
	begin := strings.Index(text, "://")
	if begin < 0 {
		if scheme == "postgres" {
			for _, m := range passwordKeyword.FindAllStringSubmatchIndex(text, -1) {
				places = append(places, [2]int{max(m[2], m[4]), max(m[3], m[5])})
			}
		}
		return places
	}
	begin += len("://")
	authority, _, _ := strings.Cut(text[begin:], "/")
	if end := strings.IndexAny(authority, "?#"); end >= 0 {
		authority = authority[:end]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		switch colon := strings.IndexByte(authority[:at], ':'); {
		case colon >= 0:
			places = append(places, [2]int{begin + colon + 1, begin + at})
		case scheme == "nats": // a user alone is a token
			places = append(places, [2]int{begin, begin + at})
		}
	}
	if scheme == "postgres" {
		for _, m := range passwordParameter.FindAllStringSubmatchIndex(text, -1) {
			places = append(places, [2]int{m[2], m[3]})
		}
	}
	return places
}

// plainPasswords reports the passwords that are spelled out in a connection string.
func (l *loader) plainPasswords(v value, scheme string) {
	text := blank(v.node.Value)
	for _, p := range passwords(text, scheme) {
		offset := literal(text[p[0]:p[1]])
		if offset < 0 {
			continue
		}
		line, column := v.place(p[0] + offset)
		l.reportAt(v, line, column, PlainSecret, "put the password, or the whole URL, in the environment or a file: ${NAME}, ${file:/run/secrets/name}",
			"a password stands in %s", v.path)
	}
}
