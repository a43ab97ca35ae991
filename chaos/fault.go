package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is something that goes wrong. A new kind is one more value in one of the lists that faultList joins; nothing else knows of it.
type fault struct {
	name string
	// group: no two faults of one group are at work at once.
	group string
	// alone: it begins a round and nothing else is wrong meanwhile, as one after which a person has to do something.
	alone bool
	// weight is how often it is chosen.
	weight int
	// least and most bound how long it lasts, after do has returned.
	least, most time.Duration
	// do begins it and returns what ends it; nil if that is nothing. Details come from the rand, and from nothing else. An error ends the run: the
	// fault could not be injected, or what should have followed did not. What breaks a promise goes to w.watch.fail. What the fault makes the
	// program halt with must be announced with w.watch.expect beforehand, and taken back with w.watch.expected once the way out was gone.
	do func(ctx context.Context, w *world, rnd *rand.Rand) (heal func(context.Context) error, err error)
}

// faultList is every fault, in an order that does not change from run to run.
func faultList() []fault {
	return slices.Concat(processFaults, clockFaults, diskFaults, directoryFaults, takeoverFaults, serverFaults, networkFaults, syncFaults, pauseFaults, lossFaults, spaceFaults)
}

// chosen is the faults with these names; all for none.
func chosen(only []string) []fault {
	list := faultList()
	if len(only) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(f fault) bool { return !slices.Contains(only, f.name) })
}

func names(list []fault) []string {
	var all []string
	for _, f := range list {
		all = append(all, f.name)
	}
	return all
}

// carryOut does the steps of the plan at their times, and returns when all faults have ended.
func (w *world) carryOut(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	byName := make(map[string]fault)
	for _, f := range faultList() {
		byName[f.name] = f
	}
	began := time.Now()
	var late time.Duration // a fault that takes longer than planned moves what comes later
	for i, s := range w.plan.Steps {
		f := byName[s.Fault]
		if i > 0 && (f.alone || byName[w.plan.Steps[i-1].Fault].alone) {
			wg.Wait()
			late = max(late, time.Since(began)-s.At)
		}
		if err := sleep(ctx, s.At+late-time.Since(began)); err != nil || w.watch.over() {
			return err
		}
		if time.Since(began) > w.plan.Time+max(w.plan.Time/4, 20*time.Second) {
			w.log("the plan is cut off: faults took much longer than planned")
			return nil
		}
		wg.Go(func() {
			if err := w.inject(ctx, f, s); err != nil && ctx.Err() == nil {
				w.watch.fail("fault "+f.name, "%v", err)
			}
		})
	}
	wg.Wait()
	return sleep(ctx, w.plan.Time-time.Since(began))
}

// inject does one step from its beginning to its end.
func (w *world) inject(ctx context.Context, f fault, s step) error {
	group := w.group(f.group)
	group.Lock()
	defer group.Unlock()
	w.log("%s begins", f.name)
	heal, err := f.do(ctx, w, rand.New(rand.NewPCG(s.Seed, 1)))
	if err != nil {
		return err
	}
	w.count("faults")
	if err := sleep(ctx, s.Hold); err != nil && heal == nil {
		return err
	}
	if heal != nil {
		// Also where the run ends early: a server that is stopped would never end.
		if err := heal(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	w.log("%s is over", f.name)
	return nil
}

// sleep waits so long.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
