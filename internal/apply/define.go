package apply

import (
	"context"
	"fmt"

	"syncline"
	"syncline/internal/state"
)

// define binds the rule to the wanted schema and tells the target.
func (s *Session) define(ctx context.Context) error {
	rule, schema := s.m.rules[s.m.wantRule], s.m.wantSchema
	binding, err := rule.Bind(schema)
	if err != nil {
		if syncline.CodeOf(err) == "unknown" {
			err = syncline.Errorf(syncline.Fatal, "rule_does_not_fit", "rule %s does not fit the columns of %s: %w", rule.ID, schema.Table, err)
		}
		return err
	}
	if err := s.keyed(ctx, rule.ID, schema, binding); err != nil {
		return err
	}
	if d, ok := s.target.(syncline.Definer); ok {
		if err := s.fit(ctx, d, rule.Rule, schema, binding.Out); err != nil {
			return err
		}
	}
	s.m.defined(binding)
	return nil
}

// fit has the target make the rule's object fit records of the schema made, which come of rows of source. What it fits is in the
// state store, so that a change which came while nobody looked is the same as one in mid-stream.
func (s *Session) fit(ctx context.Context, d syncline.Definer, rule *Rule, source, made *syncline.Schema) error {
	was, known := s.schemas[rule.ID]
	known = known && was.Object == rule.Object
	def := syncline.Definition{Object: rule.Object, Schema: made, Create: rule.Create, Policy: rule.Schema}
	if known {
		def.Previous = was.Made
	}
	halted := refusal{rule.ID, source.Fingerprint()}
	if rule.Schema == syncline.SchemaHalt && known && (was.Source.Fingerprint() == halted.schema || s.r.accepted == halted) {
		def.Previous = nil // the rule itself was edited, or a person has seen to it
	}
	def.Reread = func(ctx context.Context) error { return s.reread(ctx, rule) }
	done, err := d.Define(ctx, def)
	if err != nil {
		if syncline.CodeOf(err) == "schema_changed" {
			s.r.refused = halted
		}
		return err
	}
	for _, w := range done.Warnings {
		s.r.log.Warn("target does not fit the source exactly", "rule", rule.ID, "warning", w)
	}
	s.r.warn(done.Warnings...)
	if known && was.Made.Fingerprint() == made.Fingerprint() && was.Source.Fingerprint() == halted.schema {
		return nil
	}
	now := state.RuleSchema{Rule: rule.ID, Object: rule.Object, Source: source, Made: made}
	if err := s.r.o.State.SaveSchema(ctx, s.r.slice, now); err != nil {
		return err
	}
	s.schemas[rule.ID], s.r.accepted = now, refusal{}
	return nil
}

// reread asks for all records of the rule's entity, because those at the target lack a column. Asking again for the same event is
// the same run. A source that cannot read has sent all that there is.
func (s *Session) reread(ctx context.Context, rule *Rule) error {
	at := s.m.window[s.m.planned.entry].seq
	err := s.r.requestRun(ctx, syncline.Run{ID: fmt.Sprintf("schema-%s-%s-%s-%d.%d", s.r.o.ID, rule.Entity, s.r.o.Log.ID(), at, s.m.planned.event),
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
