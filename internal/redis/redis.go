// Package redis applies changes to a Redis server: one key for each record, as a JSON document or a hash.
//
// Beside the records the target keeps, under keys that begin with _syncline_:
//
//	_syncline_cursor:<route>/<slice>   the cursor (hash)
//	_syncline_guard:<object>           the version of each record, and of deleted ones for a while (hash)
//	_syncline_gone:<object>            when entries of the guard may be forgotten (sorted set)
//	_syncline_shadow:<object>          what the last decision about each record left (hash, see syncline.Decision)
//	_syncline_epochs:<object>          the logs that the versions count in (JSON, see syncline.LogEpochs)
//
// A record and its version change together in one script, which runs only while the cursor carries the caller's owner
// epoch. The cursor follows once all records of a Write and its Commit are done: what a crash in between leaves is repeated
// and changes nothing, because no record goes back behind its version. A server that loses its tail loses the cursor's last
// moves before the records that they follow, or with them.
//
// In a Redis cluster all keys of a target must be in one slot: the key template of every object has the same hash tag,
// written with doubled braces ("{{crm}}:customer:{id}"), which the keys above then carry too.
package redis

import (
	"context"
	_ "embed"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"syncline"
)

// Format is how a record is kept.
type Format string

const (
	// JSON keeps a record as a string with the document of package document.
	JSON Format = "json"
	// Hash keeps a record as a hash with one field for each column that is not null. Bytes are kept as they are.
	Hash Format = "hash"
)

// DefaultTombstone is how long a deleted record's version is kept.
const DefaultTombstone = 24 * time.Hour

// Options describe one slice of one route into a Redis server.
type Options struct {
	// URL is redis://, rediss:// or unix://, with user, password and database number.
	URL string
	// Route and Slice name the cursor.
	Route string
	Slice int
	// Objects are those that differ from the defaults, by name.
	Objects map[string]Object
	// Tombstone is how long a deleted record's version is remembered; it must not be shorter than the log is retained.
	// 0 = DefaultTombstone.
	Tombstone time.Duration
	// Logger is nil for none.
	Logger *slog.Logger
}

// Object is how the records of one object are kept.
type Object struct {
	// Format is JSON by default.
	Format Format
	// KeyTemplate is text with {column} for each column of the record's key, or {key} for all of them ("customer:{id}");
	// {object} is the object's name. Values stand in the canonical form of syncline.Key; {{ and }} are braces.
	// "" = "{object}:{key}".
	KeyTemplate string
	// TTL makes records expire so long after their last change. 0 = never.
	TTL time.Duration
}

// Target is one slice of one route. See syncline.Target for who may call what.
type Target struct {
	client    redis.UniversalClient
	log       *slog.Logger
	objects   map[string]*object
	options   map[string]Object
	tag       string // "{crm}" where the templates have a hash tag, else ""
	cursor    string // the cursor's key
	tombstone time.Duration
}

var (
	_ syncline.Guarded = (*Target)(nil)
	_ syncline.Scanner = (*Target)(nil)
	_ syncline.Current = (*Target)(nil)
	_ syncline.Checker = (*Target)(nil)

	_ syncline.StrayLister = (*Target)(nil)
)

//go:embed write.lua
var writeSource string

//go:embed decide.lua
var decideSource string

//go:embed truncate.lua
var truncateSource string

//go:embed move.lua
var moveSource string

//go:embed own.lua
var ownSource string

//go:embed epochs.lua
var epochsSource string

var (
	writeScript    = redis.NewScript(writeSource)
	decideScript   = redis.NewScript(decideSource)
	truncateScript = redis.NewScript(truncateSource)
	moveScript     = redis.NewScript(moveSource)
	ownScript      = redis.NewScript(ownSource)
	epochsScript   = redis.NewScript(epochsSource)
)

// Open connects to the server. A server that does not answer is a transient error; options that cannot work are fatal.
func Open(ctx context.Context, o Options) (*Target, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tombstone == 0 {
		o.Tombstone = DefaultTombstone
	}
	t := &Target{log: o.Logger, options: o.Objects, objects: map[string]*object{}, tombstone: o.Tombstone}
	for name := range o.Objects {
		ob, err := t.object(name)
		if err != nil {
			return nil, err
		}
		if t.tag == "" {
			t.tag = ob.template.tag
		} else if ob.template.tag != "" && ob.template.tag != t.tag {
			return nil, syncline.Errorf(syncline.Fatal, "redis_key_template", "the key templates of one target have different hash tags").
				WithFix("use one hash tag in all of them")
		}
	}
	for _, ob := range t.objects {
		ob.bind(t.tag)
	}
	t.cursor = "_syncline_cursor:" + t.tag + o.Route + "/" + strconv.Itoa(o.Slice)
	if err := t.connect(ctx, o.URL); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Target) connect(ctx context.Context, rawURL string) error {
	opt, err := redis.ParseURL(rawURL)
	if err != nil {
		return syncline.Errorf(syncline.Fatal, "redis_url", "read the Redis URL: %s", wrong(rawURL)).
			WithFix("write it as redis://user:password@host:6379/0, with / ? # %% and @ in user and password escaped: %%2F %%3F %%23 %%25 %%40")
	}
	opt.MaxRetries = -1 // the apply loop retries
	opt.ContextTimeoutEnabled = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	node := redis.NewClient(opt)
	t.client = node
	info, err := node.Info(ctx, "cluster").Result()
	if err != nil {
		_ = node.Close()
		return classify(err, "connect to Redis")
	}
	if field(info, "cluster_enabled") != "1" {
		return nil
	}
	_ = node.Close()
	if t.tag == "" {
		return syncline.Errorf(syncline.Fatal, "redis_cluster", "the Redis server is part of a cluster, where the keys of one script must share a slot").
			WithFix(`give every object a key template with one hash tag, such as "{{crm}}:customer:{id}"`)
	}
	t.client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{opt.Addr}, Username: opt.Username, Password: opt.Password,
		TLSConfig: opt.TLSConfig, MaxRedirects: 3, ContextTimeoutEnabled: true, MaintNotificationsConfig: opt.MaintNotificationsConfig})
	return nil
}

// wrong says what keeps a URL from being read. The client's own words repeat pieces of it, and the password may have come to stand in any of them.
func wrong(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "a character in it is not escaped"
	}
	switch u.Scheme {
	case "unix":
		if strings.TrimSpace(u.Path) == "" {
			return "it has no path"
		}
	case "redis", "rediss":
		if _, err := strconv.Atoi(strings.Trim(u.Path, "/")); err != nil && strings.Trim(u.Path, "/") != "" {
			return "its path is not the number of a database"
		}
	default:
		return "it begins with none of redis://, rediss:// and unix://"
	}
	return "it has an option that does not exist, or with a value that is none of it"
}

// object returns what is known of the object, making it at its first use.
func (t *Target) object(name string) (*object, error) {
	if ob := t.objects[name]; ob != nil {
		return ob, nil
	}
	ob, err := newObject(name, t.options[name])
	if err != nil {
		return nil, err
	}
	ob.bind(t.tag)
	t.objects[name] = ob
	return ob, nil
}

// Traits says that the target holds the last state of each key.
func (t *Target) Traits() syncline.Traits { return syncline.Traits{Decides: true} }

// Close closes the connections.
func (t *Target) Close() error { return t.client.Close() }

// field returns the value of "name:value" in an answer to INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
