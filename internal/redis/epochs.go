package redis

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/redis/go-redis/v9"

	"syncline"
)

// maxRounds is how often the epochs are read and written again when another route writes them in between.
const maxRounds = 8

// LogEpoch keeps the object's epochs under a key of their own.
func (t *Target) LogEpoch(ctx context.Context, name, log string, begins bool) (uint8, error) {
	ob, err := t.object(name)
	if err != nil {
		return 0, err
	}
	for range maxRounds {
		was, err := t.client.Get(ctx, ob.epochs).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, classify(err, "read the epochs of "+name+" at Redis")
		}
		epochs := syncline.LogEpochs{}
		if was != "" {
			if err := json.Unmarshal([]byte(was), &epochs); err != nil {
				return 0, syncline.DamagedEpochs(name, err)
			}
		}
		epoch, changed, err := epochs.Enter(name, log, begins)
		if err != nil || !changed {
			return epoch, err
		}
		text, err := json.Marshal(epochs)
		if err != nil {
			return 0, err
		}
		switch done, err := epochsScript.Run(ctx, t.client, []string{ob.epochs}, was, text).Int(); {
		case err != nil:
			return 0, classify(err, "write the epochs of "+name+" at Redis")
		case done == 1:
			return epoch, nil
		}
	}
	return 0, syncline.Errorf(syncline.Transient, "redis_contended", "write the epochs of %s at Redis: somebody else keeps writing them", name)
}
