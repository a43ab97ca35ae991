package plant

import (
	"os/exec"
	"strings"
	"testing"
)

// TestEveryBugCompiles builds what the bugs are in with all of them at once: each is a constant of its own.
func TestEveryBugCompiles(t *testing.T) {
	var tags []string
	for _, b := range Bugs {
		tags = append(tags, b.Tag)
	}
	cmd := exec.Command("go", "vet", "-tags", strings.Join(tags, ","), ".", "../apply", "../between", "../capture", "../conflict", "../daemon", "../jetlog", "../pgoutput", "../pgsource", "../pgtarget")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
	on, err := exec.Command("go", "list", "-tags", strings.Join(tags, ","), "-f", "{{join .GoFiles \" \"}}", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, on)
	}
	for _, b := range Bugs {
		if file := strings.TrimPrefix(b.Tag, "plant_") + "_on.go"; !strings.Contains(string(on), file) {
			t.Errorf("tag %s does not bring %s", b.Tag, file)
		}
	}
}

func TestNothingIsPlanted(t *testing.T) {
	if AckBeforeAppend || CursorBeforeRows || DropEvents || SwapEvents || NullForUnchanged || ResumeByChangeLSN || NoFence || NoSync ||
		EchoIsChange || WriteOver || LastHeardWins || SilentGap || NoPriorities {
		t.Error("a build without tags has a planted bug")
	}
}
