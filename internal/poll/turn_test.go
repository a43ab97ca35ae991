package poll

import "testing"

// TestTurns: nothing that waits is held up by what is asked for as fast as it is done.
func TestTurns(t *testing.T) {
	for name, test := range map[string]struct {
		keys, look, rest bool
		pages            int // of each look
		want             []Work
	}{
		"nothing":          {want: []Work{WorkNone, WorkNone}},
		"keys alone":       {keys: true, want: []Work{WorkKeys, WorkKeys}},
		"looks alone":      {look: true, pages: 2, want: []Work{WorkLook, WorkLook, WorkLook}},
		"keys and rest":    {keys: true, rest: true, want: []Work{WorkKeys, WorkRest, WorkKeys, WorkRest}},
		"keys and looks":   {keys: true, look: true, pages: 2, want: []Work{WorkKeys, WorkLook, WorkKeys, WorkLook, WorkKeys}},
		"looks and rest":   {look: true, rest: true, pages: 3, want: []Work{WorkLook, WorkLook, WorkLook, WorkRest, WorkLook, WorkLook, WorkLook, WorkRest}},
		"everything":       {keys: true, look: true, rest: true, pages: 2, want: []Work{WorkKeys, WorkLook, WorkKeys, WorkLook, WorkKeys, WorkRest, WorkKeys, WorkLook}},
		"one page of look": {keys: true, look: true, rest: true, pages: 1, want: []Work{WorkKeys, WorkLook, WorkKeys, WorkRest, WorkKeys, WorkLook}},
	} {
		var turns Turns
		read := 0
		for i, want := range test.want {
			got := turns.Next(test.keys, test.look, read > 0, test.rest)
			if got != want {
				t.Errorf("%s: step %d is %d, want %d", name, i, got, want)
			}
			if got == WorkLook {
				read = (read + 1) % test.pages
			}
		}
	}
}
