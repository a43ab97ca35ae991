package search

import (
	"context"
	"encoding/json"

	"syncline"
)

// epochsKey is where an index keeps the logs that its versions count in.
var epochsKey = []byte("epochs")

// LogEpoch keeps the epochs in the object's own index, under its lock.
func (t *Target) LogEpoch(_ context.Context, object, log string, begins bool) (uint8, error) {
	ix, err := t.directory.Index(object)
	if err != nil {
		return 0, err
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	data, err := ix.bleve.GetInternal(epochsKey)
	if err != nil {
		return 0, ix.failed("read the epochs of", err)
	}
	epochs := syncline.LogEpochs{}
	if data != nil {
		if err := json.Unmarshal(data, &epochs); err != nil {
			return 0, syncline.DamagedEpochs(object, err)
		}
	}
	epoch, changed, err := epochs.Enter(object, log, begins)
	if err != nil || !changed {
		return epoch, err
	}
	if data, err = json.Marshal(epochs); err != nil {
		return 0, err
	}
	batch := ix.bleve.NewBatch()
	batch.SetInternal(epochsKey, data)
	if err := ix.bleve.Batch(batch); err != nil {
		return 0, ix.failed("write the epochs of", err)
	}
	return epoch, nil
}
