package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/document"
)

// maxMoves is how often a record is read and decided about again because somebody else changed it in between.
const maxMoves = 8

// decision is one change of a write with decisions.
type decision struct {
	change int
	key    string
	// raw is what the server holds: the document, or fields and values; nil where there is nothing.
	raw  []any
	held syncline.Held
	// shadow is what the server holds beside it. It is not part of held where the record has expired.
	shadow []byte
	made   syncline.Decision
}

// applyDecided reads records and shadows, asks what becomes of them, and writes each only if it is still what was read.
func (t *Target) applyDecided(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	a := apply{t: t, w: w, res: syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes))}, refused: map[string]bool{},
		keys: make([]string, len(w.Changes))}
	var ob *object
	var some []*decision // of one object, with distinct keys
	waiting := map[string]bool{}
	flush := func() error { // what was gathered
		err := a.decideAll(ctx, ob, some)
		some = nil
		clear(waiting)
		return err
	}
	for _, i := range order(w) {
		c := &w.Changes[i]
		next, err := t.object(c.Object)
		if err != nil {
			return syncline.Result{}, err
		}
		if c.Op == syncline.ChangeTruncate {
			if err := flush(); err != nil {
				return syncline.Result{}, err
			}
			if err := t.forget(ctx, next, w.Cursor.Epoch); err != nil {
				return syncline.Result{}, err
			}
			continue
		}
		key, err := next.appendKey(nil, c.Row)
		if err != nil {
			return syncline.Result{}, err
		}
		a.keys[i] = string(key)
		if next != ob || waiting[a.keys[i]] || len(some) == maxScriptRows {
			if err := flush(); err != nil {
				return syncline.Result{}, err
			}
			ob = next
		}
		some = append(some, &decision{change: i, key: a.keys[i]})
		waiting[a.keys[i]] = true
	}
	if err := flush(); err != nil {
		return syncline.Result{}, err
	}
	a.hold()
	if err := w.Commit(ctx, a.res); err != nil {
		return syncline.Result{}, err
	}
	return a.res, t.move(ctx, w.Cursor)
}

// decideAll carries out decisions about records of one object, until none of them moves any more.
func (a *apply) decideAll(ctx context.Context, ob *object, todo []*decision) error {
	todo = slices.DeleteFunc(todo, func(d *decision) bool {
		if a.refused[d.key] {
			a.res.Outcomes[d.change] = syncline.OutcomeHeld
		}
		return a.refused[d.key]
	})
	for round := 0; len(todo) > 0; round++ {
		if round == maxMoves {
			return syncline.Errorf(syncline.Transient, "target_moves", "write to %s at Redis: others write the same records at the same time, again and again", ob.name)
		}
		if err := a.look(ctx, ob, todo); err != nil {
			return err
		}
		scripts, err := a.judge(ob, todo)
		if err != nil {
			return err
		}
		if todo, err = a.carryOut(ctx, scripts); err != nil {
			return err
		}
	}
	return nil
}

// look reads what the server holds.
func (a *apply) look(ctx context.Context, ob *object, todo []*decision) error {
	p := a.t.client.Pipeline()
	records, shadows, states := make([]redis.Cmder, len(todo)), make([]*redis.StringCmd, len(todo)), make([]*redis.StringCmd, len(todo))
	for n, d := range todo {
		if ob.format == Hash {
			records[n] = p.HGetAll(ctx, d.key)
		} else {
			records[n] = p.Get(ctx, d.key)
		}
		shadows[n] = p.HGet(ctx, ob.shadow, d.key)
		if ob.ttl > 0 {
			states[n] = p.HGet(ctx, ob.guard, d.key)
		}
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for n, d := range todo {
		d.raw, d.held, d.shadow = nil, syncline.Held{}, nil
		if err := a.found(d, records[n]); err != nil {
			return classify(err, "read records of "+ob.name+" at Redis")
		}
		switch shadow, err := shadows[n].Bytes(); {
		case err == nil:
			d.held.Shadow, d.shadow = shadow, shadow
		case !errors.Is(err, redis.Nil):
			return classify(err, "read shadows of "+ob.name+" at Redis")
		}
		if d.raw != nil || ob.ttl == 0 {
			continue
		}
		switch state, err := states[n].Result(); {
		case err == nil && strings.HasPrefix(state, "e"):
			d.held.Shadow = nil // it has lived as long as it was to: nobody removed it
		case err != nil && !errors.Is(err, redis.Nil):
			return classify(err, "read versions of "+ob.name+" at Redis")
		}
	}
	return nil
}

// found takes over a record. One that is none of ours, or of another type, counts as missing.
func (a *apply) found(d *decision, cmd redis.Cmder) error {
	s := a.w.Changes[d.change].Row.Schema
	err := cmd.Err()
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		a.refuse(d.change, wrongType())
		return nil
	case err != nil:
		return err
	}
	switch cmd := cmd.(type) {
	case *redis.StringCmd:
		d.raw = []any{cmd.Val()}
		if values, err := document.Parse(s, []byte(cmd.Val()), syncline.Null); err == nil {
			d.held.Values = values
		}
	case *redis.MapStringStringCmd:
		if len(cmd.Val()) == 0 {
			return nil
		}
		for _, name := range slices.Sorted(maps.Keys(cmd.Val())) {
			d.raw = append(d.raw, name, cmd.Val()[name])
		}
		if values, err := parseFields(s, cmd.Val()); err == nil {
			d.held.Values = values
		}
	}
	return nil
}

