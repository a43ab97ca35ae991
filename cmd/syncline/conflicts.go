package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
)

func conflictsCommand(g *globals) *cobra.Command {
	var q ops.ConflictQuery
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "List the conflicts that wait for a person; --all for the decided ones too",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conflicts := func(c *ops.Client, ctx context.Context) ([]ops.Conflict, error) { return c.Conflicts(ctx, q) }
			return show(g, cmd, conflicts, func(w *tabwriter.Writer, found []ops.Conflict) {
				if len(found) == 0 {
					row(w, "no conflicts")
					return
				}
				row(w, "CONFLICT\tRULE\tKEY\tFIELDS\tDETECTOR\tACTION\tSINCE")
				for i := range found {
					c := &found[i]
					row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", c.ID, c.Rule, c.Key, disputed(c.Fields), c.Detector, actionOf(c), instant(c.Created))
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&q.All, "all", false, "also those that are decided")
	flags.StringVar(&q.Rule, "rule", "", "only of this rule")
	flags.StringVar(&q.Entity, "entity", "", "only of this entity")
	flags.StringVar(&q.Object, "object", "", "only of this object of a target")
	flags.StringVar(&q.Key, "key", "", "only of this target key")
	flags.StringVar(&q.Field, "field", "", "only about this field")
	cmd.AddCommand(conflictShowCommand(g), conflictResolveCommand(g))
	return cmd
}

// disputed names what a conflict is about. Where one side of a two-way rule has removed the record that is no field.
func disputed(fields []string) string {
	if len(fields) == 0 {
		return "the whole record"
	}
	return strings.Join(fields, ", ")
}

// actionOf is what became of a conflict, or is on its way.
func actionOf(c *ops.Conflict) string { return underWay(c.Action, c.Deciding) }

func underWay(action, deciding string) string {
	if deciding != "" {
		return deciding + " (under way)"
	}
	return action
}

func conflictShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one conflict: what the source said before, what it says, what the target has",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conflict := func(c *ops.Client, ctx context.Context) (ops.Conflict, error) { return c.Conflict(ctx, args[0]) }
			return show(g, cmd, conflict, func(w *tabwriter.Writer, c ops.Conflict) { printConflict(w, &c) })
		},
	}
}

func printConflict(w *tabwriter.Writer, c *ops.Conflict) {
	row(w, "conflict\t%s", c.ID)
	row(w, "rule\t%s", c.Rule)
	row(w, "record\t%s key %s, from %s/%s", c.Object, c.Key, c.Source, c.Entity)
	found := c.Detector
	if c.Business != "" {
		found += " (" + c.Business + ")"
	}
	row(w, "found by\t%s", found)
	row(w, "strategy\t%s", c.Strategy)
	row(w, "action\t%s", actionOf(c))
	if c.Note != "" {
		row(w, "note\t%s", c.Note)
	}
	if c.By != "" {
		row(w, "by\t%s: %s", c.By, c.Reason)
	}
	if c.Behind > 0 {
		row(w, "behind it\t%d", c.Behind)
	}
	row(w, "state\t%s", c.State)
	row(w, "")
	row(w, "FIELD\tBASE\tOURS\tTHEIRS\tRESULT")
	base, ours, theirs, result := shownRecord(c.Base, "-"), shownRecord(c.Ours, gone), shownRecord(c.Theirs, gone), shownRecord(c.Result, "-")
	if slices.Contains([]string{"overwrite", "skip", "merge"}, c.Action) {
		result.absent = gone
	}
	show := func(f string) {
		row(w, "%s\t%s\t%s\t%s\t%s", f, base.field(f), ours.field(f), theirs.field(f), result.field(f))
	}
	for _, f := range c.Fields {
		show(f)
	}
	others := differing(c.Fields, ours, theirs, result)
	if len(c.Fields) > 0 && len(others) > 0 {
		row(w, "")
		row(w, "not in dispute, and decided along with it:")
	}
	for _, f := range others {
		show(f)
	}
}

const gone = "gone"

// record is one of the records of a conflict; absent is what its fields show where there is none.
type record struct {
	fields map[string]json.RawMessage
	absent string
}

func shownRecord(document json.RawMessage, absent string) record {
	r := record{absent: absent}
	_ = json.Unmarshal(document, &r.fields) // an absent record has no fields
	return r
}

// field is the value of a field in one line.
func (r record) field(name string) string {
	v, ok := r.fields[name]
	switch {
	case r.fields == nil:
		return r.absent
	case !ok:
		return "-"
	}
	return string(v)
}

