// Testreport reads the events of `go test -json` and prints what `go test` prints without it, and the tests that were
// skipped. It exits 1 if a test or a build failed, and, where the environment has CI set, if a test was skipped: what does
// not run proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout, os.Getenv("CI") != "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is what cmd/test2json and cmd/go's build write, one a line.
type event struct {
	Action     string
	Package    string
	Test       string // empty where the event is of the package as a whole
	Output     string
	ImportPath string // of what is built
}

type test struct{ pkg, name string }

// reporter holds back the output of each test until it is known how the test ends: what passes is not shown.
type reporter struct {
	out     io.Writer
	held    map[test][]string
	order   []test // of those in held
	skipped []test
	failed  bool
}

// report reports whether the run is good: nothing failed and, if strict, nothing was skipped.
func report(in io.Reader, out io.Writer, strict bool) (bool, error) {
	r := &reporter{out: out, held: map[test][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	for _, t := range r.order { // a run that was cut off
		r.show(t)
	}
	for _, t := range r.skipped {
		_, _ = fmt.Fprintf(out, "SKIPPED\t%s\t%s\n", t.pkg, t.name)
	}
	if strict && len(r.skipped) > 0 {
		_, _ = fmt.Fprintf(out, "FAIL\ttests skipped in CI: %d\n", len(r.skipped))
		return false, nil
	}
	return !r.failed, nil
}

func (r *reporter) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		_, _ = r.out.Write(line) // a message of the go command itself
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		if e.Test != "" && strings.HasPrefix(e.Output, "=== ") {
			return
		}
		if _, ok := r.held[t]; !ok {
			r.order = append(r.order, t)
		}
		r.held[t] = append(r.held[t], e.Output)
	case "build-output":
		_, _ = io.WriteString(r.out, e.Output)
	case "build-fail":
		r.failed = true
	case "pass":
		if e.Test == "" {
			r.summary(t)
		}
		r.drop(t)
	case "skip":
		if e.Test == "" { // a package without tests
			r.summary(t)
			r.drop(t)
			return
		}
		r.skipped = append(r.skipped, t)
		r.show(t)
	case "fail":
		r.failed = true
		if e.Test == "" { // a crash or a time limit leaves tests without an end
			for _, open := range r.order {
				if open.pkg == e.Package && open.name != "" {
					r.show(open)
				}
			}
		}
		r.show(t)
	}
}

// summary prints the line with which a good package ends.
func (r *reporter) summary(t test) {
	if lines := r.held[t]; len(lines) > 0 {
		_, _ = io.WriteString(r.out, lines[len(lines)-1])
	}
}

func (r *reporter) show(t test) {
	for _, s := range r.held[t] {
		_, _ = io.WriteString(r.out, s)
	}
	r.drop(t)
}

func (r *reporter) drop(t test) { delete(r.held, t) }
