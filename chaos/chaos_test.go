package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == natsCommand {
		os.Exit(serveNATS(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestSameSeedSamePlan(t *testing.T) {
	for seed := range uint64(50) {
		p := makePlan(seed, time.Minute, faultList())
		if diff := cmp.Diff(p, makePlan(seed, time.Minute, faultList())); diff != "" {
			t.Fatalf("seed %d makes two plans:\n%s", seed, diff)
		}
		if diff := cmp.Diff(p, makePlan(seed+1, time.Minute, faultList())); diff == "" {
			t.Errorf("seeds %d and %d make one plan", seed, seed+1)
		}
	}
}

func TestPlans(t *testing.T) {
	chosen := make(map[string]int)
	for seed := range uint64(400) {
		p := makePlan(seed, time.Minute, faultList())
		for i, s := range p.Steps {
			chosen[s.Fault]++
			if i > 0 && s.At < p.Steps[i-1].At || s.At < time.Second || s.At > time.Minute+time.Second {
				t.Errorf("seed %d: step %d begins at %s", seed, i, s.At)
			}
		}
	}
	for _, name := range names(faultList()) {
		if chosen[name] < 20 {
			t.Errorf("fault %s is in %d of the plans of 400 seeds, want more", name, chosen[name])
		}
	}
	if all := names(faultList()); len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		t.Errorf("faults have the same name: %v", all)
	}
}

func TestBadInput(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-seed abc", `invalid value "abc" for flag -seed`},
		{"-seed -1", `invalid value "-1" for flag -seed`},
		{"-time -1s", "-time -1s: want a second or more"},
		{"-time 60", `invalid value "60" for flag -time`},
		{"-faults kill,eclipse", "-faults eclipse: there are kill, "},
		{"-faults kill -seed 1 7", `"7" is not a flag`},
		{"-sed 1", "flag provided but not defined: -sed"},
	} {
		var said bytes.Buffer
		_, err := parse(strings.Fields(tt.args), &said)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || said.Len() > 0 {
			t.Errorf("parse(%s) = %v, and it says %q, want %s", tt.args, err, said.String(), tt.want)
		}
	}
}

// TestWritersWait: what is far behind is not left farther behind.
func TestWritersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(options{}, plan{}, "", t.Output())
		w.writers = &writers{w: w}
		if left := w.left([]ops.RouteStatus{{LagEvents: 1}, {LagEvents: farBehind + 1}}); left != farBehind+2 {
			t.Errorf("left = %d", left)
		}
		began := time.Now()
		time.AfterFunc(time.Minute, func() { w.left([]ops.RouteStatus{{LagEvents: farBehind}}) })
		w.writers.wait(t.Context())
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("writers waited %s, want a minute", took)
		}
	})
}

// TestSmoke has the real program killed and its warehouse crash, once.
func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-seed", "1", "-time", "4s", "-faults", "kill,warehouse-crash"}, &out, t.Output()); err != nil {
		t.Fatalf("run = %v\n%s", err, out.Bytes())
	}
	for _, promise := range promises {
		if !strings.Contains(out.String(), promise) {
			t.Errorf("the report does not say that %s:\n%s", promise, out.Bytes())
		}
	}
}
