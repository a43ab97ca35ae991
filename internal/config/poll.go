package config

import "time"

// DefaultEvery is how often a polled entity is asked for what is new.
const DefaultEvery = 5 * time.Minute

// Poll is how a polled entity is asked for what is new.
type Poll struct {
	// Query is read instead of a table; "" = Entity.Table.
	Query Text `json:"query,omitzero"`
	// Watermark are fields that grow with every change, the most significant first. Empty = every poll reads everything.
	Watermark []string `json:"watermark,omitempty"`
	// Overlap is how far behind the watermark is read again; nil = as fits the type of the watermark.
	Overlap *Overlap `json:"overlap,omitempty"`
	// Deleted tells which records are deleted without being gone, Created which are new; nil = none.
	Deleted *Flag `json:"deleted,omitempty"`
	Created *Flag `json:"created,omitempty"`
	// Compare keeps a hash of every record, so that what has not changed is no event.
	Compare bool `json:"compare"`
	// Every is how often it is asked for what is new.
	Every time.Duration `json:"every"`
	// Sweep is how often it is looked for records that are gone: an interval ("1h") or a cron expression; "" = never.
	Sweep string `json:"sweep,omitempty"`
}

// Overlap is a time or, of a watermark that is a number, an amount.
type Overlap struct {
	Time   time.Duration `json:"time,omitempty"`
	Amount int64         `json:"amount,omitempty"`
}

// Flag is a field that says something of its record by its value. Without one it does where it is neither null, false, zero nor empty.
type Flag struct {
	Field string  `json:"field"`
	Value *string `json:"value,omitempty"`
}
