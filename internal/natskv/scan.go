package natskv

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"syncline"
	"syncline/internal/document"
)

// each calls fn with what the bucket has under each key of the object, markers included; with headersOnly without the data.
// A key that is written meanwhile may come twice.
func (t *Target) each(ctx context.Context, object string, headersOnly bool, fn func(subject string, s stored) error) error {
	failed := func(err error) error { return classify(err, "list the records of "+object+" in bucket "+t.bucket) }
	consumer, err := t.js.OrderedConsumer(ctx, t.stream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{t.subject(encode(object) + ".>")}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: headersOnly})
	if err != nil {
		return failed(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return failed(err)
	}
	if info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return failed(err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return failed(err)
		}
		md, err := m.Metadata()
		if err != nil {
			return failed(err)
		}
		s := stored{revision: md.Sequence.Stream, data: m.Data()}
		s.header(m.Headers())
		if err := fn(m.Subject(), s); err != nil {
			return err
		}
		if md.NumPending == 0 {
			return nil
		}
	}
}

// Scan lists the object's records. Values that are no documents are passed over: a repair writes them anew.
func (t *Target) Scan(ctx context.Context, object string, s *syncline.Schema, each func(syncline.Row) error) error {
	return t.each(ctx, object, false, func(_ string, st stored) error {
		if !st.live {
			return nil
		}
		values, err := document.Parse(s, st.data, syncline.Null)
		if err != nil {
			return nil //nolint:nilerr // a document that is no record of ours counts as missing
		}
		return each(syncline.Row{Schema: s, Values: values})
	})
}

// Current reads records by key.
func (t *Target) Current(ctx context.Context, object string, s *syncline.Schema, keys []syncline.Row) ([][]syncline.Value, error) {
	out := make([][]syncline.Value, len(keys))
	for at := 0; at < len(keys); at += window {
		var subjects []string
		var of []int // the places of their keys
		for i := at; i < min(at+window, len(keys)); i++ {
			subject, err := t.recordSubject(object, keys[i])
			if syncline.ClassOf(err) == syncline.Rejected { // such a record is never there
				continue
			}
			if err != nil {
				return nil, err
			}
			subjects, of = append(subjects, subject), append(of, i)
		}
		if len(subjects) == 0 {
			continue
		}
		have, err := t.read(ctx, subjects)
		if err != nil {
			return nil, classify(err, "read records of "+object+" in bucket "+t.bucket)
		}
		for i := range have {
			if !have[i].live || have[i].revision == 0 {
				continue
			}
			if values, err := document.Parse(s, have[i].data, syncline.Null); err == nil {
				out[of[i]] = values
			}
		}
	}
	return out, nil
}
