package apply

import (
	"context"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/conflict"
)

// Action is what an event of some operation does to a record of a state target.
type Action uint8

const (
	// ActionDefault is hard for deletes and for records that leave the rule, and an update for everything else.
	ActionDefault Action = iota
	// ActionHard removes the record.
	ActionHard
	// ActionUpdate writes the record as it is.
	ActionUpdate
	// ActionIgnore does nothing; the event counts as filtered.
	ActionIgnore
	// ActionSoft leaves the record and notes what became of it, see Marks.
	ActionSoft
)

// Rule is one compiled rule of a route: from one entity to one object of the target.
type Rule struct {
	ID     string
	Entity string
	Object string
	// Bind compiles the rule for rows of one schema. It is pure: the same schema gives an equivalent binding.
	Bind func(*syncline.Schema) (*Binding, error)
	// Deleted, Archived, Merged and Left say what those events do.
	Deleted, Archived, Merged, Left Action
	// Marks is set where one of them is ActionSoft.
	Marks *Marks
	// Conflicts is the rule's conflict section; nil = the target is a mirror.
	Conflicts *conflict.Compiled
	// Judged: the target finds the rule's conflicts by itself (Judge).
	Judged bool
	// Create and Schema are passed to the target's Define.
	Create bool
	Schema syncline.SchemaPolicy
	// Outside: steps need something from outside, so that bindings may have a Prepare.
	Outside bool
}

// Fit binds the rule to rows of the schema. Its error says with a code why they do not fit.
func (r *Rule) Fit(schema *syncline.Schema) (*Binding, error) {
	b, err := r.Bind(schema)
	if err == nil && r.Marks != nil {
		b, err = r.Marks.extend(r.ID, b)
	}
	if err == nil && r.Conflicts != nil && len(b.Out.Key) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "conflict_without_key", "rule %s has a conflict section, and %s has no key to find records by", r.ID, schema.Table).
			WithFix("declare the entity's key, or take the conflict section out")
	}
	if err == nil && r.Conflicts != nil {
		b.Resolver, err = r.Conflicts.Bind(b.Out)
	}
	if err != nil && syncline.CodeOf(err) == "unknown" {
		err = syncline.Errorf(syncline.Fatal, "rule_does_not_fit", "rule %s does not fit the columns of %s: %w", r.ID, schema.Table, err)
	}
	return b, err
}

// Binding is a rule bound to the schema of the rows it will see. A function that needs a column which the source did not send
// returns expression.ErrUnset: the record is then read from the source. A nil function is the identity, so that a mirror costs
// nothing per row.
type Binding struct {
	// Out is the schema of the records that the rule makes.
	Out *syncline.Schema
	// LeftOut are columns that an operator may miss in Out: generated ones, whose values the source does not send.
	LeftOut []string
	// Admits reports whether the rule wants events of this operation and priority, whatever the record; nil wants all. An event
	// that is not admitted says nothing about whether its record belongs to the rule.
	Admits func(*syncline.Event) bool
	// Match reports whether the rule wants the i-th event of a batch; nil wants all.
	Match func(b *syncline.Batch, i int) (bool, error)
	// Unchanged reports whether the i-th event, which Match wants, changes nothing that the rule wants; nil: none is asked.
	Unchanged func(b *syncline.Batch, i int) (bool, error)
	// Row makes the record from the event's After; keep is false where a step filtered it. nil takes After as it is.
	Row func(b *syncline.Batch, i int) (values []syncline.Value, keep bool, err error)
	// Prepare makes the records of many events at once where steps need something from outside: then it takes the place of Row,
	// which is not nil either and says so. nil = nothing is needed. It may block, and is called by one goroutine at a time, beside calls of
	// the other functions. The answers are in the order of the places. An error is nobody's fault among the events: a transient one is
	// tried again for as long as it takes, a fatal one stops the route.
	Prepare func(ctx context.Context, places []Place) ([]Made, error)
	// Outside are the columns of Out whose values are from outside.
	Outside []string
	// Before makes the old record for event targets, as far as it was sent and can be made. nil takes Before as it is.
	Before func(b *syncline.Batch, i int) []syncline.Value
	// Resolver decides about the records that the rule makes; set by Fit where the rule has a conflict section.
	Resolver *conflict.Resolver
	// Split, where a step makes several records of one, makes them of what Row makes. nil = each record is one.
	Split *Split
	// KeyMapping describes how Key makes the target's key: another text for the same source key means other target keys. "" =
	// nothing is compared.
	KeyMapping string
	// SameKey: the parts of the target's key are those of the source's key as they are, whatever they are called.
	SameKey bool
	// Key makes, from a source row that may hold only its key, a record of Out that holds at least its key. nil = as it is.
	Key func(row []syncline.Value) ([]syncline.Value, error)
}

