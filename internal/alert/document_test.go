package alert

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDocumentation: docs/operations.md lists each signal with its labels, and each built-in alert with its condition.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		names := make([]string, len(k.Labels))
		for i, l := range k.Labels {
			names[i] = "`" + l + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s |\n", k.Name, strings.Join(names, ", "), k.Meaning)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/operations.md lacks the row\n%s", row)
		}
	}
	for _, b := range BuiltIn(5*time.Minute, 0.1) {
		wait := ""
		if b.For > 0 {
			wait = strings.TrimSuffix(b.For.String(), "0s")
		}
		if start := fmt.Sprintf("| `%s` | `%s`", b.Name, b.When); !strings.Contains(string(page), start) {
			t.Errorf("docs/operations.md lacks a row that begins with %s", start)
		} else if end := fmt.Sprintf("| %s | %s |\n", wait, b.Severity); !strings.Contains(strings.Split(string(page), start)[1], strings.Replace(end, "|  |", "| |", 1)) {
			t.Errorf("the row of %s does not end with %s", b.Name, end)
		}
	}
}
