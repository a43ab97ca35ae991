package apply

import (
	"context"
	"testing"

	"syncline"
)

// counted is a log that counts the entries which its readers hand out.
type counted struct {
	syncline.Log
	read int
}

func (c *counted) Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error) {
	r, err := c.Log.Read(ctx, from)
	return &countedReader{r, c}, err
}

type countedReader struct {
	syncline.LogReader
	log *counted
}

func (r *countedReader) Next(ctx context.Context) (syncline.Entry, error) {
	r.log.read++
	return r.LogReader.Next(ctx)
}

// TestARouteThatReadsNoFurtherDoesNotKeepTheOthersApart: those at the end share what is read, wherever the one stands that came first.
func TestARouteThatReadsNoFurtherDoesNotKeepTheOthersApart(t *testing.T) {
	b := newBench(t, nil)
	for i := range int64(20) {
		b.append(created(i, "n", "x"))
	}
	log := &counted{Log: b.log}
	f := NewFeed(log)
	next := func(r *FeedReader, want syncline.Seq) {
		t.Helper()
		if d, err := r.Next(b.ctx); err != nil || d.Seq != want {
			t.Fatalf("Next = %d, %v, want %d", d.Seq, err, want)
		}
	}
	behind, one, other := f.Reader(1), f.Reader(11), f.Reader(11)
	next(behind, 1) // and no further for now
	log.read = 0
	for seq := syncline.Seq(11); seq <= 20; seq++ {
		next(one, seq)
		next(other, seq)
	}
	if log.read != 10 {
		t.Errorf("%d entries were read and decoded for two routes at the end, want each of the 10 once", log.read)
	}
	for seq := syncline.Seq(2); seq <= 20; seq++ { // it goes on, and has caught up where the others' entries are still there
		next(behind, seq)
	}
	if log.read != 19 {
		t.Errorf("%d entries were read in all, want the 9 that only one route needed besides", log.read)
	}
	for _, r := range []*FeedReader{behind, one, other} {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
