package syncline_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Pages that name the tests which keep a promise.
var pagesWithTests = []string{"docs/reliability.md", "docs/security.md"}

var (
	namedPackage  = regexp.MustCompile("`((?:internal|cmd)/[a-z/]+|bench)`")
	namedTest     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]*`)
	namedCase     = regexp.MustCompile(`"([^"\n]+(?:\n[^"\n]+)?)"`)
	declaredTest  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
	suitePackages = []string{"internal/sourcetest", "internal/targettest", "internal/polltest", "internal/logtest"}
)

// TestEveryTestThatIsNamedExists: a promise whose test was renamed or removed is one that nothing keeps. A test has to be in one of
// the packages that its paragraph names, and a case in quotes that follows the name of a suite in that suite.
func TestEveryTestThatIsNamedExists(t *testing.T) {
	tests, text := readTests(t)
	for _, page := range pagesWithTests {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for paragraph := range strings.SplitSeq(string(content), "\n\n") {
			var packages []string
			for _, p := range namedPackage.FindAllStringSubmatch(paragraph, -1) {
				packages = append(packages, p[1])
			}
			for _, name := range namedTest.FindAllString(paragraph, -1) {
				named++
				if len(tests[name]) == 0 {
					t.Errorf("%s names %s, which does not exist", page, name)
				} else if len(packages) > 0 && !slices.ContainsFunc(packages, func(p string) bool { return slices.Contains(tests[name], p) }) &&
					!slices.Contains(tests[name], ".") {
					t.Errorf("%s names %s in %s, and it is in %s", page, name, strings.Join(packages, ", "), strings.Join(tests[name], ", "))
				}
			}
			for _, suite := range suitePackages {
				_, rest, _ := strings.Cut(paragraph, "`"+suite+"`")
				rest, _, _ = strings.Cut(rest, "`")
				for _, c := range namedCase.FindAllStringSubmatch(rest, -1) {
					beginning, _, _ := strings.Cut(strings.Join(strings.Fields(c[1]), " "), "…")
					if !strings.Contains(text[suite], strings.TrimSpace(beginning)) {
						t.Errorf("%s names the case %q, which %s does not have", page, c[1], suite)
					}
				}
			}
		}
		if named < 10 {
			t.Errorf("%s names %d tests: it is not read as it should be", page, named)
		}
	}
}

// readTests returns the packages of each test, and the source of each package.
func readTests(t *testing.T) (tests map[string][]string, text map[string]string) {
	tests, text = map[string][]string{}, map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			if d != nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		text[dir] += string(source)
		if strings.HasSuffix(path, "_test.go") {
			for _, f := range declaredTest.FindAllStringSubmatch(string(source), -1) {
				tests[f[1]] = append(tests[f[1]], dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, text
}
