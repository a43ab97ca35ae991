package sqlite

import (
	"time"

	"syncline"
)

// readTime reads the ISO 8601 forms of dates and times that SQLite's own functions write and read, with a T or a space,
// with or without seconds, fraction and zone, and returns the one form that the kind has. A zone makes any timestamp a
// KindTimestampTZ; a KindTimestampTZ without one is in UTC. What has more than microseconds is none of these kinds.
func readTime(kind syncline.Kind, s string) (syncline.Value, bool) {
	c := cursor{s: s}
	var t time.Time
	if kind != syncline.KindTime {
		year, month, day := c.number(4), c.next('-', 2), c.next('-', 2)
		if c.bad || year < 1 {
			return syncline.Value{}, false
		}
		t = time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
		if t.Year() != year || t.Month() != time.Month(month) || t.Day() != day {
			return syncline.Value{}, false
		}
		if c.s == "" {
			if kind == syncline.KindDate {
				return syncline.Raw(kind, []byte(s)), true
			}
			return timestamp(kind, t), true
		}
		if kind == syncline.KindDate || c.s[0] != ' ' && c.s[0] != 'T' {
			return syncline.Value{}, false
		}
		c.s = c.s[1:]
	}
	d, ok := c.clock()
	if !ok {
		return syncline.Value{}, false
	}
	if kind == syncline.KindTime {
		if c.s != "" {
			return syncline.Value{}, false
		}
		return syncline.Raw(kind, time.Time{}.Add(d).AppendFormat(nil, "15:04:05.999999")), true
	}
	t = t.Add(d)
	if c.s != "" {
		offset, ok := c.zone()
		t = t.Add(-offset)
		if !ok || t.Year() < 1 || t.Year() > 9999 {
			return syncline.Value{}, false
		}
		kind = syncline.KindTimestampTZ
	}
	return timestamp(kind, t), true
}

func timestamp(kind syncline.Kind, t time.Time) syncline.Value {
	if kind == syncline.KindTimestampTZ {
		return syncline.TimestampTZ(t)
	}
	return syncline.Raw(kind, t.AppendFormat(nil, "2006-01-02 15:04:05.999999"))
}

// cursor takes fields of fixed width off the front of s.
type cursor struct {
	s   string
	bad bool
}

func (c *cursor) number(width int) (n int) {
	if len(c.s) < width {
		c.bad = true
		return 0
	}
	for _, d := range []byte(c.s[:width]) {
		if d < '0' || d > '9' {
			c.bad = true
			return 0
		}
		n = n*10 + int(d-'0')
	}
	c.s = c.s[width:]
	return n
}

func (c *cursor) next(sep byte, width int) int {
	if c.s == "" || c.s[0] != sep {
		c.bad = true
		return 0
	}
	c.s = c.s[1:]
	return c.number(width)
}

// clock reads 15:04, 15:04:05 or 15:04:05.999999.
func (c *cursor) clock() (time.Duration, bool) {
	hour, minute, second, micro := c.number(2), c.next(':', 2), 0, 0
	if !c.bad && c.s != "" && c.s[0] == ':' {
		second = c.next(':', 2)
		if !c.bad && c.s != "" && c.s[0] == '.' {
			c.s = c.s[1:]
			digits := 0
			for ; c.s != "" && c.s[0] >= '0' && c.s[0] <= '9'; digits++ {
				d := int(c.s[0] - '0')
				if digits < 6 {
					micro = micro*10 + d
				} else if d != 0 {
					return 0, false
				}
				c.s = c.s[1:]
			}
			if digits == 0 {
				return 0, false
			}
			for ; digits < 6; digits++ {
				micro *= 10
			}
		}
	}
	if c.bad || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second +
		time.Duration(micro)*time.Microsecond, true
}

// zone reads Z, +hh, +hhmm or +hh:mm to the end.
func (c *cursor) zone() (time.Duration, bool) {
	if c.s == "Z" || c.s == "z" {
		return 0, true
	}
	sign := time.Duration(1)
	switch c.s[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	c.s = c.s[1:]
	hours, minutes := c.number(2), 0
	if c.s != "" {
		if c.s[0] == ':' {
			minutes = c.next(':', 2)
		} else {
			minutes = c.number(2)
		}
	}
	if c.bad || c.s != "" || hours > 15 || minutes > 59 {
		return 0, false
	}
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute), true
}
