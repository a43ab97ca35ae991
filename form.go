package syncline

import (
	"bytes"
	"strconv"
)

// WellFormed reports whether the text is one that a value of the kind may have. It is asked of dates, times and UUIDs: a system without
// types of its own may keep any other text where they are expected, and that text is KindText. Of other kinds it is true.
func WellFormed(k Kind, text []byte) bool {
	switch k {
	case KindDate:
		if endless(text) {
			return true
		}
		rest, year := cutYear(text)
		rest, bc := bytes.CutSuffix(rest, []byte(" BC"))
		return cutDay(rest, year, bc) != nil && len(rest) == len("-01-02")
	case KindTime:
		rest := cutClock(text)
		return rest != nil && len(rest) == 0
	case KindTimestamp, KindTimestampTZ:
		if endless(text) {
			return true
		}
		rest, year := cutYear(text)
		rest, bc := bytes.CutSuffix(rest, []byte(" BC"))
		if k == KindTimestampTZ {
			var zone bool
			if rest, zone = bytes.CutSuffix(rest, []byte("+00")); !zone {
				return false
			}
		}
		rest = cutDay(rest, year, bc)
		if len(rest) == 0 || rest[0] != ' ' || bytes.HasPrefix(rest, []byte(" 24")) {
			return false
		}
		rest = cutClock(rest[1:])
		return rest != nil && len(rest) == 0
	case KindUUID:
		if len(text) != 36 {
			return false
		}
		for i, c := range text {
			if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && (unhex(c) < 0 || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

func endless(text []byte) bool {
	return string(text) == "infinity" || string(text) == "-infinity"
}

// cutYear takes a year of four digits, or of more without a zero in front, off the text; 0 is none.
func cutYear(text []byte) (rest []byte, year int) {
	n := bytes.IndexByte(text, '-')
	if n < 4 || n > 7 || n > 4 && text[0] == '0' {
		return nil, 0
	}
	if !allDigits(text[:n]) {
		return nil, 0
	}
	year, _ = strconv.Atoi(string(text[:n])) // digits
	return text[n:], year
}

// cutDay takes -01-02 off the text; nil where that is no day of the year.
func cutDay(text []byte, year int, bc bool) []byte {
	if year == 0 || len(text) < len("-01-02") || text[0] != '-' || text[3] != '-' || !allDigits(text[1:3]) || !allDigits(text[4:6]) {
		return nil
	}
	month, day := twoDigits(text[1:]), twoDigits(text[4:])
	if month < 1 || month > 12 || day < 1 || day > daysOf(month, year, bc) {
		return nil
	}
	return text[6:]
}

func daysOf(month, year int, bc bool) int {
	switch month {
	case 2:
		if bc {
			year = 1 - year
		}
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// cutClock takes 15:04:05 with up to six digits of a fraction off the text; nil where that is no time of a day. 24:00:00 is one.
func cutClock(text []byte) []byte {
	if len(text) < len("15:04:05") || text[2] != ':' || text[5] != ':' || !allDigits(text[:2]) || !allDigits(text[3:5]) || !allDigits(text[6:8]) {
		return nil
	}
	hour, minute, second := twoDigits(text), twoDigits(text[3:]), twoDigits(text[6:])
	rest := text[8:]
	if hour == 24 {
		if minute+second > 0 || len(rest) > 0 && rest[0] == '.' {
			return nil
		}
		return rest
	}
	if hour > 23 || minute > 59 || second > 59 {
		return nil
	}
	if len(rest) > 0 && rest[0] == '.' {
		n := 1
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if n == 1 || n > 7 {
			return nil
		}
		rest = rest[n:]
	}
	return rest
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func twoDigits(text []byte) int { return int(text[0]-'0')*10 + int(text[1]-'0') }
