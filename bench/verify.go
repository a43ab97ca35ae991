package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
)

// verify measures how long it takes to compare a table with its copy, record by record, where all are equal.
func (b *bench) verify(ctx context.Context) (section, error) {
	s := section{
		title: "Verify",
		how: fmt.Sprintf("A table of %s rows and its copy, both in sync, compared by `syncline verify` in full: every record of the source is looked for at the "+
			"target, and every record of the target among those. The time is the verification's own; the servers' CPU is that of all processes of both.", count(b.rows)),
		head: []string{"", "Syncline"},
	}
	f, err := newField(ctx, b, "verify")
	if err != nil {
		return s, err
	}
	defer f.abandon()
	if err := execAll(ctx, f.src, account.insert(1, b.rows)); err != nil {
		return s, err
	}
	if err := f.level(ctx); err != nil {
		return s, err
	}
	if err := f.settle(ctx); err != nil {
		return s, err
	}
	// The mark of level may arrive before the last rows of the copy do. A verification that does not count waits for them, and is the first to
	// read what was just written; then a fresh process begins, whose memory is the comparison's alone.
	begin := func() error {
		if err := f.syncline.start(ctx); err != nil {
			return err
		}
		return f.syncline.ready(ctx)
	}
	if err := begin(); err != nil {
		return s, err
	}
	if _, err := f.syncline.verified(ctx); err != nil {
		return s, err
	}
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	if err := begin(); err != nil {
		return s, err
	}
	var took, cpu, servers []time.Duration
	for range b.rounds {
		before, err := f.syncline.usage()
		if err != nil {
			return s, err
		}
		serversBefore, err := b.serversCPU()
		if err != nil {
			return s, err
		}
		v, err := f.syncline.verified(ctx)
		if err != nil {
			return s, err
		}
		after, err := f.syncline.usage()
		if err != nil {
			return s, err
		}
		if v.Status != state.VerificationDone || v.Total.Equal != int64(b.rows)+1 || v.Differences != 0 {
			return s, fmt.Errorf("the verification is %s, with %d of %d records equal and %d differences", v.Status, v.Total.Equal, b.rows+1, v.Differences)
		}
		took, cpu = append(took, time.Duration(v.Parts[0].Seconds*float64(time.Second))), append(cpu, after.cpu-before.cpu)
		serversAfter, err := b.serversCPU()
		if err != nil {
			return s, err
		}
		servers = append(servers, serversAfter-serversBefore)
		b.say("  %s, CPU %s, of the servers %s", milliseconds(took[len(took)-1]), milliseconds(cpu[len(cpu)-1]), milliseconds(servers[len(servers)-1]))
	}
	u, err := f.syncline.usage()
	if err != nil {
		return s, err
	}
	perMillion := func(d time.Duration) string {
		return fmt.Sprintf("%.1f s", d.Seconds()*1e6/float64(b.rows))
	}
	s.rows = [][]string{
		{"a million records, by the clock", perMillion(median(took))},
		{"a million records, CPU", perMillion(median(cpu))},
		{"a million records, CPU of both servers", perMillion(median(servers))},
		{"peak memory", mebibytes(u.peak)},
	}
	if err := f.syncline.stop(ctx); err != nil {
		return s, err
	}
	return s, f.drop(ctx)
}

// serversCPU is what both servers have used.
func (b *bench) serversCPU() (time.Duration, error) {
	var sum time.Duration
	for _, s := range []*testserver.Postgres{b.source, b.target} {
		text, err := os.ReadFile(filepath.Join(s.Dir, "data", "postmaster.pid"))
		if err != nil {
			return 0, err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return 0, fmt.Errorf("read the server's process id: %w", err)
		}
		used, err := familyOf(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// verified runs a verification to its end.
func (p *program) verified(ctx context.Context) (ops.Verification, error) {
	v, err := p.api.StartVerification(ctx, ops.VerificationRequest{})
	if err != nil {
		return v, err
	}
	err = wait(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		v, err = p.api.Verification(ctx, v.ID)
		return v.Status != state.VerificationRunning, err
	})
	return v, err
}
