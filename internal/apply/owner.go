package apply

import (
	"context"

	"syncline"
)

// An owner that was replaced, a machine that hung, may wake up and find its connection gone. It must not take the target back from the process that
// took over meanwhile: who begins in a process raises the owner's epoch by a stride, and who comes back in the same process by one. So the woken one
// sees by the stride that it was replaced, and halts before it writes anything; the other one, whose epoch was raised by one, sees that nobody has
// begun since, and takes the target again.
const stride = 1 << 20

// claim has the route that took ownership go on as the owner, or tells that another process is. It returns the cursor as it stands then.
func (r *Route) claim(ctx context.Context, keeper syncline.CursorKeeper, held syncline.Cursor) (at syncline.Cursor, found bool, err error) {
	switch {
	case r.owned == 0:
		if at, _, found, err = keeper.Own(ctx, held.Epoch+stride); err != nil || !found {
			return at, found, err
		}
	case held.Epoch >= r.owned+stride:
		return held, true, syncline.Errorf(syncline.Fatal, "fenced", "another process has taken route %s over since", r.o.ID).
			WithFix("stop the process that is not to work; then `syncline resume %s` at the other one, if it has halted", r.o.ID)
	default:
		at, found = held, true
	}
	r.owned = at.Epoch
	return at, found, nil
}

// contested reports whether a session ended because somebody else took the target. Where the target holds the route's cursor, whether that one is to
// have it is found out by taking it again.
func contested(err error) bool { return syncline.CodeOf(err) == "fenced" }
