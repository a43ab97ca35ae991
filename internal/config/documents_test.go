package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A reader can copy what the documents show: every YAML block, file and step is a valid configuration.

var yamlBlock = regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```$")

func TestYAMLInDocumentsIsValid(t *testing.T) {
	found := 0
	for _, name := range documents(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			found++
			dir := write(t, map[string]string{"syncline.yaml": string(block[1])})
			if _, problems := Load(filepath.Join(dir, "syncline.yaml"), env); problems != nil {
				t.Errorf("%s shows a configuration that is not valid:\n%s\n%v", name, block[1], problems)
			}
		}
	}
	if found == 0 {
		t.Error("no document shows a configuration")
	}
}

func TestExamplesAreValid(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../examples/*.yaml", "../../examples/*.yml", "../../examples/*/*.y*ml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, names...)
	}
	if len(files) < 3 {
		t.Fatalf("there are %d examples", len(files))
	}
	for _, name := range files {
		if _, problems := Load(name, env); problems != nil {
			t.Errorf("%v", problems)
		}
	}
}

var (
	stepRow  = regexp.MustCompile("(?m)^\\| (`[a-z]+`(?:, `[a-z]+`)*) \\| (.*) \\|$")
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

// The steps of docs/configuration.md are valid by themselves, and all that there are.
func TestStepsInDocumentsAreValid(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "### transform\n")
	if !ok {
		t.Fatal("docs/configuration.md has no section on transforms")
	}
	section, _, _ = strings.Cut(section, "\n#") // the keys of single steps are below
	shown := map[string]bool{}
	for _, row := range stepRow.FindAllStringSubmatch(section, -1) {
		for _, kind := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			for _, example := range codeSpan.FindAllStringSubmatch(row[2], -1) {
				if !strings.ContainsAny(example[1][:1], "{['\"") {
					continue // a word of the text
				}
				shown[kind[1]] = true
				text := fmt.Sprintf(stepFrame, kind[1], example[1])
				dir := write(t, map[string]string{"syncline.yaml": text})
				if _, problems := Load(filepath.Join(dir, "syncline.yaml"), env); problems != nil {
					t.Errorf("docs/configuration.md shows a step that is not valid: %s: %s\n%v", kind[1], example[1], problems)
				}
			}
		}
	}
	for _, kind := range []string{"rename", "map", "set", "drop", "keep", "filter", "convert", "flatten", "nest", "default", "calculate", "format",
		"lookup", "mask", "hash", "split", "script", "enrich"} {
		if !shown[kind] {
			t.Errorf("docs/configuration.md shows no example of %s", kind)
		}
	}
}

const stepFrame = `version: 1
systems:
  crm: {type: sqlite, path: crm.db, capture: {entities: {customer: {}}}}
  dw: {type: sqlite, path: dw.db}
rules:
  - id: r
    from: crm/customer
    to: dw/customer
    transform:
      - %s: %s
`

// documents returns the repository's pages.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}
