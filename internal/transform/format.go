package transform

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"syncline"
	"syncline/internal/expression"
)

// Texts are what Format can do to text, by name.
var Texts = []string{"trim", "lower", "upper", "title", "squeeze"}

var textForms = map[string]func(string) string{
	"trim":  strings.TrimSpace,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"title": title,
	// squeeze makes one blank of any run of white space.
	"squeeze": func(s string) string { return strings.Join(strings.Fields(s), " ") },
}

// title writes each word with a capital, the rest of it in small letters.
func title(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r) || inWord && (r == '\'' || r == '’')
		defer func() { inWord = letter }()
		if letter && inWord {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}

// format is a compiled Format.
type format []formatting

type formatting struct {
	Formatting
	clock   *clock
	invalid outcome
}

// maxWidth bounds what Pad adds.
const maxWidth = 10_000

func (s Format) compile() (binder, error) {
	out := make(format, len(s.Fields))
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Field
		out[i].Formatting = f
		bad := func(text string, args ...any) *syncline.Error {
			return syncline.Errorf(syncline.Fatal, "bad_step", f.Field+": "+text, args...)
		}
		if f.Zone != "" && f.Layout == "" {
			return nil, bad("a zone needs a layout")
		}
		if f.Layout != "" && f.Number != nil {
			return nil, bad("a layout is for times, decimals, group and point are for numbers")
		}
		if f.Number != nil && (f.Number.Point == f.Number.Group || f.Number.Decimals > maxScale) {
			return nil, bad("a number needs at most %d decimals, and different characters for group and point", maxScale)
		}
		for _, name := range f.Text {
			if textForms[name] == nil {
				return nil, bad("there is no text form %q", name).WithFix("%s", strings.Join(Texts, ", "))
			}
		}
		if f.Pad > maxWidth || f.Pad > 0 && utf8.RuneCountInString(f.With) != 1 {
			return nil, bad("pad needs a width of at most %d, and one character to fill with", maxWidth)
		}
		if f.Pattern != "" && !strings.Contains(f.Pattern, "#") {
			return nil, bad("a pattern needs a # for each letter or digit")
		}
		if f.Layout == "" && f.Number == nil && len(f.Text) == 0 && f.Pad == 0 && f.Pattern == "" && f.Max == 0 {
			return nil, bad("nothing is to be done")
		}
		var err error
		if f.Layout != "" {
			if out[i].clock, err = newClock(f.Layout, f.Zone); err != nil {
				return nil, err
			}
		}
		if out[i].invalid, err = decide(f.Field, f.Invalid, f.Default, syncline.KindText); err != nil {
			return nil, err
		}
	}
	return out, once(names, "formatted")
}

func (s format) bind(l *layout) error {
	for i := range s {
		f := &s[i]
		if err := l.alter(alteration{field: f.Field, change: f.change, kind: syncline.KindText, nullable: f.invalid.nullable(), formula: "format",
			merges: true, fix: "make the key with `set`, where you decide that no two records get the same"}); err != nil {
			return err
		}
	}
	return nil
}

func (f *formatting) change(v syncline.Value, elem syncline.Kind) (syncline.Value, error) {
	text, err := f.write(v, elem)
	if err != nil {
		return f.invalid.of(v, err)
	}
	return syncline.Text(text), nil
}

var (
	errNotText    = errors.New("it cannot be written as text")
	errNotPattern = errors.New("it has not as many letters and digits as the pattern")
)

// write does everything that is declared, in this order: time or number, text forms, pattern, longest, padding.
func (f *formatting) write(v syncline.Value, elem syncline.Kind) (string, error) {
	var text string
	var err error
	switch {
	case f.clock != nil:
		text, err = f.clock.write(v, elem)
	case f.Number != nil:
		text, err = f.Number.write(v)
	default:
		if v, err = expression.Convert(v, elem, syncline.KindText); err != nil {
			err = errNotText
		}
		text = v.Text()
	}
	if err != nil {
		return "", err
	}
	for _, name := range f.Text {
		text = textForms[name](text)
	}
	if f.Pattern != "" {
		if text, err = fit(text, f.Pattern); err != nil {
			return "", err
		}
	}
	n := utf8.RuneCountInString(text)
	if f.Max > 0 && n > f.Max {
		text, n = string([]rune(text)[:f.Max]), f.Max
	}
	if n < f.Pad {
		fill := strings.Repeat(f.With, f.Pad-n)
		if f.Right {
			return text + fill, nil
		}
		return fill + text, nil
	}
	return text, nil
}

// fit puts the letters and digits of a text where the pattern has #, in order; everything else of the text goes.
func fit(text, pattern string) (string, error) {
	var marks []rune
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			marks = append(marks, r)
		}
	}
	if len(marks) != strings.Count(pattern, "#") {
		return "", errNotPattern
	}
	var b strings.Builder
	for _, r := range pattern {
		if r == '#' {
			r, marks = marks[0], marks[1:]
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}
