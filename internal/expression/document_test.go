package expression

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var (
	documentedCode     = regexp.MustCompile("`([^`]+)`")
	documentedField    = regexp.MustCompile("`event\\.([a-z]+)`")
	documentedFunction = regexp.MustCompile("`([a-zA-Z]+)\\([^`]*`")
)

// TestReference: docs/configuration.md lists exactly the functions, the operators and the fields of event that there are, and its
// examples are true.
func TestReference(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### Expressions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	parts := strings.SplitN(section, "\n| field of `event` |", 2)
	fields, calls, ok := strings.Cut(parts[len(parts)-1], "\n| function |")
	if len(parts) != 2 || !ok {
		t.Fatal("docs/configuration.md has no section Expressions with its tables")
	}
	for op := range operators {
		if !strings.Contains(parts[0], "`"+op+"`") {
			t.Errorf("operator %s is not documented", op)
		}
	}
	var names []string
	for _, m := range documentedField.FindAllStringSubmatch(fields, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if diff := cmp.Diff(eventNames(), strings.Join(names, ", ")); diff != "" {
		t.Errorf("fields of event (-there are +documented):\n%s", diff)
	}
	for _, op := range []syncline.Op{syncline.OpCreated, syncline.OpUpdated, syncline.OpDeleted, syncline.OpMerged, syncline.OpArchived,
		syncline.OpSnapshot, syncline.OpRepair, syncline.OpTruncated} {
		if !strings.Contains(fields, "`"+op.String()+"`") {
			t.Errorf("event.op %s is not documented", op)
		}
	}
	names = nil
	for line := range strings.Lines(calls) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if len(cells) != 3 || !strings.HasPrefix(cells[0], "`") {
			continue
		}
		for _, m := range documentedFunction.FindAllStringSubmatch(cells[0], -1) {
			names = append(names, m[1])
		}
		example := documentedCode.FindStringSubmatch(cells[2])
		if example == nil {
			t.Errorf("%s has no example", cells[0])
			continue
		}
		if v, err := bind(t, example[1]).Value(event(syncline.OpCreated, nil, row())); err != nil || v.String() != "bool(true)" {
			t.Errorf("%s = %v, %v, want true", example[1], v, err)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(functionNames(), strings.Join(names, ", ")); diff != "" {
		t.Errorf("functions (-there are +documented):\n%s", diff)
	}
}
