package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

func explainCommand(g *globals) *cobra.Command {
	var rules string
	var since time.Duration
	var req ops.ExplainDraft
	cmd := &cobra.Command{
		Use:   "explain SYSTEM/ENTITY/KEY",
		Short: "Tell what became of one record: its events, what each rule makes of them, what the targets hold",
		Long: "Reads the events of a record from the log of its source, and tells of each rule that reads it whether and why it wants them, what the\n" +
			"record is after each step, what became of it, and what the target holds now beside what it should hold. KEY is the key at the source:\n" +
			"percent-encoded parts joined by commas. With --rules, the rules of another configuration are tried, or of a file that has nothing but\n" +
			"rules for the systems of the server; nothing is touched.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			parts := strings.SplitN(args[0], "/", 3)
			if len(parts) != 3 {
				return usage(fmt.Errorf("%q is not SYSTEM/ENTITY/KEY", args[0]))
			}
			req.Entity, req.Key = parts[0]+"/"+parts[1], parts[2]
			if since > 0 {
				req.Since = since.String()
			}
			if rules != "" {
				files, problems := config.Files(rules)
				if err := problems.Err(); err != nil {
					return err
				}
				req.Files = sent(files)
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			x, err := client.Explain(cmd.Context(), req)
			if err != nil {
				return err
			}
			return g.print(cmd, x, func(w *tabwriter.Writer) { printExplanation(w, &x) })
		},
	}
	cmd.Flags().Var(&length{&since}, "since", "read the log only this far back (1h, 7d); otherwise to its beginning")
	cmd.Flags().IntVar(&req.Limit, "limit", 20, "how many of the newest events")
	cmd.Flags().StringVar(&rules, "rules", "", "try the rules of this file, which are not deployed")
	return cmd
}

func printExplanation(w *tabwriter.Writer, x *ops.Explanation) {
	row(w, "%s/%s/%s: %s in the log", x.Source, x.Entity, x.Key, count(len(x.Events), "event"))
	if x.Looked.To == 0 {
		row(w, "the log of %s is empty", x.Source)
	} else {
		row(w, "looked at entries %d to %d of the log, in %.1f s%s", x.Looked.From, x.Looked.To, x.Looked.Seconds, looked(x))
	}
	for i := range x.Events {
		e := &x.Events[i]
		row(w, "")
		more := ""
		if e.Run != "" {
			more = ", read by " + e.Run
		}
		if e.Moved != "" {
			more += ", the other key is " + e.Moved
		}
		at := e.Appended
		if e.Record.Time != nil {
			at = *e.Record.Time
		}
		row(w, "%d.%d %s %s%s", e.Seq, e.Index, e.Record.Op, instant(at), more)
		if e.Record.Before != nil {
			row(w, "    before %s", e.Record.Before)
		}
		if e.Record.After != nil {
			row(w, "    after  %s", e.Record.After)
		}
	}
	if len(x.Rules) == 0 {
		row(w, "\nno rule reads %s/%s", x.Source, x.Entity)
	}
	for i := range x.Rules {
		printRule(w, &x.Rules[i])
	}
}

// looked says what was not looked at.
func looked(x *ops.Explanation) string {
	back := ""
	if x.Looked.Oldest != nil {
		back = ", back to " + x.Looked.Oldest.Local().Format(time.RFC3339)
	}
	switch {
	case x.More:
		return back + "; there are older events: --limit shows more"
	case !x.Looked.Whole:
		return back + "; the rest was not looked at: there may be older events"
	}
	return back
}

