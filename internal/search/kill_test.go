package search

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/targettest"
)

// crashDir makes the test binary the process that TestKill kills.
const crashDir = "SYNCLINE_TEST_SEARCH_DIR"

func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
	}
	dir := t.TempDir()
	last := syncline.Seq(0)
	for range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told := make([]byte, 8) // a byte for each write that returned
		for range 3 {
			if _, err := out.Read(told); err != nil {
				t.Fatalf("the writer ended by itself: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed

		func() {
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // reading only
			target, err := OpenTarget(d, Options{Objects: []string{"c"}, Route: "r"})
			if err != nil {
				t.Fatal(err)
			}
			c, _, found, err := target.Own(t.Context(), 0)
			if err != nil || !found || c.Seq <= last {
				t.Fatalf("cursor after a kill = %+v, %v, %v, want it beyond %d", c, found, err, last)
			}
			last = c.Seq
			r := targettest.Rig[*Target]{TB: t, Target: target}
			want := map[string]string{}
			for k := range 30 {
				want[fmt.Sprint(k)] = fmt.Sprint("by ", c.Seq-1)
			}
			if diff := cmp.Diff(want, r.Names("c")); diff != "" {
				t.Errorf("records at cursor %d (-want +got):\n%s", c.Seq, diff)
			}
		}()
	}
}

// writeUntilKilled writes all records anew in each Write, so that the cursor tells what they must be.
func writeUntilKilled(t *testing.T, dir string) {
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	target, err := OpenTarget(d, Options{Objects: []string{"c"}, Route: "r"})
	if err != nil {
		t.Fatal(err)
	}
	r := &targettest.Rig[*Target]{TB: t, Target: target}
	var found bool
	if r.Cursor, _, found, err = target.Own(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if !found {
		r = targettest.NewRig(t, target)
	}
	for {
		var changes []syncline.Change
		for k := range int64(30) {
			changes = append(changes, put("c", k, fmt.Sprint("by ", r.Cursor.Seq), r.Cursor.Seq))
		}
		r.Write(changes...)
		_, _ = os.Stdout.WriteString(".")
	}
}
