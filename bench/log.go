package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"syncline"
	"syncline/internal/jetlog"
)

// full is the number of events of a full record batch.
const full = 4000

// log measures what an append, a read and a row of the record batch format cost, in this process.
func (b *bench) log(ctx context.Context) (s section, err error) {
	s = section{
		title: "Log and record batch format",
		how: "Events of 200 bytes in ten columns. An append returns when its record batch is fsynced. A read takes record batches from a log that is longer than what " +
			"is kept in memory, without decoding them. Encode and decode are those of record batches of 4,000 events.",
		head: []string{"", "time", "events/s", "allocations"},
	}
	logs, err := jetlog.Open(ctx, jetlog.Options{Dir: filepath.Join(b.dir, "log")})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	for _, n := range []int{1, 100, 1000, full} {
		b.say("  append %d", n)
		l, err := logs.Log(ctx, fmt.Sprintf("append%d", n))
		if err != nil {
			return s, err
		}
		batch := events(n)
		err = s.measure(fmt.Sprintf("append of %s", count(n)), n, false, func() error {
			_, err := l.Append(ctx, batch)
			return err
		})
		if err != nil {
			return s, err
		}
	}
	b.say("  read")
	if err := s.reads(ctx, logs); err != nil {
		return s, err
	}
	b.say("  encode and decode")
	return s, s.codec()
}

// reads measures reading a log of about 90 MB from its beginning.
func (s *section) reads(ctx context.Context, logs *jetlog.Server) error {
	const entries = 100
	l, err := logs.Log(ctx, "read")
	if err != nil {
		return err
	}
	for batch := events(full); ; {
		last, err := l.Append(ctx, batch)
		if err != nil {
			return err
		}
		if last == entries {
			break
		}
	}
	return s.measure("read", entries*full, true, func() error {
		r, err := l.Read(ctx, 1)
		if err != nil {
			return err
		}
		for range entries {
			if _, err := r.Next(ctx); err != nil {
				return errors.Join(err, r.Close())
			}
		}
		return r.Close()
	})
}

func (s *section) codec() error {
	batch := events(full)
	data, err := syncline.AppendBatch(nil, batch)
	if err != nil {
		return err
	}
	err = s.measure("encode", full, true, func() error {
		_, err := syncline.AppendBatch(make([]byte, 0, len(data)), batch)
		return err
	})
	if err != nil {
		return err
	}
	return s.measure("decode", full, true, func() error {
		_, err := syncline.DecodeBatch(data)
		return err
	})
}

// measure adds the line of an operation on n events. Its time is that of the operation, or perEvent.
func (s *section) measure(what string, n int, perEvent bool, do func() error) error {
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if failed = do(); failed != nil {
				b.FailNow()
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("%s: %w", what, failed)
	}
	took := fmt.Sprintf("%.2f ms", float64(r.NsPerOp())/1e6)
	if perEvent {
		took = fmt.Sprintf("%.0f ns an event", float64(r.NsPerOp())/float64(n))
	}
	s.rows = append(s.rows, []string{what, took, count(int(rate(n, time.Duration(r.NsPerOp())))),
		fmt.Sprintf("%.3f an event", float64(r.MemAllocs)/float64(r.N)/float64(n))})
	return nil
}

// events returns a record batch of n updates, in transactions of ten, of rows like those of the table account.
func events(n int) *syncline.Batch {
	columns := []struct {
		column syncline.Column
		text   string // "" = the row's number
	}{
		{syncline.Column{Name: "id", Kind: syncline.KindInt, Type: "integer"}, ""},
		{syncline.Column{Name: "name", Kind: syncline.KindText, Type: "text"}, "customer 123456"},
		{syncline.Column{Name: "mail", Kind: syncline.KindText, Type: "text", Nullable: true}, "c123456@example.com"},
		{syncline.Column{Name: "city", Kind: syncline.KindText, Type: "text", Nullable: true}, "city of 456"},
		{syncline.Column{Name: "amount", Kind: syncline.KindDecimal, Type: "numeric(12,2)", Nullable: true}, "29320.00"},
		{syncline.Column{Name: "score", Kind: syncline.KindInt, Type: "integer", Nullable: true}, "42"},
		{syncline.Column{Name: "active", Kind: syncline.KindBool, Type: "boolean", Nullable: true}, "true"},
		{syncline.Column{Name: "ref", Kind: syncline.KindUUID, Type: "uuid", Nullable: true}, "e10adc39-49ba-59ab-be56-e057f20f883e"},
		{syncline.Column{Name: "at", Kind: syncline.KindTimestampTZ, Type: "timestamp with time zone", Nullable: true}, "2026-01-02 10:17:36.250001+00"},
		{syncline.Column{Name: "note", Kind: syncline.KindText, Type: "text", Nullable: true},
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"},
	}
	schema := &syncline.Schema{Entity: "account", Table: "public.account", Version: -1, Key: []int{0}}
	for _, c := range columns {
		schema.Columns = append(schema.Columns, c.column)
	}
	b := &syncline.Batch{Source: "bench", Position: syncline.Position{Epoch: 1, Commit: uint64(n)}}
	for i := range n {
		if i%10 == 0 {
			b.Txns = append(b.Txns, syncline.Txn{Commit: uint64(i + 1), XID: uint64(i), Time: time.Unix(1_767_225_600, 0)})
		}
		values := make([]syncline.Value, len(columns))
		for j, c := range columns {
			if c.text == "" {
				values[j] = syncline.Int(int64(i))
			} else {
				values[j] = syncline.Raw(c.column.Kind, []byte(c.text))
			}
		}
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpUpdated, Schema: schema, Txn: len(b.Txns) - 1, Ordinal: uint32(i%10 + 1), After: values})
	}
	return b
}
