package apply

import (
	"context"

	"syncline"
	"syncline/internal/owner"
)

// claim has the route that took ownership go on as the owner, or tells that another process is. It returns the cursor as it stands then.
func (r *Route) claim(ctx context.Context, keeper syncline.CursorKeeper, held syncline.Cursor) (at syncline.Cursor, found bool, err error) {
	switch {
	case r.owned == 0:
		if at, _, found, err = keeper.Own(ctx, held.Epoch+owner.Stride); err != nil || !found {
			return at, found, err
		}
	case owner.Replaced(r.owned, held.Epoch):
		return held, true, owner.ReplacedError("route "+r.o.ID, r.o.ID)
	default:
		at, found = held, true
	}
	r.owned = at.Epoch
	return at, found, nil
}
