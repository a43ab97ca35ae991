package main

import (
	"context"
	"math/rand/v2"
)

// syncFaults are what an operator does that is no fault at all, at moments when something else may be wrong.
var syncFaults = []fault{
	{name: "sync", group: "sync", weight: 5, do: syncAgain},
}

// syncAgain has an entity read again for a route that works, while writers go on: no record that was read may take the place of a newer one. Where
// the program cannot be asked just now, nothing is done.
func syncAgain(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	type what struct{ entity, route string }
	list := []what{{"reg", "reg-cache"}, {"line", "line-bus"}, {"reg", "reg-dw"}, {"line", "line-dw"}}
	if w.plan.Shape.Group {
		list = []what{{"reg", "reg-cache"}, {"line", "line-bus"}, {"reg", "both"}, {"line", "both"}}
	}
	for i := range list {
		list[i].entity = "crm/" + list[i].entity
	}
	list = append(list, what{"crm/deal", "deal-crm"})
	for _, s := range w.sides {
		list = append(list, what{s.name + "/pair", s.route()})
	}
	one := list[rnd.IntN(len(list))]
	if _, err := w.program.command(ctx, "sync", one.entity, "--route", one.route); err == nil {
		w.log("%s is read again for %s", one.entity, one.route)
		w.count("syncs")
	}
	return nil, nil
}
