package pgsource

import (
	"net"
	"time"
)

// pacer decides when to let messages gather.
type pacer struct {
	stop chan struct{}
	// queued is how much has arrived and was not read yet; -1 = not known.
	queued func() int
	// eager: messages are never let gather. The buffers of a Unix socket hold a few hundred rows: the server would wait for us.
	eager bool
	since time.Time
	reads int
	bytes int
	pause time.Duration // the next one
	timer *time.Timer
}

func newPacer(conn net.Conn, stop chan struct{}) pacer {
	_, unix := conn.LocalAddr().(*net.UnixAddr)
	return pacer{stop: stop, queued: func() int { return queued(conn) }, eager: unix, since: time.Now(), pause: busyPause}
}

// wait returns when the next read is due, and false where the source was closed meanwhile.
func (p *pacer) wait(n int) bool {
	p.reads++
	p.bytes += n
	if p.eager || p.reads < busyReads && p.bytes < busyBytes {
		return true
	}
	now := time.Now()
	busy := now.Sub(p.since) < busyPause
	heavy := p.bytes >= heavyBytes
	if p.reads, p.bytes, p.since = 0, 0, now; !busy {
		p.pause = busyPause
		return true
	}
	if heavy {
		p.pause = min(2*p.pause, heavyPause)
	} else {
		p.pause = busyPause
	}
	if !p.sleep(busyPause) {
		return false
	}
	for slept, before := busyPause, p.queued(); slept < p.pause; slept += heavyStep {
		if !p.sleep(heavyStep) {
			return false
		}
		now := p.queued()
		if now == before && now > 0 {
			break
		}
		before = now
	}
	p.since = time.Now()
	return true
}

// sleep returns false where the source was closed meanwhile.
func (p *pacer) sleep(d time.Duration) bool {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	select {
	case <-p.timer.C:
		return true
	case <-p.stop:
		p.timer.Stop()
		return false
	}
}
