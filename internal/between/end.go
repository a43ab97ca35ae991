package between

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/owner"
)

// Side names one side of the rule: an entity of a system, which is captured there, and the object that it is captured from.
type Side struct {
	System, Entity, Object string
}

func (s Side) String() string { return s.System + "/" + s.Entity }

// end is one side, open for reading and writing. It is used by one goroutine at a time.
type end struct {
	side    int
	object  string
	mapping *Mapping
	target  syncline.Target
	cursor  syncline.Cursor
}

// cursorLog stands where a cursor names its log. The row holds no place: it is there for its epoch, which fences off an owner that was
// replaced, and for waiting until the last write of that one is over.
const cursorLog = "between"

// openEnd takes the side over for a pair that owned it under that epoch, 0 = not yet. What the owner before had on its way to it is over when it
// returns.
func (o *Options) openEnd(ctx context.Context, target syncline.Target, owned uint64) (syncline.Cursor, error) {
	at := syncline.Cursor{Log: cursorLog, Seq: 1, Epoch: 1}
	keeper, keeps := target.(syncline.CursorKeeper)
	if !keeps || !target.Traits().Decides {
		return at, syncline.Errorf(syncline.Fatal, "between_unsupported", "a target that cannot compare and write in one step").
			WithFix("name systems of type postgres or sqlite in `between`")
	}
	held, _, found, err := keeper.Own(ctx, 0)
	if err != nil {
		return at, err
	}
	switch {
	case !found:
		return at, keeper.Place(ctx, at, o.State)
	case owned == 0:
		if held, _, _, err = keeper.Own(ctx, held.Epoch+owner.Stride); err != nil {
			return at, err
		}
	case owner.Replaced(owned, held.Epoch):
		return at, owner.ReplacedError("rule "+o.Route, fmt.Sprintf("%[1]s@%[2]s %[1]s@%[3]s", o.Route, o.Sides[0].System, o.Sides[1].System))
	}
	at.Epoch = held.Epoch
	return at, nil
}

// answer is what becomes of a key at one side.
type answer struct {
	op syncline.ChangeOp // ChangePut, ChangeDelete, 0 = the record stays
	// record is that of a put.
	record []syncline.Value
	// shadow is what the side remembers from now on; keep leaves it as it is.
	shadow *Shadow
	keep   bool
}

// kept leaves everything as it is.
var kept = answer{keep: true}

// ask calls decide for each of the keys with what the side holds, and carries out the answers. Both are one step: what decide was told
// is what the answer is written over. It may be asked again about a key, and its last answer counts. Keys are given by number: key i is
// rows[i]. A key whose answer the side refused, or whose shadow cannot be read, is in the map, with the reason, and nothing of it was
// changed.
func (e *end) ask(ctx context.Context, rows [][]syncline.Value, keys []int, decide func(i int, h Held) answer) (map[int]error, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	unread := make(map[int]error)
	w := &syncline.Write{Cursor: e.cursor, Commit: func(context.Context, syncline.Result) error { return nil }}
	schema := e.mapping.schemas[e.side]
	for _, i := range keys {
		w.Changes = append(w.Changes, syncline.Change{Op: syncline.ChangePut, Object: e.object, Row: syncline.Row{Schema: schema, Values: rows[i]}})
	}
	w.Decide = func(change int, h syncline.Held) (syncline.Decision, error) {
		i := keys[change]
		keep := syncline.Decision{Shadow: slices.Clone(h.Shadow), Outcome: syncline.OutcomeKept}
		if slices.ContainsFunc(h.Values, syncline.Value.IsUnset) {
			return keep, syncline.Errorf(syncline.Transient, "between_table_changed", "the columns of %s have changed", e.object)
		}
		held := Held{Record: slices.Clone(h.Values)}
		delete(unread, i)
		if h.Shadow != nil {
			s, err := decodeShadow(slices.Clone(h.Shadow), e.mapping.names)
			if err != nil {
				unread[i] = syncline.Errorf(syncline.Rejected, "between_shadow", "what is kept beside the record in %s: %w", e.object, err).
					WithFix("let no other rule write the object; remove the key's row from _syncline_shadow there, then retry the task")
				return keep, nil
			}
			held.Shadow = s
		}
		a := decide(i, held)
		if a.keep {
			return keep, nil
		}
		d := syncline.Decision{Op: a.op, Values: a.record}
		if a.shadow != nil {
			d.Shadow = a.shadow.encode(e.mapping.names)
		}
		return d, nil
	}
	res, err := e.target.Apply(ctx, w)
	switch {
	case err == nil:
		for change, why := range res.Rejected {
			unread[keys[change]] = why
		}
		return unread, nil
	case syncline.ClassOf(err) != syncline.Rejected:
		return nil, err
	case len(keys) == 1:
		return map[int]error{keys[0]: whole(err)}, nil
	}
	// Nothing of it happened: the halves are tried, until what is refused stands alone.
	refused, err := e.ask(ctx, rows, keys[:len(keys)/2], decide)
	if err != nil {
		return nil, err
	}
	more, err := e.ask(ctx, rows, keys[len(keys)/2:], decide)
	for i, why := range more {
		if refused == nil {
			refused = make(map[int]error)
		}
		refused[i] = why
	}
	return refused, err
}

// whole is a rejection without the place of the change, which counted in a write of ours.
func whole(err error) error {
	var e *syncline.Error
	if errors.As(err, &e) {
		alone := *e
		alone.Change = -1
		return &alone
	}
	return err
}
