package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"syncline"
	"syncline/internal/state"
)

// define binds the rule to the wanted schema and tells the target.
func (s *Session) define(ctx context.Context) error {
	rule, schema := s.m.rules[s.m.wantRule], s.m.wantSchema
	binding, err := rule.Fit(schema)
	if err != nil {
		return err
	}
	if err := s.keyed(ctx, rule.ID, schema, binding); err != nil {
		return err
	}
	if err := s.maySplit(binding, rule.ID); err != nil {
		return err
	}
	if err := s.fit(ctx, rule.Rule, schema, binding.Written()); err != nil {
		return err
	}
	for _, name := range binding.LeftOut {
		s.warn(rule.ID, fmt.Sprintf("column %q of %s is computed by the source, which does not send it: it is left out, unless the transform drops or sets it", name, schema.Table))
	}
	s.m.defined(binding)
	return nil
}

// fit has the target make the rule's object fit records of the schema made, which come of rows of source. What it fits is in the
// state store, so that a change which came while nobody looked is the same as one in mid-stream.
func (s *Session) fit(ctx context.Context, rule *Rule, source, made *syncline.Schema) error {
	was, known := s.schemas[rule.ID]
	known = known && was.Object == rule.Object
	def := syncline.Definition{Object: rule.Object, Schema: made, Create: rule.Create, Policy: rule.Schema}
	if known {
		def.Previous = was.Made
	}
	halted := refusal{rule.ID, source.Fingerprint()}
	changed := known && was.Made.Fingerprint() != made.Fingerprint()
	if rule.Schema == syncline.SchemaHalt && changed && (was.Source.Fingerprint() == halted.schema || s.r.accepted == halted) {
		def.Previous = nil // the rule itself was edited, or a person has seen to it
	}
	def.Reread = func(ctx context.Context) error { return s.reread(ctx, rule, s.m.at()) }
	done, err := s.follow(ctx, def)
	if err != nil {
		if syncline.CodeOf(err) == "schema_changed" {
			s.r.refused = halted
		}
		return s.removed(ctx, err)
	}
	for _, w := range done.Warnings {
		s.warn(rule.ID, w)
	}
	if known && !changed && was.Source.Fingerprint() == halted.schema {
		return nil
	}
	now := state.RuleSchema{Rule: rule.ID, Object: rule.Object, Source: source, Made: made}
	if err := s.r.o.State.SaveSchema(ctx, s.r.slice, now); err != nil {
		return err
	}
	s.schemas[rule.ID], s.r.accepted = now, refusal{}
	return nil
}

// warn tells what the target lacks of the source, here and in the route's status.
func (s *Session) warn(rule, warning string) {
	s.r.log.Warn("target does not fit the source exactly", "rule", rule, "warning", warning)
	s.r.warn(warning)
}

// follow has the target follow the schema. A column that comes as another goes may be the other by a new name: then records that
// are there have values for it that no default tells. A target without a shape of its own holds documents: those that are there
// lack what is new.
func (s *Session) follow(ctx context.Context, def syncline.Definition) (syncline.Defined, error) {
	gone, come := difference(def.Previous, def.Schema)
	d, shaped := s.target.(syncline.Definer)
	if def.Policy == syncline.SchemaEvolve && come && (gone || !shaped) && !s.m.traits.Events {
		if err := def.Reread(ctx); err != nil {
			return syncline.Defined{}, err
		}
		def.Reread = nil
	}
	if shaped {
		return d.Define(ctx, def)
	}
	if def.Policy == syncline.SchemaHalt && def.Previous != nil && def.Previous.Fingerprint() != def.Schema.Fingerprint() {
		return syncline.Defined{}, syncline.Errorf(syncline.Fatal, "schema_changed", "the schema of %s changed, and the rule says to halt", def.Schema.Entity).
			WithFix("see to those who read %s, then resume the route", def.Object)
	}
	return syncline.Defined{}, nil
}

// difference reports whether columns have gone or come since the previous schema, if there is one. Columns that changed places have
// changed names: no database moves a column.
func difference(previous, now *syncline.Schema) (gone, come bool) {
	if previous == nil {
		return false, false
	}
	place := -1
	for _, c := range now.Columns {
		was := previous.Index(c.Name)
		if was >= 0 && was < place {
			return true, true
		}
		come = come || was < 0
		place = max(place, was)
	}
	gone = slices.ContainsFunc(previous.Columns, func(c syncline.Column) bool { return now.Index(c.Name) < 0 })
	return gone, come
}

// removed has the records of objects that the route has written read again where err says that an object is gone: whoever makes it
// anew makes it empty. They wait in the log until the route goes on.
func (s *Session) removed(ctx context.Context, err error) error {
	if syncline.CodeOf(err) != "object_missing" {
		return err
	}
	for _, rule := range s.m.rules {
		if was, known := s.schemas[rule.ID]; known && was.Object == rule.Object {
			if asked := s.reread(ctx, rule.Rule, s.m.committed); asked != nil {
				return errors.Join(err, asked)
			}
		}
	}
	return err
}

// reread asks for all records of the rule's entity, because those at the target lack something. Asking again at the same place is the
// same run. A source that cannot read has sent all that there is.
func (s *Session) reread(ctx context.Context, rule *Rule, at syncline.Cursor) error {
	err := s.r.requestRun(ctx, syncline.Run{ID: fmt.Sprintf("schema-%s-%s-%s-%d.%d", s.r.o.ID, rule.Entity, at.Log, at.Seq, at.Index),
		Kind: syncline.RunFull, Entity: rule.Entity, Routes: []string{s.r.o.ID}})
	if syncline.CodeOf(err) == "source_cannot_read" {
		return nil
	}
	return err
}

// refusal is the schema that a rule halted at.
type refusal struct {
	rule   string
	schema uint64 // fingerprint of the source's
}
