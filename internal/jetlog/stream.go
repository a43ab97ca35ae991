package jetlog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

const (
	streamPrefix  = "SYNCLINE_"
	subjectPrefix = "syncline.log."
	hintPrefix    = "syncline.end."

	// Stream metadata: the log's identity, and the source in its own spelling.
	metaID     = "syncline_log"
	metaSource = "syncline_source"
)

const (
	// maxBatch is the largest encoded batch that fits: the server's files hold records of up to 32 MiB.
	maxBatch = 32<<20 - 4<<10
	// headerRoom is what the headers of an entry take of a server's payload at most.
	headerRoom = 1 << 10
	// minPayload is what a server must take. Batches have about 1 MiB; with less room than this, rows of no unusual size would
	// not fit.
	minPayload = 8 << 20
)

// place returns what the source's log is called at the server: what can be read of its name, and a hash of all of it, for a
// stream is also a directory and a subject token, and sources may be called anything.
func place(source string) string {
	var b strings.Builder
	for _, r := range source {
		if b.Len() == 32 {
			break
		}
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			b.WriteRune(r)
		}
	}
	sum := sha256.Sum256([]byte(source))
	return b.String() + "_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// openStream returns the source's stream, with its quota up to date; it is made if it is missing and the mark does not say
// that there was one.
func (s *Server) openStream(ctx context.Context, source string, m *mark) (*jetstream.StreamInfo, error) {
	name := streamPrefix + place(source)
	stream, err := s.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if m.id != "" {
			return nil, lostError(source, 0, m.end)
		}
		stream, err = s.js.CreateStream(ctx, streamConfig(source, rand.Text(), s.maxBytes.Load()))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made by another process in between
			stream, err = s.js.Stream(ctx, name)
		}
	}
	if err != nil {
		return nil, unavailable("open the log of "+source, err)
	}
	info := stream.CachedInfo()
	if info.Config.Metadata[metaSource] != encodeSource(source) || info.Config.Metadata[metaID] == "" {
		return nil, syncline.Errorf(syncline.Fatal, "log_foreign", "the stream %s is not the log of %s", name, source).
			WithFix("remove or rename that stream")
	}
	if err := intact(source, info.State); err != nil {
		return nil, err
	}
	if end := boundsOf(info.State).Last; m.id != "" && (m.id != info.Config.Metadata[metaID] || m.end > end) {
		return nil, lostError(source, end, m.end)
	}
	if info, err = s.fitQuota(ctx, stream); err != nil {
		return nil, unavailable("set the quota of the log of "+source, err)
	}
	return info, nil
}

// fitQuota gives the stream its quota, and returns how it is then.
func (s *Server) fitQuota(ctx context.Context, stream jetstream.Stream) (*jetstream.StreamInfo, error) {
	info, want := stream.CachedInfo(), quota(s.maxBytes.Load())
	if info.Config.MaxBytes == want {
		return info, nil
	}
	info.Config.MaxBytes = want
	changed, err := s.js.UpdateStream(ctx, info.Config)
	if err != nil {
		return nil, err
	}
	return changed.CachedInfo(), nil
}

func streamConfig(source, id string, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        streamPrefix + place(source),
		Subjects:    []string{subjectPrefix + place(source)},
		Description: "syncline: changes of one source",
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		Replicas:    1,
		MaxMsgs:     -1,
		MaxBytes:    quota(maxBytes),
		MaxMsgSize:  -1,
		Compression: jetstream.NoCompression,
		Duplicates:  100 * time.Millisecond, // the least there is: appends carry no message id
		AllowDirect: true,
		Metadata:    map[string]string{metaID: id, metaSource: encodeSource(source)},
	}
}

func quota(maxBytes int64) int64 {
	if maxBytes <= 0 {
		return -1
	}
	return maxBytes
}

// encodeSource writes a source's name so that JSON keeps it, whatever its bytes. strconv.Unquote reads it.
func encodeSource(source string) string { return strconv.QuoteToASCII(source) }

// intact returns an error where entries are missing between the first and the last, or the last one itself, which no purge
// takes.
func intact(source string, state jetstream.StreamState) error {
	b := boundsOf(state)
	if state.Msgs == 0 && b.Last > 0 {
		return syncline.Errorf(syncline.Fatal, "log_corrupt", "the log of %s has lost its entries up to %d: none is left", source, b.Last).
			WithFix("check the disk; restore the log directory, or move it away to begin new logs with a full sync")
	}
	if state.Msgs != uint64(b.Last+1-b.First) {
		return syncline.Errorf(syncline.Fatal, "log_corrupt", "the log of %s has lost entries between %d and %d: %d of %d are left",
			source, b.First, b.Last, state.Msgs, b.Last+1-b.First).
			WithFix("check the disk; restore the log directory, or move it away to begin new logs with a full sync")
	}
	return nil
}

func lostError(source string, end, known syncline.Seq) error {
	return syncline.Errorf(syncline.Fatal, "log_lost", "the log of %s ends at %d, but it had got to %d", source, end, known).
		WithFix("the disk has lost what it had confirmed: check it; restore the log directory, or move it away to begin new logs with a full sync")
}

func boundsOf(state jetstream.StreamState) syncline.Bounds {
	b := syncline.Bounds{First: syncline.Seq(state.FirstSeq), Last: syncline.Seq(state.LastSeq), Bytes: int64(state.Bytes)}
	if state.Msgs == 0 {
		b.First = b.Last + 1
	}
	return b
}
