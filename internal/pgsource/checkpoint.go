package pgsource

import (
	"encoding/json"
	"slices"

	"syncline"
)

// checkpoint is what the log keeps for us beside the position, in every batch. It is small.
type checkpoint struct {
	Format   int      `json:"v"`
	Identity identity `json:"id"`
	// State is stateIntent or stateCreated.
	State string `json:"state"`
	// Entities are those that the stream has covered from the beginning or since a barrier was set for them.
	Entities []string `json:"entities,omitempty"`
	// Tables are the oids of the entities' tables: another table of the same name is another table.
	Tables map[string]uint32 `json:"tables,omitempty"`
	// Published are the ways in which the tables are published (coverage.ways); none where an older version wrote this.
	Published map[string][]string `json:"published,omitempty"`
	// Left are entities that were captured once and left the configuration. Their changes are not in the log from then on.
	Left []string `json:"left,omitempty"`
	// Barriers are for entities that joined later: transactions below this number may have written to the table without being
	// published; a run of the entity must read after they ended.
	Barriers map[string]uint64 `json:"barriers,omitempty"`
	// Runs are going on, in the order in which they are served.
	Runs []*progress `json:"runs,omitempty"`
	// Last is the last transaction of which events are in the log; nil = none yet.
	Last *landmark `json:"last,omitempty"`
	// Finished are the ids of the last runs that ended, oldest first.
	Finished []string `json:"finished,omitempty"`
}

const (
	checkpointFormat = 1
	stateIntent      = "intent"
	stateCreated     = "created"

	// maxFinished bounds the ids of finished runs. One is only needed until whoever asked for the run has read its last chunk.
	maxFinished = 64
	// maxDormant bounds runs of keys that a crash cut and nobody has asked for again.
	maxDormant = 64
)

// identity is what must not change under a log.
type identity struct {
	System   string `json:"system"`
	Timeline string `json:"timeline"`
	// Database is the database's oid.
	Database uint32 `json:"database"`
	Slot     string `json:"slot"`
}

// progress is how far a run has got.
type progress struct {
	Run    string           `json:"run"`
	Kind   syncline.RunKind `json:"kind"`
	Entity string           `json:"entity"`
	Routes []string         `json:"routes,omitempty"`
	Reset  bool             `json:"reset,omitempty"`
	// From leaves out the records up to this key.
	From syncline.Key `json:"from,omitempty"`
	// Chunk is the number of the last chunk that was emitted.
	Chunk uint32 `json:"chunk,omitempty"`
	// Reached is the key of the last row that was read, in PostgreSQL's text; empty = none yet.
	Reached [][]byte `json:"reached,omitempty"`
	// Done is how many keys of a run of keys were read.
	Done int `json:"done,omitempty"`

	// keys are those of a run of keys. They are not stored: whoever wants the run asks again after a crash.
	keys []syncline.Key
	// waiting: the run of keys was asked for since the source was opened.
	waiting bool
	// after is the transaction that has to be over before a snapshot is exported for the run of a keyless table; 0 = not known.
	after uint64
	// waits: the copy of a table without a key comes where the stream will stand later (pin).
	waits bool
	// begun: a chunk was emitted since the source was opened.
	begun bool
}

func (c *checkpoint) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("encode checkpoint: " + err.Error()) // strings and numbers always encode
	}
	return b
}

func decodeCheckpoint(b []byte) (c checkpoint, err error) {
	if err := json.Unmarshal(b, &c); err != nil || c.Format != checkpointFormat || c.State != stateIntent && c.State != stateCreated {
		return c, syncline.Errorf(syncline.Fatal, "checkpoint_unknown", "the log's checkpoint was not written by this version's PostgreSQL source").
			WithFix("use the version of syncline that wrote the log; or `syncline resume --system SYSTEM --accept-gap` goes on behind a gap and has every record read again")
	}
	c.Runs = slices.DeleteFunc(c.Runs, func(p *progress) bool { return p == nil })
	return c, nil
}

// finish moves a run to the finished ones.
func (c *checkpoint) finish(p *progress) {
	c.Runs = slices.DeleteFunc(c.Runs, func(o *progress) bool { return o == p })
	c.Finished = append(c.Finished, p.Run)
	if extra := len(c.Finished) - maxFinished; extra > 0 {
		c.Finished = slices.Delete(c.Finished, 0, extra)
	}
}
