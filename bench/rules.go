package main

import (
	"context"
	"strings"
)

// stepped renames two columns, computes two more and asks of each record whether it is wanted. All of them are.
var stepped = rule{"rule", `id: account
    from: source/account
    to: target/account
    conditions: [{field: name, operator: not_equals, value: nobody}]
    transform:
      - rename: {name: customer_name, mail: email}
      - set: {place: 'lower(after.city)'}
      - calculate: {gross: {value: 'after.amount * 1.19', scale: 2}}`,
	strings.NewReplacer("name text", "customer_name text", "mail text", "email text").Replace(strings.TrimSuffix(account.table, ")")) +
		", place text, gross numeric(14,2))", false, ""}

// deciding compares every change with what the target has. It makes the table, so that the table has a column for what the rule
// wrote last.
var deciding = rule{"rule", `id: account
    from: source/account
    to: target/account
    create: true
    conflict: {detect: [version, data], strategy: last_write_wins}`, "", true, ""}

// steps measures what renames, computed fields and a condition cost.
func (b *bench) steps(ctx context.Context) (section, error) {
	return b.againstMirror(ctx, "steps", "with two renames, two computed fields and a condition", stepped)
}

// conflicts measures what it costs to look for conflicts where there are none.
func (b *bench) conflicts(ctx context.Context) (section, error) {
	return b.againstMirror(ctx, "conflicts", "with conflicts of version and data looked for, and none there", deciding)
}

// againstMirror measures how fast a rule works off a backlog of updates of records that the rule itself has copied before.
func (b *bench) againstMirror(ctx context.Context, name, with string, r rule) (section, error) {
	f, err := newRuleField(ctx, b, name, r)
	if err != nil {
		return section{}, err
	}
	l := b.updateLoad()
	trials, err := f.backlog(ctx, l)
	if err != nil {
		return section{}, err
	}
	return throughput(l.what+", "+with,
		"Both lines are Syncline's: a route that mirrors the table, and one with this rule. The records were copied by the same route before. "+
			"From starting the process until the mark written last is seen at the target.",
		l.rows, measured{"mirror", trials[f.base]}, measured{"rule", trials[f.syncline]}), nil
}
