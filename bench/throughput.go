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

// load is a backlog that all sides work off, one after the other.
type load struct {
	name  string   // of its goal
	what  string   // for the report
	rows  int      // that are written
	fill  string   // what the source has from the beginning
	reset []string // what puts it back to that before a round
	write string   // writes the backlog
}

func (b *bench) updateLoad() load {
	records := max(b.rows/5, 10)
	return load{
		what:  fmt.Sprintf("%s single-row updates in transactions of ten, on a table of %s rows", count(b.rows), count(records)),
		rows:  b.rows,
		fill:  account.insert(1, records),
		write: updateBacklog(b.rows, "score = score + 1, amount = amount + 0.01, at = clock_timestamp()", spread(records)),
	}
}

// updateBacklog updates this many rows in transactions of ten; id is the key of update number n.
func updateBacklog(rows int, set, id string) string {
	return fmt.Sprintf(`DO $$ DECLARE n bigint := 0; BEGIN
		FOR t IN 1..%d LOOP
			FOR j IN 1..10 LOOP
				UPDATE account SET %s WHERE id = %s;
				n := n + 1;
			END LOOP;
			COMMIT;
		END LOOP;
	END $$`, rows/10, set, id)
}

func (b *bench) insertLoad() load {
	l := load{
		name:  "inserts",
		what:  fmt.Sprintf("%s single-row inserts in transactions of ten, into an empty table", count(b.rows)),
		rows:  b.rows,
		reset: []string{"TRUNCATE account", account.insert(0, 0)},
		write: insertBacklog(b.rows),
	}
	// Not every tool knows what to do with TRUNCATE.
	if len(b.peers) > 0 {
		l.what, l.reset = fmt.Sprintf("%s single-row inserts in transactions of ten, after those of the rounds before", count(b.rows)), nil
	}
	return l
}

// insertBacklog inserts this many records, numbered from what is there on, in transactions of ten.
func insertBacklog(rows int) string {
	return fmt.Sprintf(`DO $$ DECLARE i int := (SELECT max(id) FROM account); BEGIN
		FOR t IN 1..%d LOOP
			FOR j IN 1..10 LOOP
				i := i + 1;
				INSERT INTO account SELECT %s;
			END LOOP;
			COMMIT;
		END LOOP;
	END $$`, rows/10, account.record)
}

// untilMarked says what the time of a backlog is.
const untilMarked = "From enabling the subscription, or starting Syncline's process, until the mark written last is seen at the target."

// updates measures how fast a backlog of single-row updates is worked off, and how fast that goes without a log.
func (b *bench) updates(ctx context.Context) (section, error) {
	f, err := newField(ctx, b, "updates")
	if err != nil {
		return section{}, err
	}
	defer f.abandon()
	top, err := newCeiling(ctx, f, account)
	f.more = []side{top}
	if err != nil {
		return section{}, err
	}
	if err := f.addPeers(ctx, account); err != nil {
		return section{}, err
	}
	l := b.updateLoad()
	trials, err := f.backlog(ctx, l)
	if err != nil {
		return section{}, err
	}
	base, ours, without := measured{"native", trials[f.base]}, measured{"Syncline", trials[f.syncline]}, measured{top.name(), trials[top]}
	s := throughput(l.what, untilMarked+" Without a log, the changes are read from a slot, decoded, reduced to the last state of each key of 20,000 and written to the "+
		"target in bulk, on one connection: the ceiling of this way to do it, of which the last line tells how much is kept.", l.rows, base, ours)
	kept := ours.against(without, l.rows)
	s.goals = []goal{atLeast("updates ÷ native replication", 1.3, ours.against(base, l.rows).median), atLeast("updates ÷ ceiling without a log", 0.75, kept.median)}
	s.rows = append(s.rows, without.line(l.rows), without.against(base, l.rows).line("ceiling ÷ native"), kept.line("**Syncline ÷ ceiling**"))
	s.rows = append(s.rows, f.peerLines(trials, l.rows)...)
	return s, nil
}

// inserts measures how fast a backlog of inserts is worked off.
func (b *bench) inserts(ctx context.Context) (section, error) {
	return b.againstNative(ctx, "inserts", account, b.insertLoad(), 1.2)
}

