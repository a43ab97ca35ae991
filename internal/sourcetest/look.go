package sourcetest

import (
	"fmt"
	"testing"

	"syncline"
)

// testLooks: whatever is committed between two looks, or during one, and wherever the process dies, a look and a sweep that begin after it lead to
// what there is.
func testLooks(t *testing.T, h Harness) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ctx, sys := deadline(t), h.New(t)
			r := record(ctx, t, h, sys, seed)
			app := newApplication(sys, seed, Item, Pair)
			r.begin(ctx, h)
			app.fill(t, 15)
			for round := range 3 {
				var asked []syncline.Run
				for i, kind := range []syncline.RunKind{syncline.RunPoll, syncline.RunSweep} {
					for _, e := range app.entities {
						asked = append(asked, syncline.Run{ID: fmt.Sprintf("asked-%d-%s-%d", round, e, i), Kind: kind, Entity: e, Force: true})
					}
				}
				again := func() {
					for _, run := range asked {
						r.start(run)
					}
				}
				again()
				for n := 0; ; n++ {
					over := true
					for _, run := range asked {
						over = over && r.runEnded(run.Kind, run.Entity, run.ID)
					}
					if over {
						break
					}
					if n < 12 {
						app.transaction(t)
					}
					r.next(ctx)
					if n < 12 && r.rng.IntN(4) == 0 {
						r.crash(ctx)
						again() // as capture does with what the state store has
					}
				}
				r.append()
				r.catchUp(ctx, app)
				r.wantRows(ctx, app.entities)
			}
			r.wantStream(app)
		})
	}
}
