// Package natskv applies changes to a key-value bucket of NATS JetStream: one key for each record, holding the document of
// package document.
//
// A record's key in the bucket is "<object>.<key>", both parts in NATS' alphabet (see encode). Beside the document the
// message carries the header Syncline-Version, the version that nothing may go back behind. A delete is the bucket's own
// delete marker with that header; where the bucket allows a time to live per message, it goes away when the version need
// not be remembered any longer. What the last decision about a record left (syncline.Decision) is in the header Syncline-Shadow,
// with a copy under "_syncline_shadow.<object>.<key>".
//
// Every write names the revision that it replaces, so that version and record are compared and set as one. The cursor is
// the bucket's key "_syncline_cursor.<route>.<slice>" and is written after the records of a Write and its Commit: a bucket
// that loses its tail loses the cursor's last moves before the records that they follow. "_syncline_epochs.<object>" has the
// logs that the versions count in (syncline.LogEpochs).
package natskv

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// DefaultTombstone is how long a deleted record's version is kept.
const DefaultTombstone = 24 * time.Hour

// ackTimeout is how long an acknowledgement of the server is waited for.
const ackTimeout = 10 * time.Second

// Options describe one slice of one route into a bucket.
type Options struct {
	// Conn is a connection that the caller keeps open and closes; nil = connect to URL.
	Conn *nats.Conn
	// URL is nats:// or tls://, with user and password or token.
	URL string
	// Bucket is the bucket's name. It must allow direct reads, as buckets do by default.
	Bucket string
	// Create makes the bucket if it is missing: kept in files, one revision for each key.
	Create bool
	// Route and Slice name the cursor.
	Route string
	Slice int
	// Tombstone is how long a deleted record's version is remembered; it must not be shorter than the log is retained.
	// 0 = DefaultTombstone.
	Tombstone time.Duration
	// Logger is nil for none.
	Logger *slog.Logger
}

// Target is one slice of one route. See syncline.Target for who may call what.
type Target struct {
	conn   *nats.Conn
	own    bool // conn is ours to close
	js     jetstream.JetStream
	log    *slog.Logger
	bucket string
	cursor string // the cursor's subject
	// atomic: the bucket takes batches of messages.
	atomic bool
	// tombstone is the time to live of delete markers; 0 where the bucket does not allow one.
	tombstone time.Duration
}

var (
	_ syncline.Guarded = (*Target)(nil)
	_ syncline.Scanner = (*Target)(nil)
	_ syncline.Current = (*Target)(nil)
	_ syncline.Checker = (*Target)(nil)
)

// Open connects and finds or makes the bucket. A server that does not answer is a transient error; a bucket that is missing
// or cannot be used is fatal.
func Open(ctx context.Context, o Options) (*Target, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tombstone == 0 {
		o.Tombstone = DefaultTombstone
	}
	t := &Target{conn: o.Conn, log: o.Logger, bucket: o.Bucket}
	t.cursor = t.subject("_syncline_cursor." + encode(o.Route) + "." + strconv.Itoa(o.Slice))
	if t.conn == nil {
		var err error
		if t.conn, err = nats.Connect(o.URL, nats.Name("syncline"), nats.MaxReconnects(-1)); err != nil {
			return nil, connectError(err)
		}
		t.own = true
	}
	if err := t.open(ctx, o); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Target) open(ctx context.Context, o Options) error {
	var err error
	if t.js, err = jetstream.New(t.conn, jetstream.WithPublishAsyncMaxPending(2*window), jetstream.WithPublishAsyncTimeout(ackTimeout)); err != nil {
		return classify(err, "use JetStream")
	}
	config, err := t.find(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !o.Create {
			return syncline.Errorf(syncline.Fatal, "object_missing", "the NATS server has no bucket %s", t.bucket).
				WithFix("make it with `nats kv add %s`, or let the rule create it", t.bucket)
		}
		config, err = t.create(ctx)
	}
	if err != nil {
		return classify(err, "open bucket "+t.bucket)
	}
	if !config.AllowDirect {
		return syncline.Errorf(syncline.Fatal, "natskv_direct", "bucket %s does not allow direct reads", t.bucket).
			WithFix("run `nats stream edit %s --allow-direct`", t.stream())
	}
	t.atomic = config.AllowAtomicPublish
	if config.AllowMsgTTL {
		t.tombstone = max(o.Tombstone, time.Second) // the server's least
	}
	return nil
}

func (t *Target) find(ctx context.Context) (jetstream.StreamConfig, error) {
	s, err := t.js.Stream(ctx, t.stream())
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return s.CachedInfo().Config, nil
}

// create makes the stream behind the bucket as NATS' own clients do (ADR-8), and allows besides a time to live per message
// and atomic batches, which the server syncs once for all.
func (t *Target) create(ctx context.Context) (jetstream.StreamConfig, error) {
	s, err := t.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:               t.stream(),
		Subjects:           []string{t.subject(">")},
		MaxMsgsPerSubject:  1,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgSize:         -1,
		MaxConsumers:       -1,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		Duplicates:         2 * time.Minute,
		AllowRollup:        true,
		DenyDelete:         true,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another route was faster
		return t.find(ctx)
	}
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	t.log.Info("bucket created", "bucket", t.bucket)
	return s.CachedInfo().Config, nil
}

func (t *Target) stream() string { return "KV_" + t.bucket }

// subject returns where a key of the bucket is published.
func (t *Target) subject(key string) string { return "$KV." + t.bucket + "." + key }

// Traits says that the target holds the last state of each key.
func (t *Target) Traits() syncline.Traits { return syncline.Traits{Decides: true} }

// Close closes the connection unless it is the caller's.
func (t *Target) Close() error {
	if t.own {
		t.conn.Close()
	}
	return nil
}
