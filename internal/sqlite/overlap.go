package sqlite

import (
	"strings"
	"time"
)

// lowered is a watermark less the overlap, as it would be stored: a time is text, seconds (or a thousandth, a millionth …) since 1970, or
// a Julian day. What is none of these stays as it is.
func (t *polled) lowered(stored any, wanted bool) any {
	if !wanted {
		return stored
	}
	by := t.overlap
	switch v := stored.(type) {
	case int64:
		if by.Time > 0 {
			return v - int64(by.Time.Seconds()*unitsPerSecond(float64(v)))
		}
		return v - by.Amount
	case float64:
		switch {
		case by.Time > 0 && v < 1e7:
			return v - by.Time.Hours()/24
		case by.Time > 0:
			return v - by.Time.Seconds()*unitsPerSecond(v)
		}
		return v - float64(by.Amount)
	case string:
		if by.Time > 0 {
			return earlier(v, by.Time)
		}
	}
	return stored
}

// unitsPerSecond tells by its size what a number of times since 1970 counts.
func unitsPerSecond(v float64) float64 {
	switch {
	case v < 1e11:
		return 1
	case v < 1e14:
		return 1e3
	case v < 1e17:
		return 1e6
	}
	return 1e9
}

// earlier writes a time that is at least by earlier, in the form of the text: what stands behind the seconds is kept.
func earlier(text string, by time.Duration) string {
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if len(text) < len(layout) {
			continue
		}
		t, err := time.Parse(layout, text[:len(layout)])
		if err != nil {
			continue
		}
		rest := text[len(layout):]
		if layout == time.DateOnly && strings.TrimSpace(rest) != "" {
			continue
		}
		unit := time.Second
		switch {
		case layout == time.DateOnly:
			unit = 24 * time.Hour
		case !strings.Contains(layout, ":05"):
			unit = time.Minute
		}
		return t.Add(-(by + unit - 1).Truncate(unit)).Format(layout) + rest
	}
	return text
}