func printRule(w *tabwriter.Writer, r *ops.ExplainedRule) {
	row(w, "\nrule %s → %s (%s)", r.Rule, r.Target, r.State)
	if r.Error != nil {
		row(w, "    %s: %s", r.Error.Code, strings.TrimPrefix(r.Error.Text, r.Error.Code+": "))
	}
	for i := range r.Events {
		e := &r.Events[i]
		became := ""
		if t := e.Task; t != nil {
			became = ": " + statusOf(t)
			if t.Attempts > 1 {
				became += fmt.Sprintf(", %d attempts", t.Attempts)
			}
			switch {
			case t.Code == "":
			case t.Status == state.TaskCompleted:
				became += ", before that " + t.Code + ": " + withoutCode(t)
			default:
				became += ", " + t.Code + ": " + withoutCode(t)
			}
		}
		row(w, "    %d.%d %s%s", e.Seq, e.Index, e.Does, became)
		if e.Note != "" {
			row(w, "        %s", e.Note)
		}
		if c := e.Conflict; c != nil {
			note := ""
			if c.Note != "" {
				note = "; " + c.Note
			}
			row(w, "        conflict about %s (%s): %s by %s%s", disputed(c.Fields), c.Detector, c.Action, c.Strategy, note)
		}
		if v := e.Trial; v != nil {
			for _, c := range v.Conditions {
				holds := "holds"
				if c.Error != "" {
					holds = "cannot be told: " + c.Error
				} else if !c.Holds {
					holds = "does not hold"
				}
				row(w, "        %s: %s", c.Condition, holds)
			}
			for _, s := range v.Steps {
				text := strings.Join(s.Text, "  ")
				switch {
				case s.Error != "":
					text = s.Error
				case len(s.Records) == 0:
					text = "the record is left out"
				case text == "":
					text = "nothing changes"
				}
				row(w, "        step %d %s: %s", s.Step, s.Kind, text)
			}
			row(w, "        %s %s", v.Result, strings.Join(v.Text, " "))
		}
	}
	for i := range r.Records {
		h := &r.Records[i]
		row(w, "    target, key %s: %s", h.Key, stateText(h))
		for _, f := range h.Fields {
			row(w, "        %s should be %s and is %s", f.Name, f.Wanted, f.Held)
		}
		if h.Wanted != nil && h.State != "differs" {
			row(w, "        should hold %s", h.Wanted)
		}
		if h.Held != nil && h.State == "extra" {
			row(w, "        holds       %s", h.Held)
		}
	}
	if r.Between != nil {
		printSides(w, r.Between)
	}
	if r.Note != "" {
		row(w, "    %s", r.Note)
	}
}

// printSides prints what both sides of a two-way rule hold.
func printSides(w *tabwriter.Writer, t *ops.TwoSides) {
	record := func(text json.RawMessage) string {
		if text == nil {
			return "no record"
		}
		return string(text)
	}
	for i := range t.Sides {
		s := &t.Sides[i]
		row(w, "    %s/%s holds %s", s.Side, s.Key, record(s.Held))
		if s.Shadow != nil {
			row(w, "        shadow %d: both were to hold %s", s.Shadow.Round, record(s.Shadow.Result))
			row(w, "        the other side then held %s", record(s.Shadow.Seen))
		}
	}
	switch {
	case t.Decision == "nothing":
		row(w, "    both sides are as they are to be")
	case t.Decision == "write":
		row(w, "    to be written to %s: %s", strings.Join(t.Writes, " and "), record(t.Result))
	case len(t.Fields) > 0:
		row(w, "    CONFLICT: both sides changed %s, and a person has to decide", strings.Join(t.Fields, ", "))
	default:
		row(w, "    CONFLICT: one side deleted the record and the other one changed it, and a person has to decide")
	}
	if len(t.Decided) > 0 {
		row(w, "    both sides changed %s, which the policy decides", strings.Join(t.Decided, ", "))
	}
}

// stateText says how a record of the target is.
func stateText(h *ops.HeldRecord) string {
	text := map[string]string{"equal": "as it should be", "differs": "DIFFERS", "missing": "MISSING", "extra": "is there and should NOT be",
		"absent": "not there, as it should be", "unknown": "cannot be told"}[h.State]
	if h.Note != "" {
		text += ": " + h.Note
	}
	return text
}
