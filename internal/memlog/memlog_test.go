package memlog

import (
	"fmt"
	"testing"
	"time"

	"syncline"
	"syncline/internal/logtest"
)

// storage is a Store behind the suite's eyes: a restart in memory is a crash, for everything that was answered is synced.
type storage struct{ *Store }

func (s storage) Open(_ *testing.T, source string) syncline.Log { return s.Log(source) }
func (s storage) Restart(*testing.T)                            { s.Store.Crash() }
func (s storage) Crash(*testing.T)                              { s.Store.Crash() }

func TestLog(t *testing.T) {
	logtest.Run(t, func(*testing.T) logtest.Storage { return storage{New(Options{})} })
}

func batch(n int) *syncline.Batch {
	return &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: uint64(n)}}
}

// contents returns the commit positions of the batches that a reader sees.
func contents(t *testing.T, l *Log) []uint64 {
	t.Helper()
	r, err := l.Reader(1)
	if err != nil {
		t.Fatalf("Reader = %v", err)
	}
	var commits []uint64
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatalf("TryNext = %v", err)
		}
		if !ok {
			return commits
		}
		b, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatalf("DecodeBatch = %v", err)
		}
		commits = append(commits, b.Position.Commit)
	}
}

func wantContents(t *testing.T, l *Log, want ...uint64) {
	t.Helper()
	if got := contents(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("log holds %v, want %v", got, want)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault Fault
		code  string
		// seen is what readers see after the fault, crashed what is left by a crash then; repeated and other what the log holds
		// when the next append is of the same batch and of another (which is refused where the first was stored).
		seen, crashed, repeated, other []uint64
	}{
		{"full", FaultFull, "log_full", []uint64{1}, []uint64{1}, []uint64{1, 2}, []uint64{1, 3}},
		{"lost", FaultLost, "log_unanswered", []uint64{1}, []uint64{1}, []uint64{1, 2}, []uint64{1, 3}},
		{"answer lost", FaultAnswerLost, "log_unanswered", []uint64{1, 2}, []uint64{1, 2}, []uint64{1, 2}, []uint64{1, 2}},
		{"unsynced", FaultUnsynced, "log_unanswered", []uint64{1}, []uint64{1}, []uint64{1, 2}, []uint64{1, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			failed := func() (*Store, *Log) {
				s := New(Options{})
				l := s.Log("crm")
				if _, err := l.Append(t.Context(), batch(1)); err != nil {
					t.Fatalf("Append = %v", err)
				}
				l.FailNext(test.fault)
				_, err := l.Append(t.Context(), batch(2))
				if syncline.CodeOf(err) != test.code || syncline.ClassOf(err) != syncline.Transient {
					t.Fatalf("Append = %v, want a transient %s", err, test.code)
				}
				return s, l
			}
			s, l := failed()
			wantContents(t, l, test.seen...)
			s.Crash()
			wantContents(t, s.Log("crm"), test.crashed...)

			for next, want := range map[int][]uint64{2: test.repeated, 3: test.other} {
				_, l := failed()
				seq, err := l.Append(t.Context(), batch(next))
				if moved := uint64(next) != want[len(want)-1]; moved {
					if syncline.CodeOf(err) != "log_moved" {
						t.Errorf("Append(%d) after the fault = %v, want log_moved", next, err)
					}
				} else if err != nil || int(seq) != len(want) {
					t.Errorf("Append(%d) after the fault = %d, %v, want %d", next, seq, err, len(want))
				}
				wantContents(t, l, want...)
			}
		})
	}
}

func TestCrashKillsHandles(t *testing.T) {
	s := New(Options{})
	l := s.Log("crm")
	r, err := l.Reader(1)
	if err != nil {
		t.Fatalf("Reader = %v", err)
	}
	s.Crash()
	if _, err := l.Append(t.Context(), batch(1)); syncline.CodeOf(err) != "log_closed" {
		t.Errorf("Append after a crash = %v, want log_closed", err)
	}
	if _, _, err := r.TryNext(); syncline.CodeOf(err) != "log_closed" {
		t.Errorf("TryNext after a crash = %v, want log_closed", err)
	}
}

func TestCallerOwnsClockAndIdentity(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ids := 0
	s := New(Options{Now: func() time.Time { return now }, NewID: func() string { ids++; return fmt.Sprint("log", ids) }})
	l := s.Log("crm")
	if _, err := l.Append(t.Context(), batch(1)); err != nil {
		t.Fatalf("Append = %v", err)
	}
	r, err := l.Reader(1)
	if err != nil {
		t.Fatalf("Reader = %v", err)
	}
	e, ok, err := r.TryNext()
	if !ok || err != nil || !e.Time.Equal(now) || l.ID() != "log1" {
		t.Errorf("TryNext = time %v, %v, %v in log %q, want %v in log1", e.Time, ok, err, l.ID(), now)
	}
}
