package natskv

import (
	"context"
	"encoding/json"
	"errors"

	"syncline"
)

// LogEpoch keeps the object's epochs under a key of their own, by a write over the revision that was read.
func (t *Target) LogEpoch(ctx context.Context, object, log string, begins bool) (uint8, error) {
	subject := t.subject("_syncline_epochs." + encode(object))
	doing := "the epochs of " + object + " in bucket " + t.bucket
	for range maxRounds {
		s, err := t.readLatest(ctx, subject)
		if err != nil {
			return 0, classify(err, "read "+doing)
		}
		epochs := syncline.LogEpochs{}
		if s.live {
			if err := json.Unmarshal(s.data, &epochs); err != nil {
				return 0, syncline.DamagedEpochs(object, err)
			}
		}
		epoch, changed, err := epochs.Enter(object, log, begins)
		if err != nil || !changed {
			return epoch, err
		}
		data, err := json.Marshal(epochs)
		if err != nil {
			return 0, err
		}
		if err = t.replace(ctx, subject, data, s.revision); err == nil {
			return epoch, nil
		}
		if !errors.Is(err, errConflict) {
			return 0, classify(err, "write "+doing)
		}
	}
	return 0, syncline.Errorf(syncline.Transient, "natskv_contended", "write %s: somebody else keeps writing them", doing)
}
