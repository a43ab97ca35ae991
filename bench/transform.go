package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// transform measures what each kind of step costs a row, by the benchmarks of the package that has the steps.
func (b *bench) transform(ctx context.Context) (section, error) {
	s := section{
		title: "Steps of a transform",
		how: "One step on a row of eight columns, computed on one core. Renames and the choice of columns are made when the rule is bound to the entity, and not for each row. " +
			"`script` and `enrich` ask outside, for many records at once, and are not here.",
		head: []string{"", "time a row", "memory a row", "allocations"},
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkStep$", "syncline/internal/transform")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("go test: %w\n%s%s", err, out, &stderr)
	}
	s.rows, err = stepRows(out)
	return s, err
}

// stepLine is a line of go test -bench, whose fields are separated by blanks and tabs.
var stepLine = regexp.MustCompile(`(?m)^BenchmarkStep/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+(\d+) B/op\s+(\d+) allocs/op$`)

// stepRows reads the output of the benchmark.
func stepRows(out []byte) ([][]string, error) {
	var rows [][]string
	for _, m := range stepLine.FindAllSubmatch(out, -1) {
		took, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, fmt.Errorf("read a benchmark's time: %w", err)
		}
		rows = append(rows, []string{string(m[1]), fmt.Sprintf("%.0f ns", took), string(m[3]) + " B", string(m[4])})
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no benchmark in %q", out)
	}
	return rows, nil
}
