package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// teller tells, for each line that it gets, its time and how much went by since it began.
const teller = `package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		now := time.Now()
		fmt.Println(now.UnixNano(), now.Sub(began).Nanoseconds())
	}
}
`

// TestTheClockIsSet sees that a program with the overlay goes by the clock at once, and that what it measures goes on meanwhile.
func TestTheClockIsSet(t *testing.T) {
	folder := t.TempDir()
	list, err := overlay(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	source, binary := filepath.Join(folder, "main.go"), filepath.Join(folder, "teller")
	if err := os.WriteFile(source, []byte(teller), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", binary, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c, err := newClock(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if obeyed, err := c.obeyed(); obeyed || err != nil {
		t.Errorf("before any process, obeyed = %v, %v", obeyed, err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), clockVariable+"="+c.file.Name())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	for _, offset := range []time.Duration{0, 25 * time.Hour, -7*time.Minute - 999*time.Millisecond, -farthest, 0} {
		if err := c.set(offset); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var at, passed int64
		if _, err := fmt.Sscan(line, &at, &passed); err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(0, at).Add(-offset); got.Before(asked.Round(0)) || got.After(time.Now()) {
			t.Errorf("set to differ by %s, the process has %s where it is %s", offset, time.Unix(0, at), asked)
		}
		if most := time.Since(began); passed < 0 || time.Duration(passed) > most {
			t.Errorf("set to differ by %s, the process measures %s where %s went by", offset, time.Duration(passed), most)
		}
	}
	if obeyed, err := c.obeyed(); !obeyed || err != nil {
		t.Errorf("after a process, obeyed = %v, %v", obeyed, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAnotherPackageTime(t *testing.T) {
	if _, err := readClock([]byte("package time\n\nfunc Now() Time { return clock() }\n")); err == nil || !strings.Contains(err.Error(), "leave out the fault clock") {
		t.Errorf("readClock of another source = %v", err)
	}
}
