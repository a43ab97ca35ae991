package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"syncline"
)

// Own takes ownership in one script.
func (t *Target) Own(ctx context.Context, atLeast uint64) (syncline.Cursor, string, bool, error) {
	got, err := ownScript.Run(ctx, t.client, []string{t.cursor}, strconv.FormatUint(atLeast, 10)).StringSlice()
	if errors.Is(err, redis.Nil) {
		return syncline.Cursor{}, "", false, nil
	}
	if err != nil {
		return syncline.Cursor{}, "", false, classify(err, "take ownership at Redis")
	}
	c, state, err := parseCursor(got)
	return c, state, err == nil, err
}

// parseCursor reads log, seq, index, epoch and state.
func parseCursor(f []string) (syncline.Cursor, string, error) {
	damaged := func(err error) (syncline.Cursor, string, error) {
		return syncline.Cursor{}, "", syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor at Redis: %w", err).
			WithFix("find out who changed it, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	}
	if len(f) != 5 {
		return damaged(fmt.Errorf("%d fields, not 5", len(f)))
	}
	seq, err1 := strconv.ParseUint(f[1], 10, 64)
	index, err2 := strconv.Atoi(f[2])
	epoch, err3 := strconv.ParseUint(f[3], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return damaged(err)
	}
	return syncline.Cursor{Log: f[0], Seq: syncline.Seq(seq), Index: index, Epoch: epoch}, f[4], nil
}

// Place writes the cursor.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	err := t.client.HSet(ctx, t.cursor, "log", c.Log, "seq", uint64(c.Seq), "index", c.Index, "epoch", c.Epoch, "state", state).Err()
	if err != nil {
		return classify(err, "place the cursor at Redis")
	}
	return nil
}

// move writes the cursor at the end of a Write.
func (t *Target) move(ctx context.Context, c syncline.Cursor) error {
	err := moveScript.Run(ctx, t.client, []string{t.cursor}, c.Epoch, c.Log, uint64(c.Seq), c.Index).Err()
	if err != nil {
		return classify(err, "move the cursor at Redis")
	}
	return nil
}
