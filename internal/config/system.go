package config

import (
	"time"

	"syncline/internal/conflict"
)

// Type is the kind of a system.
type Type string

const (
	TypePostgres Type = "postgres"
	TypeSQLite   Type = "sqlite"
	TypeHTTP     Type = "http"
	TypeRedis    Type = "redis"
	TypeNATSKV   Type = "nats_kv"
	TypeSearch   Type = "search"
	TypeWebhook  Type = "webhook"
)

// types lists what each type can be; it is the order of messages, too.
var types = []struct {
	name           Type
	source, target bool
}{
	{TypePostgres, true, true},
	{TypeSQLite, true, true},
	{TypeHTTP, true, false},
	{TypeRedis, false, true},
	{TypeNATSKV, false, true},
	{TypeSearch, false, true},
	{TypeWebhook, false, true},
}

// laterTypes are known names of systems that this version cannot connect to.
var laterTypes = []Type{"mysql", "mariadb", "kafka", "clickhouse", "mongodb", "elasticsearch", "opensearch", "s3", "duckdb", "nats"}

// CanCapture reports whether a system of the type can be a source.
func (t Type) CanCapture() bool {
	for _, k := range types {
		if k.name == t {
			return k.source
		}
	}
	return false
}

// CanApply reports whether a system of the type can be a target.
func (t Type) CanApply() bool {
	for _, k := range types {
		if k.name == t {
			return k.target
		}
	}
	return false
}

// Events reports whether a target of the type wants every event, rather than the last state of each record.
func (t Type) Events() bool { return t == TypeWebhook }

// SQL reports whether a system of the type has tables.
func (t Type) SQL() bool { return t == TypePostgres || t == TypeSQLite }

// SystemConflict is the default of the conflict sections of rules into a system.
type SystemConflict struct {
	Strategy conflict.Strategy `json:"strategy,omitempty"`
}

// System is an outside system. The one pointer of its type is set; a system of type http whose events are pushed has none.
type System struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Conflict is what rules into the system have in common.
	Conflict SystemConflict `json:"conflict,omitzero"`
	Postgres *Postgres      `json:"postgres,omitempty"`
	SQLite   *SQLite        `json:"sqlite,omitempty"`
	Redis    *Redis         `json:"redis,omitempty"`
	NATSKV   *NATSKV        `json:"nats_kv,omitempty"`
	Search   *Search        `json:"search,omitempty"`
	Webhook  *Webhook       `json:"webhook,omitempty"`
	// Service is set for type http with mode poll.
	Service *Service `json:"service,omitempty"`
	// Capture is set where the system is a source.
	Capture *Capture `json:"capture,omitempty"`
}

// Postgres is a PostgreSQL database.
type Postgres struct {
	// URL is a connection URL or libpq's keywords and values.
	URL Secret `json:"url"`
}

// SQLite is a database file.
type SQLite struct {
	Path string `json:"path"`
}

// Redis is a Redis server.
type Redis struct {
	URL    Secret      `json:"url"`
	Format RedisFormat `json:"format"`
	// Key is the template of the keys: {object} is the rule's object, {key} the record's key, {column} one of the key's
	// columns, {{ and }} are braces. "" = "{object}:{key}".
	Key string `json:"key,omitempty"`
	// TTL is how long a record lives after it was written; 0 = for ever.
	TTL time.Duration `json:"ttl"`
}

// RedisFormat is how a record is stored in Redis.
type RedisFormat string

const (
	RedisJSON RedisFormat = "json"
	RedisHash RedisFormat = "hash"
)

// NATSKV is a key-value bucket of a NATS server.
type NATSKV struct {
	// URL is "embedded" for our own server.
	URL    Secret `json:"url"`
	Bucket string `json:"bucket"`
}

// Embedded reports whether the bucket is kept by our own server.
func (n *NATSKV) Embedded() bool { return n.URL.Reveal() == embedded }

const embedded = "embedded"

// Search is an embedded search index.
type Search struct {
	// Path is the directory of the indexes.
	Path string `json:"path"`
}

// Webhook is an HTTP endpoint that is sent every event.
type Webhook struct {
	URL Secret `json:"url"`
	// Secret signs the requests as in Standard Webhooks; empty = unsigned.
	Secret Secret `json:"secret"`
	// Timeout bounds one request.
	Timeout time.Duration `json:"timeout"`
	// AllowPrivate lets requests go to loopback, private and link-local addresses.
	AllowPrivate bool `json:"allow_private"`
}

// Mode is how changes of a source are got.
type Mode string

const (
	// ModeCDC reads the source's own record of its changes.
	ModeCDC Mode = "cdc"
	// ModePush waits for POST /v1/events.
	ModePush Mode = "push"
	// ModePoll asks the source at times for what has changed.
	ModePoll Mode = "poll"
)

// Capture is what is read from a source, and how.
type Capture struct {
	Mode Mode `json:"mode"`
	// Manage allows us to create what capture needs in the source: slot and publication, or triggers.
	Manage bool `json:"manage"`
	// Slot and Publication are set for PostgreSQL.
	Slot        string `json:"slot,omitempty"`
	Publication string `json:"publication,omitempty"`
	// Heartbeat and WALBudget, likewise: how often an idle source writes a heartbeat at most, and how much WAL the server may hold for it.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	WALBudget *WALBudget    `json:"wal_budget,omitempty"`
	// Initial copies the entities of rules that start full at the first start.
	Initial  bool      `json:"initial"`
	Entities []*Entity `json:"entities"` // in the order of the file
}

// Entity returns the entity of this name, or nil.
func (c *Capture) Entity(name string) *Entity {
	for _, e := range c.Entities {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// Entity is a type of record of a source.
type Entity struct {
	Name string `json:"name"`
	// Table is an SQL identifier with an optional schema as it was written; "" for pushed entities.
	Table string `json:"table,omitempty"`
	// Key are the fields of the identity; empty = as the source says.
	Key []string `json:"key,omitempty"`
	// Version is the field that counts the record's versions; "" = none.
	Version string `json:"version,omitempty"`
	// TypeWhen derives types of events; nil = none.
	TypeWhen *TypeWhen `json:"type_when,omitempty"`
	// Priority is an expression that gives events their priority; "" = none.
	Priority string `json:"priority,omitempty"`
	// Poll is set where the source is polled.
	Poll *Poll `json:"poll,omitempty"`
	// Listing is set where it is polled from an HTTP service.
	Listing *Listing `json:"listing,omitempty"`
}

// TypeWhen are expressions over event, before and after that make archived and merged events of others; "" = none.
type TypeWhen struct {
	Archived string `json:"archived,omitempty"`
	Merged   string `json:"merged,omitempty"`
	// Into are the parts of the surviving record's key, in key order.
	Into []string `json:"into,omitempty"`
}
