package apply

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
)

// told is a log that may be read while it is written.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *told) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func logTo(l *told) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// TestTheLogTellsOfRefusedRecords: that there are any at once, how many in a line now and then, and never their values.
func TestTheLogTellsOfRefusedRecords(t *testing.T) {
	var log told
	b := newBench(t, func(o *Options) {
		o.Logger, o.Retry = logTo(&log), Retry{Max: 2, Delay: time.Minute}
	})
	const n = 50
	for i := range n {
		b.store.Refuse("dim", syncline.Key(strconv.Itoa(i)))
		b.append(created(int64(i), "王芳", "x"))
		b.mustDrain()
	}
	if got := log.count("records are refused"); got != 1 {
		t.Errorf("the log tells of refused records %d times, want once for all of a moment", got)
	}
	b.now = b.now.Add(tellEvery)
	b.append(created(n, "good", "x"))
	b.mustDrain()
	for _, want := range []string{"records=1 code=refused", "records=" + strconv.Itoa(n-1) + " code=refused"} {
		if log.count(want) != 1 {
			t.Errorf("the log does not say %q:\n%s", want, log.text.String())
		}
	}
	if log.count("records have failed") != 0 {
		t.Error("the log tells of failed records while all are tried again")
	}
	b.now = b.now.Add(time.Minute) // the second attempt is the last
	b.mustDrain()
	b.now = b.now.Add(tellEvery)
	b.append(created(n+1, "good", "x"))
	b.mustDrain()
	for _, want := range []string{"records have failed", "records=" + strconv.Itoa(n) + " code=refused fix="} {
		if log.count(want) == 0 {
			t.Errorf("the log does not say %q:\n%s", want, log.text.String())
		}
	}
	if log.count("王芳") != 0 {
		t.Error("the log shows values")
	}
}

// TestTheLogTellsThatARouteGoesOn: after its target was away, and after an operator resumed it. Why it stopped has its way out.
func TestTheLogTellsThatARouteGoesOn(t *testing.T) {
	for _, test := range []struct {
		err  error
		says []string
	}{
		{syncline.Errorf(syncline.Transient, "connection_lost", "gone"), []string{"target does not answer", "target answers again"}},
		{syncline.Errorf(syncline.Fatal, "permission_denied", "no").WithFix("grant it"), []string{"route stopped", `fix="grant it"`, "route goes on"}},
	} {
		var log told
		b := newBench(t, nil)
		opens := make(chan error, 2) // what Open returns, in this order
		opens <- test.err
		opens <- nil
		b.options.Logger = logTo(&log)
		b.options.Open = func(context.Context) (syncline.Target, error) {
			if err := <-opens; err != nil {
				return nil, err
			}
			return b.store.Open(memtarget.Options{Route: "r"}), nil
		}
		route, err := New(b.options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.ctx)
		ran := make(chan error, 1) // Run's one word
		go func() { ran <- route.Run(ctx, ctx) }()
		for range 2 { // the first may be taken before it works; the second is taken by a session
			if err := route.Resume(b.ctx); err != nil {
				t.Error(err)
			}
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		for _, what := range test.says {
			if log.count(what) != 1 {
				t.Errorf("the log does not say %q once:\n%s", what, log.text.String())
			}
		}
	}
}