// againstNative measures a backlog, and tells whether Syncline was as many times as fast as native replication as is wanted; 0 = no matter.
func (b *bench) againstNative(ctx context.Context, name string, s shape, l load, wanted float64) (section, error) {
	f, err := newFieldOf(ctx, b, name, s, mirror)
	if err != nil {
		return section{}, err
	}
	defer f.abandon()
	if err := f.addPeers(ctx, s); err != nil {
		return section{}, err
	}
	trials, err := f.backlog(ctx, l)
	if err != nil {
		return section{}, err
	}
	base, ours := measured{"native", trials[f.base]}, measured{"Syncline", trials[f.syncline]}
	report := throughput(l.what, untilMarked, l.rows, base, ours)
	report.rows = append(report.rows, f.peerLines(trials, l.rows)...)
	if wanted > 0 {
		report.goals = []goal{atLeast(l.name+" ÷ native replication", wanted, ours.against(base, l.rows).median)}
	}
	return report, nil
}

// peerLines are those of the other tools, each with how many times as fast native replication and Syncline were.
func (f *field) peerLines(trials map[side][]trial, rows int) [][]string {
	var lines [][]string
	base, ours := measured{trials: trials[f.base]}, measured{trials: trials[f.syncline]}
	for _, p := range f.peers {
		m := measured{p.label, trials[p]}
		lines = append(lines, m.line(rows), base.against(m, rows).line("native ÷ "+p.label), ours.against(m, rows).line("**Syncline ÷ "+p.label+"**"))
	}
	return lines
}

// backlog measures rounds of a backlog: all sides level and stopped, the backlog written once, then worked off by one side
// after the other. It drops the field.
func (f *field) backlog(ctx context.Context, l load) (map[side][]trial, error) {
	defer f.abandon()
	if l.fill != "" {
		if err := execAll(ctx, f.src, l.fill); err != nil {
			return nil, err
		}
	}
	for _, p := range f.peers {
		if err := p.prepare(ctx); err != nil {
			return nil, err
		}
	}
	trials := map[side][]trial{}
	for round := range f.b.rounds {
		if err := execAll(ctx, f.src, l.reset...); err != nil {
			return nil, err
		}
		if err := f.level(ctx); err != nil {
			return nil, err
		}
		if err := f.settle(ctx); err != nil {
			return nil, err
		}
		f.b.say("  round %d: write the backlog", round+1)
		// The writer does not wait for the disk; it is not what is measured.
		if err := execAll(ctx, f.src, "SET synchronous_commit = off", l.write, "SET synchronous_commit = on"); err != nil {
			return nil, err
		}
		if err := f.setMark(ctx); err != nil {
			return nil, err
		}
		for _, s := range f.sides(round) {
			t, err := f.timed(ctx, s, f.marked(s))
			if err != nil {
				return nil, fmt.Errorf("round %d, %s: %w", round+1, s.name(), err)
			}
			f.b.say("  round %d: %-18s %s rows/s", round+1, s.name(), count(int(rate(l.rows, t.took))))
			trials[s] = append(trials[s], t)
		}
	}
	for _, p := range f.peers {
		if err := p.same(ctx); err != nil {
			return nil, err
		}
	}
	return trials, f.drop(ctx)
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
		if err := execAll(ctx, f.src, account.insert(1, b.copyRows-1)); err != nil {
			return section{}, err
		}
		for _, s := range f.sides(round) {
			t, err := f.timed(ctx, s, copied(s, b.copyRows))
			if err != nil {
				return section{}, fmt.Errorf("round %d, %s: %w", round+1, s.name(), err)
			}
			b.say("  round %d: %-18s %s rows/s", round+1, s.name(), count(int(rate(b.copyRows, t.took))))
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
	base, ours := measured{"native", native}, measured{"Syncline", syncline}
	s := throughput(fmt.Sprintf("Initial copy of %s rows", count(b.copyRows)),
		"From CREATE SUBSCRIPTION with copy_data, or Syncline's first start with nothing prepared, until all rows are seen at the target.",
		b.copyRows, base, ours)
	s.goals = []goal{atLeast("initial copy ÷ native replication", 0.6, ours.against(base, b.copyRows).median)}
	return s, nil
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
