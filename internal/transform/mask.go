package transform

import (
	"strings"
	"unicode/utf8"

	"syncline"
	"syncline/internal/expression"
)

func (s Mask) compile() (binder, error) {
	names := make([]string, len(s.Fields))
	for i, m := range s.Fields {
		names[i] = m.Field
		keeps := m.KeepFirst > 0 || m.KeepLast > 0
		if n := utf8.RuneCountInString(m.With); m.Fixed == nil && n != 1 {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s: what is hidden is shown as one character", m.Field)
		}
		if m.Email && (keeps || m.Fixed != nil) || m.Fixed != nil && keeps {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%s is masked in one way: email, fixed, or with the first and last characters kept", m.Field)
		}
	}
	return s, once(names, "masked")
}

func (s Mask) bind(l *layout) error {
	for i := range s.Fields {
		m := &s.Fields[i]
		if err := l.alter(alteration{field: m.Field, kind: syncline.KindText, formula: "mask", merges: true, fix: "use `hash`: it keeps different records apart",
			change: func(v syncline.Value, elem syncline.Kind) (syncline.Value, error) {
				text, err := expression.Convert(v, elem, syncline.KindText)
				if err != nil && m.Fixed == nil {
					return syncline.Null, errNotText
				}
				return syncline.Text(m.hide(text.Text())), nil
			}}); err != nil {
			return err
		}
	}
	return nil
}

// hide shows no more than what is declared; of a text that is not longer than that, nothing.
func (m *Masking) hide(text string) string {
	if m.Fixed != nil {
		return *m.Fixed
	}
	marks := []rune(text)
	if m.Email {
		// The part behind the last @ is the domain.
		if at := strings.LastIndexByte(text, '@'); at > 0 && at < len(text)-1 {
			first, _ := utf8.DecodeRuneInString(text)
			return string(first) + strings.Repeat(m.With, 3) + text[at:]
		}
		return strings.Repeat(m.With, 3)
	}
	hidden := len(marks) - m.KeepFirst - m.KeepLast
	if hidden <= 0 {
		return strings.Repeat(m.With, len(marks))
	}
	return string(marks[:m.KeepFirst]) + strings.Repeat(m.With, hidden) + string(marks[len(marks)-m.KeepLast:])
}
