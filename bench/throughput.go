package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// trial is one side's run of one round.
type trial struct {
	took time.Duration
	usage
}

// stride steps through the keys so that neighbours in time are not neighbours in the table, and no key comes twice before all
// others have come once. It is a prime.
const stride = 7919

// load is a backlog that both sides work off, one after the other.
type load struct {
	what  string   // for the report
	fill  string   // what the source has from the beginning
	reset []string // what puts it back to that before a round
	write string   // writes the backlog
}

func (b *bench) updateLoad() load {
	records := max(b.rows/5, 10)
	return load{
		what: fmt.Sprintf("%s single-row updates in transactions of ten, on a table of %s rows", count(b.rows), count(records)),
		fill: fmt.Sprintf("INSERT INTO account SELECT %s FROM generate_series(1, %d) i", record, records),
		write: fmt.Sprintf(`DO $$ DECLARE n bigint := 0; BEGIN
		FOR t IN 1..%d LOOP
			FOR j IN 1..10 LOOP
				UPDATE account SET score = score + 1, amount = amount + 0.01, at = clock_timestamp() WHERE id = 1 + n * %d %% %d;
				n := n + 1;
			END LOOP;
			COMMIT;
		END LOOP;
	END $$`, b.rows/10, stride, records),
	}
}

func (b *bench) insertLoad() load {
	return load{
		what:  fmt.Sprintf("%s single-row inserts in transactions of ten, into an empty table", count(b.rows)),
		reset: []string{"TRUNCATE account", "INSERT INTO account SELECT " + record + " FROM generate_series(0, 0) i"},
		write: insertBacklog(b.rows),
	}
}

// insertBacklog inserts this many records, numbered from 1, in transactions of ten.
func insertBacklog(rows int) string {
	return fmt.Sprintf(`DO $$ DECLARE i int := 0; BEGIN
		FOR t IN 1..%d LOOP
			FOR j IN 1..10 LOOP
				i := i + 1;
				INSERT INTO account SELECT %s;
			END LOOP;
			COMMIT;
		END LOOP;
	END $$`, rows/10, record)
}

// updates measures how fast a backlog of single-row updates is worked off.
func (b *bench) updates(ctx context.Context) (section, error) {
	return b.againstNative(ctx, "updates", b.updateLoad())
}

// inserts measures how fast a backlog of inserts is worked off.
func (b *bench) inserts(ctx context.Context) (section, error) {
	return b.againstNative(ctx, "inserts", b.insertLoad())
}

func (b *bench) againstNative(ctx context.Context, name string, l load) (section, error) {
	f, err := newField(ctx, b, name)
	if err != nil {
		return section{}, err
	}
	base, ours, err := f.backlog(ctx, l)
	if err != nil {
		return section{}, err
	}
	return throughput(l.what, "From enabling the subscription, or starting Syncline's process, until the mark written last is seen at the target.",
		b.rows, measured{"native", base}, measured{"Syncline", ours}), nil
}

// backlog measures rounds of a backlog: both sides level and stopped, the backlog written once, then worked off by one side
// after the other. It drops the field.
func (f *field) backlog(ctx context.Context, l load) (base, ours []trial, err error) {
	defer f.abandon()
	if l.fill != "" {
		if err := execAll(ctx, f.src, l.fill); err != nil {
			return nil, nil, err
		}
	}
	for round := range f.b.rounds {
		if err := execAll(ctx, f.src, l.reset...); err != nil {
			return nil, nil, err
		}
		if err := f.level(ctx); err != nil {
			return nil, nil, err
		}
		if err := f.settle(ctx); err != nil {
			return nil, nil, err
		}
		f.b.say("  round %d: write the backlog", round+1)
		// The writer does not wait for the disk; it is not what is measured.
		if err := execAll(ctx, f.src, "SET synchronous_commit = off", l.write, "SET synchronous_commit = on"); err != nil {
			return nil, nil, err
		}
		if err := f.setMark(ctx); err != nil {
			return nil, nil, err
		}
		for _, s := range f.sides(round) {
			t, err := f.timed(ctx, s, f.marked(s))
			if err != nil {
				return nil, nil, fmt.Errorf("round %d, %s: %w", round+1, s.name(), err)
			}
			f.b.say("  round %d: %-18s %s rows/s", round+1, s.name(), count(int(rate(f.b.rows, t.took))))
			if s == f.base {
				base = append(base, t)
			} else {
				ours = append(ours, t)
			}
		}
	}
	return base, ours, f.drop(ctx)
}

// copies measures the initial copy. Each round has databases of its own.
func (b *bench) copies(ctx context.Context) (section, error) {
	var native, syncline []trial
	for round := range b.rounds {
		f, err := newField(ctx, b, "copy")
		if err != nil {
			return section{}, err
		}
		defer f.abandon()
		if err := execAll(ctx, f.src, fmt.Sprintf("INSERT INTO account SELECT %s FROM generate_series(1, %d) i", record, b.rows-1)); err != nil {
			return section{}, err
		}
		for _, s := range f.sides(round) {
			t, err := f.timed(ctx, s, copied(s, b.rows))
			if err != nil {
				return section{}, fmt.Errorf("round %d, %s: %w", round+1, s.name(), err)
			}
			b.say("  round %d: %-18s %s rows/s", round+1, s.name(), count(int(rate(b.rows, t.took))))
			if s == f.base {
				native = append(native, t)
			} else {
				syncline = append(syncline, t)
			}
		}
		if err := f.drop(ctx); err != nil {
			return section{}, err
		}
	}
	return throughput(fmt.Sprintf("Initial copy of %s rows", count(b.rows)),
		"From CREATE SUBSCRIPTION with copy_data, or Syncline's first start with nothing prepared, until all rows are seen at the target.",
		b.rows, measured{"native", native}, measured{"Syncline", syncline}), nil
}

// copied reports whether all rows are there. They are counted once the last one is. The question is planned each time: a plan made
// for the empty table would read all of it, over and over.
func copied(s side, rows int) func(context.Context) (bool, error) {
	query := fmt.Sprintf("SELECT EXISTS (SELECT FROM account WHERE id = %d) AND (SELECT count(*) FROM account) = %d", rows-1, rows)
	return func(ctx context.Context) (done bool, err error) {
		err = s.copy().QueryRow(ctx, query, pgx.QueryExecModeExec).Scan(&done)
		return done, err
	}
}
