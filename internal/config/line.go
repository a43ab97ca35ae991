package config

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// What is here is for a text of which nobody knows what it is: that of a key that sounds like one of a secret, and of a file that is not YAML at all.

// secretKey is a key that sounds like one of a secret, with a value in quotes or without, which ends with its line or its flow mapping.
var secretKey = regexp.MustCompile(`(?i)[\w.-]*(?:pass|pwd|secr|token|bearer|api.?key|authorization|cookie|credential)[\w.-]*["']?\s*:\s+("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s{\[|>&"'#][^,}\]]*)`)

// masked is a line with asterisks for values of keys that sound like those of secrets. Values that refer to one stay as they are.
func masked(line string) string {
	var b strings.Builder
	last := 0
	for _, m := range secretKey.FindAllStringSubmatchIndex(line, -1) {
		begin, end := m[2], m[3]
		if strings.Contains(line[begin:end], "${") {
			continue
		}
		switch quote := line[begin]; {
		case quote == '"' || quote == '\'':
			if begin++; end > begin && line[end-1] == quote {
				end--
			}
		case !strings.ContainsRune(line[:begin], '{'): // not in a flow mapping: a comma is a part of it
			end = len(line)
		}
		if begin < last {
			continue
		}
		b.WriteString(line[last:begin] + strings.Repeat("*", utf8.RuneCountInString(line[begin:end])))
		last = end
	}
	return b.String() + line[last:]
}

var firstKey = regexp.MustCompile(`^\s*(?:-\s+)*[\w.-]+:(?:\s|$)`)

// keysOnly is a line of a text that is not YAML as far as its first key: nobody knows what the rest is, and an error may be reported on the
// line of a value that began on another one.
func keysOnly(line string) string {
	known := firstKey.FindString(line)
	if strings.TrimSpace(line[len(known):]) == "" {
		return line
	}
	if known == "" {
		known = line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	}
	return known + "…"
}
