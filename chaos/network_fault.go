package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// networkFaults are what happens between the program and one of its servers, chosen by chance.
var networkFaults = []fault{
	{name: "net-reset", group: "net", weight: 4, least: 100 * time.Millisecond, most: 3 * time.Second,
		do: toxic("reset_peer", func(rnd *rand.Rand) map[string]int { return map[string]int{"timeout": rnd.IntN(500)} })},
	// A connection is cut after so many bytes, somewhere in the middle of a message, a batch or a commit.
	{name: "net-limit", group: "net", weight: 5, least: 500 * time.Millisecond, most: 5 * time.Second,
		do: toxic("limit_data", func(rnd *rand.Rand) map[string]int { return map[string]int{"bytes": 1 << (4 + rnd.IntN(15))} })},
	{name: "net-slices", group: "net", weight: 2, least: time.Second, most: 5 * time.Second,
		do: toxic("slicer", func(rnd *rand.Rand) map[string]int {
			return map[string]int{"average_size": 20 + rnd.IntN(2000), "size_variation": 10, "delay": rnd.IntN(100)}
		})},
	{name: "net-blackhole", group: "net", weight: 4, least: time.Second, most: 9 * time.Second,
		do: toxic("timeout", func(*rand.Rand) map[string]int { return map[string]int{"timeout": 0} })},
	{name: "net-latency", group: "net", weight: 2, least: time.Second, most: 6 * time.Second,
		do: toxic("latency", func(rnd *rand.Rand) map[string]int {
			return map[string]int{"latency": 5 + rnd.IntN(300), "jitter": 5}
		})},
	{name: "net-narrow", group: "net", weight: 2, least: time.Second, most: 6 * time.Second,
		do: toxic("bandwidth", func(rnd *rand.Rand) map[string]int { return map[string]int{"rate": 20 + rnd.IntN(500)} })},
	// The answer to every so manieth COMMIT of a connection is lost with the connection: the writers' at the source, the program's at the warehouse.
	{name: "net-unanswered", group: "net", weight: 4, least: time.Second, most: 5 * time.Second, do: cutCommits(unansweredToxic, "downstream")},
	// The same with the COMMIT itself, which is never done.
	{name: "net-unheard", group: "net", weight: 3, least: time.Second, most: 5 * time.Second, do: cutCommits(unheardToxic, "upstream")},
	{name: "net-refuse", group: "net", weight: 3, least: 500 * time.Millisecond, most: 5 * time.Second, do: refuse},
}

// serverNames are the ways that can be disturbed; that of the writers leads to the source, too, that of the users of a side to the warehouse's server, and that of
// pushed events to the program.
var serverNames = []string{"src", "dst", "cache", "bus", "hook", "writers", "users", "push"}

// targetNames are the targets among them.
var targetNames = []string{"dst", "cache", "bus", "hook"}

// toxic disturbs one server's connections, in one direction or both.
func toxic(kind string, attributes func(*rand.Rand) map[string]int) doFault {
	return func(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
		name := serverNames[rnd.IntN(len(serverNames))]
		streams := [][]string{{"upstream"}, {"downstream"}, {"upstream", "downstream"}}[rnd.IntN(3)]
		a := attributes(rnd)
		w.log("%s: %s %v %v", name, kind, a, streams)
		for _, stream := range streams {
			if err := w.net.disturb(name, kind, stream, a); err != nil {
				return nil, err
			}
		}
		return func(context.Context) error { return w.net.calm(name) }, nil
	}
}

// cutCommits cuts connections just when something is committed.
func cutCommits(kind, stream string) doFault {
	return func(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
		names := [][]string{{"writers"}, {"dst"}, {"writers", "dst", "users"}}[rnd.IntN(3)]
		for _, name := range names {
			if err := w.net.disturb(name, kind, stream, map[string]int{"after": rnd.IntN(6)}); err != nil {
				return nil, err
			}
		}
		w.log("%v: %s", names, kind)
		return func(context.Context) error {
			for _, name := range names {
				if err := w.net.calm(name); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// refuse cuts one server's connections and takes no new ones.
func refuse(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	name := serverNames[rnd.IntN(len(serverNames))]
	w.log("%s: refused", name)
	w.net.refuse(name)
	return func(context.Context) error { return w.net.replace(name) }, nil
}
