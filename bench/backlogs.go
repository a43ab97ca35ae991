package main

import (
	"context"
	"fmt"
	"strings"
)

// columnShape has this many columns of several types, two or more; 60 are about 700 bytes.
func columnShape(n int) shape {
	var columns, values strings.Builder
	for i := range n - 2 { // beside the key and the score
		switch i % 4 {
		case 0:
			fmt.Fprintf(&columns, ", c%d text", i)
			fmt.Fprintf(&values, ", 'value ' || i || ' of %d'", i)
		case 1:
			fmt.Fprintf(&columns, ", c%d int", i)
			fmt.Fprintf(&values, ", i %% %d", 1000+i)
		case 2:
			fmt.Fprintf(&columns, ", c%d numeric(12,2)", i)
			fmt.Fprintf(&values, ", i %% 100000 * 1.25")
		default:
			fmt.Fprintf(&columns, ", c%d timestamptz", i)
			fmt.Fprintf(&values, ", timestamptz '2026-01-01 00:00:00+00' + i * interval '%d second'", i)
		}
	}
	return shape{"CREATE TABLE account (id int PRIMARY KEY, score int" + columns.String() + ")", "i, 0" + values.String()}
}

// wide measures updates of rows of 60 columns, a fifth as many as of usual rows.
func (b *bench) wide(ctx context.Context) (section, error) {
	s, rows := columnShape(60), max(b.rows/50*10, 100)
	records := max(rows/5, 10)
	return b.againstNative(ctx, "wide", s, load{
		what: fmt.Sprintf("%s single-row updates of rows of 60 columns in transactions of ten, on a table of %s rows", count(rows), count(records)),
		rows: rows, fill: s.insert(1, records),
		write: updateBacklog(rows, "score = score + 1, c2 = c2 + 0.01", spread(records)),
	}, 0)
}

// largeBytes is the size of a large value.
const largeBytes = 64 << 10

// large measures updates of rows with a text of 64 KiB, each of which changes the text; one for a hundred of usual rows. PostgreSQL cannot
// compress the text to nothing: it is hexadecimal digits.
func (b *bench) large(ctx context.Context) (section, error) {
	rows := max(b.rows/1000*10, 100)
	records := max(rows/5, 10)
	text := fmt.Sprintf("(SELECT string_agg(md5(%%s || ' ' || g), '') FROM generate_series(1, %d) g)", largeBytes/32)
	s := shape{"CREATE TABLE account (id int PRIMARY KEY, score int, body text)", "i, 0, " + fmt.Sprintf(text, "i")}
	return b.againstNative(ctx, "large", s, load{
		what: fmt.Sprintf("%s single-row updates of a text of 64 KiB in transactions of ten, on a table of %s rows", count(rows), count(records)),
		rows: rows, fill: s.insert(1, records),
		write: updateBacklog(rows, "score = score + 1, body = "+fmt.Sprintf(text, "n"), spread(records)),
	}, 0)
}

// hotKeys is how many keys nine of ten updates are of.
const hotKeys = 100

// hot measures updates of which nine of ten are of the same hundred keys.
func (b *bench) hot(ctx context.Context) (section, error) {
	l := b.updateLoad()
	records := max(b.rows/5, 10)
	l.name, l.what = "hot keys", fmt.Sprintf("%s single-row updates in transactions of ten, nine of ten on the same %d keys of %s rows", count(b.rows), hotKeys, count(records))
	l.write = updateBacklog(b.rows, "score = score + 1, amount = amount + 0.01, at = clock_timestamp()",
		fmt.Sprintf("CASE WHEN n %% 10 = 0 THEN %s ELSE 1 + n * %d %% %d END", spread(records), stride, min(hotKeys, records)))
	return b.againstNative(ctx, "hot", account, l, 2)
}

// spread is the key of update number n, where all of these keys are as likely.
func spread(records int) string { return fmt.Sprintf("1 + n * %d %% %d", stride, records) }
