package state

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
)

// storeOfChild makes the test binary a process that commits to this store until it is killed.
const storeOfChild = "SYNCLINE_TEST_STATE"

func TestMain(m *testing.M) {
	if path := os.Getenv(storeOfChild); path != "" {
		if err := commitForever(path); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	// A check is a history of some thirty steps; rapid's own number of them takes a minute under the race detector.
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("30"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// commitForever goes on where the store stands and prints the end of each commit after it was confirmed.
func commitForever(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		return err
	}
	r, err := s.Route(ctx, sl)
	if err != nil {
		return err
	}
	for seq := r.Cursor.Seq; ; seq++ {
		c := Commit{Slice: sl, Journal: journal(seq, seq+1, Applied, Parked), Park: []Exception{task(fmt.Sprint(seq), seq, 0, StatusFailed)}}
		if err := s.Commit(ctx, c); err != nil {
			return err
		}
		fmt.Println(seq + 1)
	}
}

func TestKilledProcessLosesNothingConfirmed(t *testing.T) {
	testEnds(t, filepath.Join(t.TempDir(), "state.db"), func(child *exec.Cmd) { must(t, child.Process.Kill()) }, func() {})
}

// testEnds lets a process commit and end, again and again. before is called before the store is looked at.
func testEnds(t *testing.T, path string, end func(*exec.Cmd), before func()) {
	t.Helper()
	s := openAt(t, path)
	place1(t, s, sl)
	must(t, s.Close())
	for kill := range 6 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), storeOfChild+"="+path)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines := bufio.NewScanner(out)
		confirmed, ended := "", false
		for n := 0; lines.Scan(); n++ {
			if text := lines.Text(); !strings.HasPrefix(text, "error") {
				confirmed = text
			} else if !ended {
				t.Fatal(text)
			}
			if n == 20+37*kill {
				end(child)
				ended = true
			}
		}
		_ = child.Wait() // it was killed
		before()
		var last syncline.Seq
		_, err = fmt.Sscan(confirmed, &last)
		must(t, err)

		s := openAt(t, path)
		r, err := s.Route(t.Context(), sl)
		must(t, err)
		if r.Cursor.Seq < last || r.Cursor.Seq > last+1 {
			t.Errorf("cursor after the end = %d, %d was confirmed", r.Cursor.Seq, last)
		}
		done := int64(r.Cursor.Seq - 1)
		c, h, err := s.Totals(t.Context(), sl)
		if err != nil || c != (Counts{Read: 2 * done, Applied: done, Parked: done}) || h.Count() != 2*done {
			t.Errorf("Totals after %d commits = %+v, %v", done, c, err)
		}
		if j, e := countRows(t, s, "journal"), countRows(t, s, "task"); int64(j) != done || int64(e) != done {
			t.Errorf("%d journal rows and %d tasks after %d commits", j, e, done)
		}
		must(t, s.Close())
	}
}
