package testserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCutLosesWhatWasNotSynced: a test that cuts the power shows nothing where the disk keeps everything.
func TestCutLosesWhatWasNotSynced(t *testing.T) {
	d := NewDisk(t, 64<<20)
	write := func(name string, sync bool) {
		f, err := os.Create(filepath.Join(d.Dir, name))
		if err == nil {
			_, err = f.WriteString(name)
		}
		if err == nil && sync {
			err = f.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("synced", true)
	write("settled", false)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	write("written", false)
	user := exec.Command("sleep", "60")
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	if err := d.Cut(user.Process); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "late"), nil, 0o600); err == nil {
		t.Error("a file was made without power")
	}
	_ = user.Process.Kill()
	_ = user.Wait() // it was killed
	if err := d.Restore(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"synced", "settled"} {
		if text, err := os.ReadFile(filepath.Join(d.Dir, name)); err != nil || string(text) != name {
			t.Errorf("what was synced = %q, %v, want %s", text, err, name)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(d.Dir, "written")); len(text) > 0 {
		t.Errorf("what was not synced = %q, want it lost", text)
	}
	if err := errors.Join(d.Cut(nil), d.Restore()); err != nil {
		t.Errorf("cut the power while nobody uses the disk: %v", err)
	}
}

func TestFillAndEmpty(t *testing.T) {
	d := NewDisk(t, 64<<20)
	empty, err := d.Fill(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "more"), make([]byte, 1<<20), 0o600); err == nil {
		t.Error("a full disk took a megabyte")
	}
	if err := empty(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "more"), make([]byte, 1<<20), 0o600); err != nil {
		t.Errorf("after it was emptied: %v", err)
	}
}