// TargetKey makes the target's key of a source row that has at least its own key; ok is false where the rule makes none of it.
func (b *Binding) TargetKey(row []syncline.Value) (key syncline.Key, ok bool) {
	if b.Key != nil {
		var err error
		if row, err = b.Key(row); err != nil {
			return "", false
		}
	}
	return (syncline.Row{Schema: b.Out, Values: row}).Key()
}

// bound is a rule with the binding of the schema that its rows have now.
type bound struct {
	*Rule
	// epoch is the log's at the rule's object.
	epoch uint8
	// shared: another rule of the route writes the same object.
	shared      bool
	schema      *syncline.Schema
	fingerprint uint64
	binding     *Binding
	// fitted is the schema of the source's rows that the rule's object was last made to fit, before this session too; nil = none is known.
	fitted *syncline.Schema
}

// fits reports whether rows of s can be read with the binding in hand. A schema that is equal replaces the old pointer, so
// that the common case is one comparison.
func (r *bound) fits(s *syncline.Schema) bool {
	if r.schema == s {
		return true
	}
	if r.schema == nil || r.fingerprint != s.Fingerprint() {
		return false
	}
	r.schema = s
	return true
}

// outgrown reports whether the object has a column since that records of the schema know nothing of, and that is not null in them: those
// that were at the target got the default when the column was added.
func (r *bound) outgrown(schema *syncline.Schema) bool {
	return r.Schema == syncline.SchemaEvolve && r.fitted != nil && slices.ContainsFunc(r.fitted.Columns, func(c syncline.Column) bool {
		return c.Default != "" && schema.Index(c.Name) < 0
	})
}

// at returns the rule bound to the schema, which may be older than that of the rows that come now.
func (r *bound) at(schema *syncline.Schema) (*bound, error) {
	if r.fits(schema) {
		return r, nil
	}
	binding, err := r.Fit(schema)
	if err != nil {
		return nil, err
	}
	return &bound{Rule: r.Rule, epoch: r.epoch, shared: r.shared, schema: schema, binding: binding}, nil
}

// rekeys reports whether the target may carry a record over to another key by itself: not where something else has to be thought of.
func (r *bound) rekeys() bool {
	return r.Marks == nil && r.Conflicts == nil && r.binding.Split == nil
}

// key returns the target key of a source row that has at least its own key, in text and as a record of Out.
func (r *bound) key(row []syncline.Value) (syncline.Key, []syncline.Value, error) {
	out := row
	if r.binding.Key != nil {
		var err error
		if out, err = r.binding.Key(row); err != nil {
			return "", nil, fmt.Errorf("rule %s: make the target key: %w", r.ID, err)
		}
	}
	k, ok := (syncline.Row{Schema: r.binding.Out, Values: out}).Key()
	if !ok {
		return "", out, errNoKey
	}
	return k, out, nil
}

// row returns values as a record of Out.
func (r *bound) row(values []syncline.Value) syncline.Row {
	return syncline.Row{Schema: r.binding.Out, Values: values}
}

// Record makes the record that the i-th event leaves at a state target which has no other; keep is false where that is none. The binding is
// one of the rule's.
// What steps need from outside is asked for.
func (r *Rule) Record(ctx context.Context, binding *Binding, b *syncline.Batch, i int) (values []syncline.Value, keep bool, err error) {
	if r.Action(&b.Events[i]) != ActionUpdate {
		return nil, false, nil
	}
	if binding.Match != nil {
		if ok, err := binding.Match(b, i); err != nil || !ok {
			return nil, false, err
		}
	}
	values = b.Events[i].After
	switch {
	case binding.Prepare != nil:
		made, err := binding.Prepare(ctx, []Place{{b, i}})
		if err == nil {
			values, keep, err = made[0].Values, made[0].Keep, made[0].Err
		}
		if err != nil || !keep {
			return nil, false, err
		}
	case binding.Row != nil:
		if values, keep, err = binding.Row(b, i); err != nil || !keep {
			return nil, false, err
		}
	}
	return values, true, r.noted(binding, b, i, values)
}

// Records makes what the target gets for the event: one record, several where the rule splits it, or none.
func (r *Rule) Records(ctx context.Context, binding *Binding, b *syncline.Batch, i int) ([][]syncline.Value, error) {
	values, keep, err := r.Record(ctx, binding, b, i)
	switch {
	case err != nil || !keep:
		return nil, err
	case binding.Split != nil:
		return binding.Split.Rows(b, i, values)
	}
	return [][]syncline.Value{values}, nil
}

// Action returns what the event's operation does to a record under this rule.
func (r *Rule) Action(ev *syncline.Event) Action {
	switch ev.Op {
	case syncline.OpDeleted, syncline.OpAbsent:
		return orElse(r.Deleted, ActionHard)
	case syncline.OpMerged:
		return orElse(r.Merged, ActionHard)
	case syncline.OpArchived:
		return orElse(r.Archived, ActionUpdate)
	}
	return ActionUpdate
}

func orElse(a, def Action) Action {
	if a == ActionDefault {
		return def
	}
	return a
}
