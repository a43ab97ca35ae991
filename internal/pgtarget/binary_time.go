package pgtarget

import (
	"encoding/binary"
	"math"

	"syncline"
)

// The server counts days and microseconds from the first of January 2000, in the Gregorian calendar as if it had always been in force.
const (
	daysBefore2000 = 730_119 // from the first of January of the year 1
	microsPerDay   = 86_400_000_000
	microsPerSec   = 1_000_000
)

func encodeDate(dst []byte, v syncline.Value) ([]byte, bool) {
	days, rest, ok := parseDate(v.Bytes())
	if sign := infinite(v); sign != 0 {
		days, ok = endOfDays(sign), true
	}
	if !ok || len(rest) > 0 {
		return dst, false
	}
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(int32(days))), true
}

func encodeTime(dst []byte, v syncline.Value) ([]byte, bool) {
	micros, rest, ok := parseClock(v.Bytes())
	if !ok || len(rest) > 0 {
		return dst, false
	}
	return appendMicros(dst, micros), true
}

func encodeTimestamp(dst []byte, v syncline.Value) ([]byte, bool) {
	if sign := infinite(v); sign != 0 {
		return appendEnd(dst, sign), true
	}
	micros, zone, ok := parseMoment(v.Bytes())
	if !ok || len(zone) > 0 {
		return dst, false
	}
	return appendMicros(dst, micros), true
}

// encodeTimestampTZ takes moments in UTC, as sources give them, or with whole hours and minutes from it.
func encodeTimestampTZ(dst []byte, v syncline.Value) ([]byte, bool) {
	if sign := infinite(v); sign != 0 {
		return appendEnd(dst, sign), true
	}
	micros, zone, ok := parseMoment(v.Bytes())
	if !ok {
		return dst, false
	}
	offset, ok := parseZone(zone)
	if !ok {
		return dst, false
	}
	return appendMicros(dst, micros-offset), true
}

// infinite is 1 for the time after all others, -1 for the one before them, 0 for those.
func infinite(v syncline.Value) int {
	switch string(v.Bytes()) {
	case "infinity":
		return 1
	case "-infinity":
		return -1
	}
	return 0
}

func endOfDays(sign int) int64 {
	if sign > 0 {
		return math.MaxInt32
	}
	return math.MinInt32
}

func appendEnd(dst []byte, sign int) []byte {
	if sign > 0 {
		return appendMicros(dst, math.MaxInt64)
	}
	return appendMicros(dst, math.MinInt64)
}

func appendMicros(dst []byte, micros int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(micros))
}

// parseDate reads year-month-day at the start of a text, and returns the days since 2000 and what follows.
func parseDate(b []byte) (days int64, rest []byte, ok bool) {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return 0, nil, false
	}
	year, ok1 := digits(b[:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	if !ok1 || !ok2 || !ok3 || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, nil, false
	}
	y := year - 1
	days = 365*y + y/4 - y/100 + y/400 + day - 1 - daysBefore2000
	for m := int64(1); m < month; m++ {
		days += daysIn(year, m)
	}
	return days, b[10:], true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// parseMoment reads a date and a time of day, and returns the microseconds since 2000 and what follows.
func parseMoment(b []byte) (micros int64, rest []byte, ok bool) {
	days, b, ok := parseDate(b)
	if !ok || len(b) == 0 || b[0] != ' ' && b[0] != 'T' {
		return 0, nil, false
	}
	micros, rest, ok = parseClock(b[1:])
	return days*microsPerDay + micros, rest, ok
}

// parseClock reads a time of day at the start of a text, to the microsecond, and returns what follows it too.
func parseClock(b []byte) (micros int64, rest []byte, ok bool) {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0, nil, false
	}
	hour, ok1 := digits(b[:2])
	minute, ok2 := digits(b[3:5])
	second, ok3 := digits(b[6:8])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 59 {
		return 0, nil, false
	}
	micros = (hour*3600 + minute*60 + second) * microsPerSec
	b = b[8:]
	if len(b) == 0 || b[0] != '.' {
		return micros, b, true
	}
	b = b[1:]
	unit := int64(microsPerSec / 10)
	for ; len(b) > 0 && '0' <= b[0] && b[0] <= '9'; b = b[1:] {
		if unit == 0 {
			return 0, nil, false // finer than the server is: it rounds by itself
		}
		micros += int64(b[0]-'0') * unit
		unit /= 10
	}
	return micros, b, unit < microsPerSec/10
}

// parseZone reads how far a zone is ahead of UTC, in microseconds.
func parseZone(b []byte) (micros int64, ok bool) {
	if string(b) == "Z" || string(b) == "+00" {
		return 0, true
	}
	if len(b) != 3 && (len(b) != 6 || b[3] != ':') || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, ok := digits(b[1:3])
	minutes := int64(0)
	if ok && len(b) == 6 {
		minutes, ok = digits(b[4:6])
	}
	if !ok || hours > 15 || minutes > 59 {
		return 0, false
	}
	if micros = (hours*3600 + minutes*60) * microsPerSec; b[0] == '-' {
		micros = -micros
	}
	return micros, true
}

func digits(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}
