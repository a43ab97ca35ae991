package document

// appendTimestamp writes "2006-01-02 15:04:05.9+00" as "2006-01-02T15:04:05.9Z", and the form without a zone alike. Any
// other text (infinity, BC, five-digit years) stays what it is.
func appendTimestamp(dst, b []byte) []byte {
	end := clock(b, ' ')
	if end < 0 || string(b[end:]) != "" && string(b[end:]) != "+00" {
		return appendQuoted(dst, b)
	}
	dst = append(dst, '"')
	dst = append(dst, b[:10]...)
	dst = append(dst, 'T')
	dst = append(dst, b[11:end]...)
	if end < len(b) {
		dst = append(dst, 'Z')
	}
	return append(dst, '"')
}

// timestampText is the inverse of appendTimestamp on the string's content.
func timestampText(s string) []byte {
	b := []byte(s)
	end := clock(b, 'T')
	if end < 0 || s[end:] != "" && s[end:] != "Z" {
		return b
	}
	b[10] = ' '
	if end < len(b) {
		return append(b[:end], "+00"...)
	}
	return b
}

// clock returns where a date and time of the form "2006-01-02?15:04:05[.999]" ends whose middle byte is sep, or -1.
func clock(b []byte, sep byte) int {
	const form = "dddd-dd-dd?dd:dd:dd"
	if len(b) < len(form) {
		return -1
	}
	for i := range len(form) {
		switch c := b[i]; form[i] {
		case 'd':
			if c < '0' || c > '9' {
				return -1
			}
		case '?':
			if c != sep {
				return -1
			}
		default:
			if c != form[i] {
				return -1
			}
		}
	}
	end := len(form)
	if end < len(b) && b[end] == '.' {
		n := digits(b[end+1:])
		if n == 0 {
			return -1
		}
		end += 1 + n
	}
	return end
}
