package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/document"
)

// A script holds up the whole server while it runs, so that a Write is cut into scripts of at most this many rows and about
// this many bytes: a few milliseconds.
const (
	maxScriptRows  = 500
	maxScriptBytes = 1 << 20
)

// Apply writes the records in guarded scripts, pipelined; then calls Commit; then moves the cursor.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if w.Decide != nil {
		return t.applyDecided(ctx, w)
	}
	a := apply{t: t, w: w, res: syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes))}, refused: map[string]bool{}}
	for _, i := range order(w) {
		if err := a.add(ctx, i); err != nil {
			return syncline.Result{}, err
		}
	}
	if err := a.flush(ctx); err != nil {
		return syncline.Result{}, err
	}
	a.hold()
	if err := w.Commit(ctx, a.res); err != nil {
		return syncline.Result{}, err
	}
	return a.res, t.move(ctx, w.Cursor)
}

// order is the sequence in which the changes are taken: their own, or with those of one object together, for a script
// writes one object.
func order(w *syncline.Write) []int {
	list := make([]int, len(w.Changes))
	for i := range list {
		list[i] = i
	}
	if !w.Ordered {
		slices.SortStableFunc(list, func(a, b int) int { return strings.Compare(w.Changes[a].Object, w.Changes[b].Object) })
	}
	return list
}

// apply is the state of one Apply.
type apply struct {
	t   *Target
	w   *syncline.Write
	res syncline.Result
	// keys has the record key of each change that was sent; refused those that were refused before they were sent.
	keys    []string
	refused map[string]bool
	scripts []script
	buf     []byte // documents and keys, referred to by the scripts
}

// script is one call of write.lua in the making.
type script struct {
	object *object
	keys   []string
	args   []any
	bytes  int
	// changes are the indexes of the changes whose rows these are.
	changes []int
}

func (a *apply) add(ctx context.Context, i int) error {
	c := &a.w.Changes[i]
	ob, err := a.t.object(c.Object)
	if err != nil {
		return err
	}
	if a.keys == nil {
		a.keys = make([]string, len(a.w.Changes))
	}
	if c.Op == syncline.ChangeTruncate {
		if err := a.flush(ctx); err != nil {
			return err
		}
		return a.t.truncate(ctx, ob, a.w.Cursor.Epoch, c.Order)
	}
	key, err := ob.appendKey(nil, c.Row)
	if err != nil {
		return err
	}
	a.keys[i] = string(key)
	if a.refused[a.keys[i]] {
		a.res.Outcomes[i] = syncline.OutcomeHeld
		return nil
	}
	switch {
	case c.Op == syncline.ChangePut && c.OldKey == nil && c.Row.Whole():
		if err := ob.check(c.Row); err != nil {
			a.refuse(i, err)
			return nil
		}
		ob.put(a, i, c)
	case c.Op == syncline.ChangeDelete:
		a.script(ob, 0).add(i, a.keys[i], c.Order, -1)
	default:
		return syncline.Errorf(syncline.Fatal, "change_unsupported", "object %s at Redis takes whole records and deletes by key", c.Object)
	}
	return nil
}

func (ob *object) put(a *apply, i int, c *syncline.Change) {
	if ob.format == Hash {
		fields := appendFields(nil, c.Row)
		size := 0
		for _, f := range fields {
			size += len(f.([]byte))
		}
		s := a.script(ob, size)
		s.add(i, a.keys[i], c.Order, len(fields))
		s.args = append(s.args, fields...)
		return
	}
	start := len(a.buf)
	a.buf = document.Append(a.buf, c.Row)
	s := a.script(ob, len(a.buf)-start)
	s.add(i, a.keys[i], c.Order, 1)
	s.args = append(s.args, a.buf[start:len(a.buf):len(a.buf)])
}