// judged is a script with the decisions that it carries out.
type judged struct {
	script
	decisions []*decision
}

// judge asks what becomes of each record, and makes the scripts that do it.
func (a *apply) judge(ob *object, todo []*decision) ([]*judged, error) {
	var scripts []*judged
	for _, d := range todo {
		if a.refused[d.key] {
			continue
		}
		c := &a.w.Changes[d.change]
		var err error
		if d.made, err = a.w.Decide(d.change, d.held); err != nil {
			return nil, err
		}
		args, err := d.arguments(ob, c)
		if err != nil {
			a.refuse(d.change, err)
			continue
		}
		size := 0
		for _, arg := range args {
			if text, ok := arg.([]byte); ok {
				size += len(text)
			}
		}
		if n := len(scripts); n == 0 || scripts[n-1].bytes+size > maxScriptBytes {
			scripts = append(scripts, &judged{script: script{keys: []string{a.t.cursor, ob.guard, ob.gone, ob.shadow},
				args: []any{a.w.Cursor.Epoch, ob.kind(), ob.ttl.Milliseconds(), a.t.tombstone.Milliseconds()}}})
		}
		s := scripts[len(scripts)-1]
		s.bytes += size
		s.keys, s.args, s.decisions = append(s.keys, d.key), append(s.args, args...), append(s.decisions, d)
	}
	return scripts, nil
}

// arguments are those of decide.lua for one row.
func (d *decision) arguments(ob *object, c *syncline.Change) ([]any, error) {
	args := []any{version(c.Order), len(d.raw)}
	if d.raw == nil {
		args[1] = -1
	}
	args = append(append(args, d.raw...), shadowArgument(d.shadow))
	switch d.made.Op {
	case syncline.ChangeDelete:
		args = append(args, -1)
	case syncline.ChangePut:
		row := syncline.Row{Schema: c.Row.Schema, Values: d.whole()}
		if err := ob.check(row); err != nil {
			return nil, err
		}
		record := []any{document.Append(nil, row)}
		if ob.format == Hash {
			record = appendFields(nil, row)
		}
		args = append(append(args, len(record)), record...)
	default:
		args = append(args, -2)
	}
	return append(args, shadowArgument(d.made.Shadow)), nil
}

// whole are the values of a Put, with those that keep what there is.
func (d *decision) whole() []syncline.Value {
	values := slices.Clone(d.made.Values)
	for i := range values {
		switch {
		case !values[i].IsUnset():
		case d.held.Values != nil:
			values[i] = d.held.Values[i]
		default:
			values[i] = syncline.Null
		}
	}
	return values
}

func shadowArgument(shadow []byte) []byte {
	if shadow == nil {
		return []byte{}
	}
	return append([]byte{'s'}, shadow...)
}

// carryOut runs the scripts and returns what somebody else has changed in between.
func (a *apply) carryOut(ctx context.Context, scripts []*judged) (again []*decision, err error) {
	if len(scripts) == 0 {
		return nil, nil
	}
	run := func(eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) ([]*redis.Cmd, error) {
		cmds := make([]*redis.Cmd, len(scripts))
		_, err := a.t.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, s := range scripts {
				cmds[i] = eval(ctx, p, s.keys, s.args...)
			}
			return nil
		})
		return cmds, err
	}
	cmds, err := run(decideScript.EvalSha)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		// What ran already is no longer what was read, and is decided about again.
		cmds, err = run(decideScript.Eval)
	}
	if err != nil {
		return nil, classify(err, "write to Redis")
	}
	for i, s := range scripts {
		got, err := cmds[i].Text()
		if err != nil || len(got) != len(s.decisions) {
			return nil, syncline.Errorf(syncline.Transient, "redis_error", "write to Redis: an answer for %d rows, not %d", len(got), len(s.decisions))
		}
		for j, d := range s.decisions {
			a.res.Outcomes[d.change] = d.made.Outcome
			if got[j] == 'm' {
				again = append(again, d)
			}
		}
	}
	return again, nil
}

// forget removes all records of the object and their shadows.
func (t *Target) forget(ctx context.Context, ob *object, epoch uint64) error {
	keys := []string{t.cursor, ob.guard, ob.gone}
	err := t.guarded(ctx, ob, func(rows []string, _ []byte) error {
		if err := truncateScript.Run(ctx, t.client, append(keys[:3:3], rows...), epoch, "9999999999999999999", "").Err(); err != nil {
			return classify(err, "truncate "+ob.name+" at Redis")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.client.Unlink(ctx, ob.shadow).Err(); err != nil {
		return classify(err, "remove the shadows of "+ob.name+" at Redis")
	}
	t.log.Info("object truncated", "object", ob.name)
	return nil
}
