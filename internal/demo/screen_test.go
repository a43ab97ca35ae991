package demo

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFrames: a frame overwrites the one before, and never wraps or scrolls.
func TestFrames(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: &Terminal{Size: func() (int, int) { return 10, 3 }, Color: true}}
	s.frame([]styled{{"北京北京北京 and more", alarm}})
	s.frame([]styled{{"a", plain}, {"b", plain}, {"does not fit", plain}})
	s.finish()
	want := hideCursor + string(alarm) + "北京北京" + reset + clearLine + "\n" + clearBelow +
		"\r\x1b[1A" + "a" + clearLine + "\n" + "b" + clearLine + "\n" + clearBelow + showCursor + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if got, want := s.colored(strong, "x"), string(strong)+"x"+reset; got != want {
		t.Errorf("colored = %q, want %q", got, want)
	}
}
