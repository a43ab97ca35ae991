package pgsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func copied(rows ...string) (messages [][]byte) {
	for i, row := range rows {
		var m []byte
		if i == 0 {
			m = append(append(m, copySignature...), make([]byte, 8)...)
		}
		m = binary.BigEndian.AppendUint32(append(m, 0, 1), uint32(len(row)))
		messages = append(messages, append(m, row...))
	}
	return append(messages, []byte{0xff, 0xff})
}

func newStepWriter() (*stepWriter, *backlog) {
	b := newBacklog(0, 1, nil)
	b.vigil.timer = time.NewTimer(time.Hour)
	return &stepWriter{b: b, header: true}, b
}

func TestStepWriter(t *testing.T) {
	w, b := newStepWriter()
	for _, m := range copied("one", "two") {
		if n, err := w.Write(m); n != len(m) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := w.hand(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for block := <-b.blocks; len(block) > 0; {
		n := 1 + int(binary.BigEndian.Uint32(block[1:]))
		got = append(got, string(block[5+len(dataHead):n]))
		block = block[n:]
	}
	if len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("frames of %q", got)
	}
	for name, m := range map[string][]byte{
		"no header":    copied("one")[0][1:],
		"cut header":   copied("one")[0][:15],
		"other header": append([]byte{'X'}, copied("one")[0][1:]...),
		"two fields":   bytes.Replace(copied("one")[0], []byte{0, 1, 0}, []byte{0, 2, 0}, 1),
		"too short":    copied("one")[0][:22],
		"null":         binary.BigEndian.AppendUint32(append(copied("")[0][:19], 0, 1), 1<<32-1),
		"wrong length": append(copied("one")[0], 'x'),
	} {
		w, _ := newStepWriter()
		if _, err := w.Write(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestNobodyTakesTheBacklog: the server is not kept waiting, with its snapshot, for ever.
func TestNobodyTakesTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newStepWriter()
		for range cap(b.blocks) {
			if err := w.hand(); err != nil {
				t.Fatal(err)
			}
		}
		began, ended := time.Now(), make(chan error)
		go func() { ended <- w.hand() }()
		time.Sleep(stepStall / 2)
		if silent := time.Since(b.heard()); silent != 0 {
			t.Errorf("the server is called silent for %s, and waits for us", silent)
		}
		if err := <-ended; err == nil || time.Since(began) != stepStall {
			t.Errorf("error = %v after %s, want one after %s", err, time.Since(began), stepStall)
		}
		time.Sleep(stepSilence / 2)
		if silent := time.Since(b.heard()); silent != stepSilence/2 {
			t.Errorf("the server is called silent for %s, and we have waited for it for %s", silent, stepSilence/2)
		}
		b.vigil.end()
	})
}

// always is a connection on which something always arrives.
type always struct{ net.Conn }

func (always) Read(p []byte) (int, error) { return len(p), nil }

// TestAVigilThatHasEndedStaysSo, whatever arrives just then: pgx may read in the background while rows are handed out.
func TestAVigilThatHasEndedStaysSo(t *testing.T) {
	_, b := newStepWriter()
	c, err := b.heeds(func(context.Context, string, string) (net.Conn, error) { return always{}, nil })(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		b.vigil.begin()
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = c.Read(make([]byte, 1)) })
		b.vigil.end()
		reading.Wait()
		if b.vigil.since.Load() != 0 || b.vigil.timer.Stop() {
			t.Fatal("it goes on after its end")
		}
	}
}

// TestLargeRowsAreNotGathered: rows of any size may be read ahead, but not many large ones.
func TestLargeRowsAreNotGathered(t *testing.T) {
	for _, size := range []int{1 << 10, 700 << 10, 5 << 20, 30 << 20} {
		synctest.Test(t, func(t *testing.T) {
			w, b := newStepWriter()
			stop, ended := make(chan struct{}), make(chan error)
			w.done, w.header = stop, false
			go func() {
				row := copied("", strings.Repeat("x", size))[1]
				for {
					if _, err := w.Write(row); err != nil {
						ended <- err
						return
					}
				}
			}()
			synctest.Wait() // it can give out nothing more
			close(stop)
			<-ended
			ahead, largest := 0, 0
			for range len(b.blocks) {
				n := len(<-b.blocks)
				ahead, largest = ahead+n, max(largest, n)
			}
			if limit := backlogAhead*slabSize + largest; ahead == 0 || ahead > limit {
				t.Errorf("%d bytes are read ahead of rows of %d, want at most %d", ahead, size, limit)
			}
			b.vigil.end()
		})
	}
}

func FuzzStepWriter(f *testing.F) {
	f.Add(copied("row")[0])
	f.Fuzz(func(t *testing.T, data []byte) {
		w, _ := newStepWriter()
		_, _ = w.Write(data) // no input may panic
	})
}