// script returns the call that takes the next row of this size.
func (a *apply) script(ob *object, size int) *script {
	if n := len(a.scripts); n > 0 {
		s := &a.scripts[n-1]
		if s.object == ob && len(s.keys) < maxScriptRows+3 && s.bytes+size <= maxScriptBytes {
			s.bytes += size
			return s
		}
	}
	a.scripts = append(a.scripts, script{object: ob, bytes: size,
		keys: []string{a.t.cursor, ob.guard, ob.gone},
		args: []any{a.w.Cursor.Epoch, ob.kind(), ob.ttl.Milliseconds(), a.t.tombstone.Milliseconds()}})
	return &a.scripts[len(a.scripts)-1]
}

func (s *script) add(change int, key string, o syncline.Order, n int) {
	s.changes = append(s.changes, change)
	s.keys = append(s.keys, key)
	s.args = append(s.args, version(o), n)
}

// version is the order in 19 digits: Lua has no integers of 64 bits, but it compares text.
func version(o syncline.Order) string { return fmt.Sprintf("%019d", o.Version()) }

// flush runs the scripts that wait and takes up their answers.
func (a *apply) flush(ctx context.Context) error {
	if len(a.scripts) == 0 {
		return nil
	}
	cmds, err := a.run(ctx, writeScript.EvalSha)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		// The server was restarted or is new to the script. Those that ran already run again: the guard makes that harmless.
		cmds, err = a.run(ctx, writeScript.Eval)
	}
	if err != nil {
		return classify(err, "write to Redis")
	}
	for n, cmd := range cmds {
		s := &a.scripts[n]
		got, err := cmd.Text()
		if err != nil || len(got) != len(s.changes) {
			return syncline.Errorf(syncline.Transient, "redis_error", "write to Redis: an answer for %d rows, not %d", len(got), len(s.changes))
		}
		for j, i := range s.changes {
			switch got[j] {
			case 'w':
				a.refuse(i, wrongType())
			case 's':
				a.res.Outcomes[i] = syncline.OutcomeStale
			}
		}
	}
	a.scripts = a.scripts[:0]
	return nil
}

func (a *apply) run(ctx context.Context, eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(a.scripts))
	_, err := a.t.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range a.scripts {
			cmds[i] = eval(ctx, p, a.scripts[i].keys, a.scripts[i].args...)
		}
		return nil
	})
	return cmds, err
}

func wrongType() error {
	return syncline.Errorf(syncline.Rejected, "redis_wrong_type", "the record's key in Redis holds another type, written by somebody else").
		WithFix("remove that key, or change the key template")
}

func (a *apply) refuse(i int, err error) {
	a.res.Outcomes[i] = syncline.OutcomeRejected
	if a.res.Rejected == nil {
		a.res.Rejected = map[int]error{}
	}
	a.res.Rejected[i] = err
	a.refused[a.keys[i]] = true
}

// hold marks the changes behind a refused one. The server refused those too: nothing of them happened.
func (a *apply) hold() {
	if !a.w.Ordered || len(a.refused) == 0 {
		return
	}
	behind := map[string]bool{}
	for i, key := range a.keys {
		switch {
		case a.w.Changes[i].Op == syncline.ChangeTruncate:
		case behind[key]:
			a.res.Outcomes[i] = syncline.OutcomeHeld
			delete(a.res.Rejected, i)
		case a.res.Outcomes[i] == syncline.OutcomeRejected:
			behind[key] = true
		}
	}
}

// truncate removes the object's records that are not newer. It finds them in the guard: other keys are never touched.
func (t *Target) truncate(ctx context.Context, ob *object, epoch uint64, o syncline.Order) error {
	keys := []string{t.cursor, ob.guard, ob.gone}
	remove := func(rows []string) error {
		if err := truncateScript.Run(ctx, t.client, append(keys[:3:3], rows...), epoch, version(o), "floor").Err(); err != nil {
			return classify(err, "truncate "+ob.name+" at Redis")
		}
		return nil
	}
	if err := remove(nil); err != nil {
		return err
	}
	if err := t.guarded(ctx, ob, func(rows []string, _ []byte) error { return remove(rows) }); err != nil {
		return err
	}
	t.log.Info("object truncated", "object", ob.name)
	return nil
}
