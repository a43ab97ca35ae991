package natskv

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// shadows is where copies of shadows are. Whoever else writes a record replaces its message with the header that has the shadow: the record
// would be one that was never decided about, and what they have changed would be written over. So a copy is written after the record, and
// read where the record's message is not ours. A crash in between leaves an older copy, or none: with an older one more counts as changed by
// others, never less.
const shadows = "_syncline_shadow."

// copyOf returns where the copy of a record's shadow is.
func (t *Target) copyOf(subject string) string {
	return t.subject(shadows + strings.TrimPrefix(subject, t.subject("")))
}

// recall fills in what is remembered of the records whose messages are not ours.
func (t *Target) recall(ctx context.Context, subjects []string, have []stored) error {
	var foreign []int
	var copies []string
	for i := range have {
		if have[i].revision > 0 && have[i].version == 0 {
			foreign, copies = append(foreign, i), append(copies, t.copyOf(subjects[i]))
		}
	}
	if len(copies) == 0 {
		return nil
	}
	kept, err := t.read(ctx, copies)
	if err != nil {
		return err
	}
	for n, i := range foreign {
		if kept[n].live && kept[n].revision > 0 {
			have[i].shadow = append([]byte{}, kept[n].data...)
		}
	}
	return nil
}

// remember writes the copies for records that were written.
func (t *Target) remember(ctx context.Context, all []deciding, written []int) error {
	writes, messages := make([]int, 0, len(written)), make([]*nats.Msg, 0, len(written))
	for _, i := range written {
		d := &all[i]
		if d.made.Shadow == nil && !d.known {
			continue
		}
		m := &nats.Msg{Subject: t.copyOf(d.subject), Data: d.made.Shadow, Header: nats.Header{}}
		if d.made.Shadow == nil {
			m.Header[operationHeader] = []string{"DEL"}
		}
		if d.gone && t.tombstone > 0 { // no longer than the record's own marker
			m.Header[jetstream.MsgTTLHeader] = []string{t.tombstone.Round(time.Second).String()}
		}
		writes, messages = append(writes, i), append(messages, m)
	}
	var failed error
	_, err := t.publish(ctx, writes, messages, func(_ int, _ syncline.Outcome, err error) {
		if err != nil {
			failed = err
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// forgetCopies removes the copies of an object's shadows.
func (t *Target) forgetCopies(ctx context.Context, object string) error {
	s, err := t.js.Stream(ctx, t.stream())
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(t.subject(shadows+encode(object)+".>")))
	}
	return err
}
