package config

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is text that shows itself only to who asks for it by name: printed, logged or encoded it is "[redacted]", and
// "" when it is empty.
type Secret struct{ text string }

// NewSecret returns a secret with this text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// String redacts.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return redacted
}

// Format redacts for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText redacts; JSON and YAML use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue redacts.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