// differing lists the fields other than the disputed ones in which the records differ. A person decides about a record as a whole, so that
// with `skip` the target does not get them either. What is not known of a record counts as equal.
func differing(disputed []string, records ...record) []string {
	differ := make(map[string]bool)
	for _, a := range records {
		for _, b := range records {
			for f := range a.fields {
				if b.field(f) != "-" && b.field(f) != a.field(f) && !slices.Contains(disputed, f) {
					differ[f] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

func conflictResolveCommand(g *globals) *cobra.Command {
	var d ops.Decision
	var many ops.ManyConflicts
	var values, ours, theirs string
	cmd := &cobra.Command{
		Use:   "resolve [ID] --action ACTION --reason TEXT",
		Short: "Decide a conflict, or all of a rule and a field",
		Long: "Decides the conflict ID, or with --rule and --field all open conflicts of the rule that are about this field only, and with\n" +
			"--ours and --theirs only those with this pair of values. overwrite: what the event says stands. skip: what the target has\n" +
			"stands. merge: the fields of --values FILE are written, the others stay. leave: nothing yet. Where the target has changed\n" +
			"since, nothing is done and the new state is shown; of several, each is looked at by itself.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.Reason = g.reason
			if d.Reason == "" {
				return usage(errors.New("give --reason TEXT: it is kept with the conflict"))
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			document, err := readJSON(values)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if many.Rule != "" || many.Field != "" {
					return usage(errors.New("give an ID, or --rule and --field"))
				}
				if ours != "" || theirs != "" {
					return usage(errors.New("--ours and --theirs choose among several: give them with --rule and --field"))
				}
				d.Values = document
				return resolveOne(cmd, g, client, args[0], d)
			}
			if d.State != "" || d.Action == "leave" {
				return usage(errors.New("--state and leave are for one conflict: give its ID"))
			}
			many.Action, many.Values, many.Reason, many.DryRun = d.Action, document, d.Reason, d.DryRun
			if ours != "" {
				many.Ours = json.RawMessage(ours)
			}
			if theirs != "" {
				many.Theirs = json.RawMessage(theirs)
			}
			return resolveMany(cmd, g, client, many)
		},
	}
	flags := cmd.Flags()
	flags.Var(&oneOf[string]{&d.Action, []string{"overwrite", "skip", "merge", "leave"}}, "action", "overwrite, skip, merge or leave")
	flags.StringVar(&values, "values", "", "file with the JSON object of a merge")
	flags.StringVar(&d.State, "state", "", "the state as it was seen: where the target has changed since, the decision is refused")
	flags.BoolVar(&d.DryRun, "dry-run", false, "only show what the target would have")
	flags.StringVar(&many.Rule, "rule", "", "all of this rule")
	flags.StringVar(&many.Field, "field", "", "all about this field only")
	flags.StringVar(&ours, "ours", "", "only where the event has this value of the field (JSON)")
	flags.StringVar(&theirs, "theirs", "", "only where the target has this value of the field (JSON)")
	_ = cmd.MarkFlagRequired("action") // it exists
	return cmd
}

// readJSON reads a file with a JSON object; "" names none.
func readJSON(file string) (json.RawMessage, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage(err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		return nil, usage(fmt.Errorf("%s has no JSON object", file))
	}
	return text, nil
}

func resolveOne(cmd *cobra.Command, g *globals, client *ops.Client, id string, d ops.Decision) error {
	c, err := client.Resolve(cmd.Context(), id, d)
	if err != nil {
		return err
	}
	return g.print(cmd, c, func(w *tabwriter.Writer) { printConflict(w, &c) })
}

func resolveMany(cmd *cobra.Command, g *globals, client *ops.Client, many ops.ManyConflicts) error {
	if many.Rule == "" || many.Field == "" {
		return usage(errors.New("give an ID, or --rule and --field"))
	}
	for _, v := range []json.RawMessage{many.Ours, many.Theirs} {
		if v != nil && !json.Valid(v) {
			return usage(fmt.Errorf("%s is no JSON: a text needs quotes of its own", v))
		}
	}
	list, err := client.ResolveAll(cmd.Context(), many)
	if err != nil {
		return err
	}
	failed := 0
	for i := range list {
		if list[i].Code != "" {
			failed++
		}
	}
	err = g.print(cmd, list, func(w *tabwriter.Writer) {
		row(w, "CONFLICT\tKEY\tACTION\tERROR")
		for i := range list {
			c := &list[i]
			row(w, "%s\t%s\t%s\t%s", c.ID, c.Key, underWay(c.Action, c.Deciding), strings.TrimSuffix(c.Code+": "+c.Error, ": "))
		}
	})
	switch {
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("%d of %d conflicts were not decided", failed, len(list))
	case len(list) == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "there is no open conflict of rule %s that is like this; see `syncline conflicts --rule %s`\n", many.Rule, many.Rule) //nolint:errcheck // talk
	case len(list) == ops.MaxDecided:
		fmt.Fprintf(cmd.ErrOrStderr(), "these are %d, as many as one command decides: give it again for the rest\n", len(list)) //nolint:errcheck // talk
	}
	return nil
}
