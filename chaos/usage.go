package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// usage is what the process holds.
type usage struct {
	memory      int64 // resident, in bytes
	descriptors int
	goroutines  int
}

func (u usage) String() string {
	return fmt.Sprintf("%d MiB, %d descriptors, %d goroutines", u.memory>>20, u.descriptors, u.goroutines)
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

// usage of the process that runs.
func (w *world) usage(ctx context.Context) (usage, error) {
	pid := w.program.pid()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return usage{}, fmt.Errorf("statm is %q", statm)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return usage{}, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return usage{}, err
	}
	text, err := w.fetch(ctx, "/metrics")
	if err != nil {
		return usage{}, err
	}
	m := goroutines.FindSubmatch(text)
	if m == nil {
		return usage{}, fmt.Errorf("the metrics do not tell of goroutines")
	}
	n, err := strconv.Atoi(string(m[1]))
	return usage{memory: pages * int64(os.Getpagesize()), descriptors: len(open), goroutines: n}, err
}

// worked is the processor time that the process has taken so far, in hundredths of a second.
func (w *world) worked() (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.program.pid()))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind its name
	fields := strings.Fields(rest)
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, fmt.Errorf("stat is %q", stat)
	}
	a, err := strconv.Atoi(fields[user])
	b, err2 := strconv.Atoi(fields[system])
	return a + b, errors.Join(err, err2)
}

// fetch gets something from the API as it is.
func (w *world) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.secrets[len(w.secrets)-1])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	return io.ReadAll(resp.Body)
}
