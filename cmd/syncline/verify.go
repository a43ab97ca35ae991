package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

func verifyCommand(g *globals) *cobra.Command {
	var req ops.VerificationRequest
	var full, repair, plan, detach bool
	cmd := &cobra.Command{
		Use:   "verify [RULE...]",
		Short: "Compare targets with what rules make of their sources, and repair what differs",
		Long: "Compares every record of the target with what the rule makes of the source's, while changes go on. A record that is on its way is\n" +
			"looked at until it has settled, so that no live change is told as a difference. With --repair the records that differ are read\n" +
			"from the source again, come through the log as any other change, and are compared once more.\n\n" +
			"The exit code is 5 where differences are left, 1 where something could not be compared or told, or the verification was cancelled.",
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Rules = args
			switch {
			case full && req.Sample > 0:
				return usage(errors.New("--full and --sample exclude each other"))
			case repair && plan:
				return usage(errors.New("--repair and --plan exclude each other"))
			case repair:
				req.Repair = string(verify.RepairAuto)
			case plan:
				req.Repair = string(verify.RepairPlan)
			}
			client, err := g.client()
			if err != nil {
				return err
			}
			v, err := client.StartVerification(cmd.Context(), req)
			if err != nil {
				return err
			}
			if !detach {
				if v, err = watchVerification(cmd.Context(), client, v, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			var found []ops.Difference
			if v.Differences > 0 {
				if found, err = client.Differences(cmd.Context(), v.ID, explained); err != nil {
					return err
				}
			}
			if err := g.print(cmd, v, func(w *tabwriter.Writer) { printVerification(w, &v, found) }); err != nil {
				return err
			}
			return verdictOf(&v)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&req.Sample, "sample", 0, "compare only that many records of each rule, chosen at random")
	flags.BoolVar(&full, "full", false, "compare all records of both sides (the default)")
	flags.StringArrayVar(&req.Keys, "key", nil, "compare only the record with this key at the source; may be repeated")
	flags.IntVar(&req.Rate, "rate", 0, "compare at most that many records a second (default as many as go)")
	flags.BoolVar(&repair, "repair", false, "have the records that differ sent again, and compare them once more")
	flags.BoolVar(&plan, "plan", false, "only tell what a repair would send")
	flags.StringVar(&req.MaxRepair, "max-repair", "", "repair nothing where more records of a rule differ: a share (1%) or a number (default what the rule says, else 1%, or 100 records)")
	flags.BoolVar(&detach, "detach", false, "do not wait for the end")
	cmd.AddCommand(verifyListCommand(g), verifyShowCommand(g), verifyCancelCommand(g))
	return cmd
}

func verifyListCommand(g *globals) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the latest verifications",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			latest := func(c *ops.Client, ctx context.Context) ([]ops.Verification, error) {
				return c.Verifications(ctx, limit)
			}
			return show(g, cmd, latest, func(w *tabwriter.Writer, list []ops.Verification) {
				row(w, "VERIFICATION\tBEGUN\tMODE\tSTATUS\tRECORDS\tDIFFERENCES\tREPAIRED")
				for i := range list {
					v := &list[i]
					row(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d", v.ID, instant(v.Created), v.Mode, v.Status, v.Total.Source, v.Differences, v.Total.Repaired)
				}
			})
		},
	}
	cmd.Flags().Var(&most{&limit}, "limit", "how many at most; 0 = all")
	return cmd
}

func verifyShowCommand(g *globals) *cobra.Command {
	limit := 100
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a verification, and the records that differ",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := g.client()
			if err != nil {
				return err
			}
			v, err := client.Verification(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			found, err := client.Differences(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			shown := struct {
				ops.Verification `yaml:",inline"`
				Found            []ops.Difference `json:"found"`
			}{v, found}
			err = g.print(cmd, shown, func(w *tabwriter.Writer) {
				printVerification(w, &v, found)
				if len(found) > 0 {
					row(w, "")
					row(w, "RULE\tKEY\tIS\tFIELDS\tSTATE")
				}
				for _, d := range found {
					row(w, "%s\t%s\t%s\t%s\t%s", d.Rule, d.Key, d.Kind, strings.Join(d.Fields, ", "), d.State)
				}
			})
			if err != nil {
				return err
			}
			return verdictOf(&v)
		},
	}
	cmd.Flags().Var(&most{&limit}, "limit", "how many records that differ are listed at most; 0 = all")
	return cmd
}

func verifyCancelCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "End a verification; what it found is kept",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.each(cmd, args, saying(cmd, "verification %[1]s is cancelled; see `syncline verify show %[1]s`\n", (*ops.Client).CancelVerification)); err != nil {
				return err
			}
			return g.done(cmd, args)
		},
	}
}

// watchVerification waits for the end, and shows progress where somebody looks.
func watchVerification(ctx context.Context, client *ops.Client, v ops.Verification, w io.Writer) (ops.Verification, error) {
	live := isTerminal(w)
	pause := 50 * time.Millisecond
	for v.Status == state.VerificationRunning {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			fmt.Fprintf(w, "\nit goes on without you: `syncline verify show %s`, `syncline verify cancel %s`\n", v.ID, v.ID) //nolint:errcheck // talk
			return v, ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, time.Second)
		next, err := client.Verification(ctx, v.ID)
		if err != nil {
			if ctx.Err() != nil {
				continue
			}
			return v, err
		}
		if v = next; live {
			fmt.Fprintf(w, "\r\x1b[K%s", progressLine(&v)) //nolint:errcheck // talk
		}
	}
	if live {
		fmt.Fprint(w, "\r\x1b[K") //nolint:errcheck // talk
	}
	return v, nil
}

// progressLine tells in one line how far a verification is.
func progressLine(v *ops.Verification) string {
	done := 0
	for i := range v.Parts {
		p := &v.Parts[i]
		if p.Over() {
			done++
			continue
		}
		line := fmt.Sprintf("%s: %s, %d records", p.Rule, p.Phase, p.Tally.Source)
		if p.Estimate > 0 && p.Phase == verify.PhaseSource {
			line += fmt.Sprintf(" of about %d (%d%%)", p.Estimate, min(100*p.Tally.Source/p.Estimate, 100))
		}
		if p.Seconds > 0.5 {
			line += fmt.Sprintf(", %.0f/s", float64(p.Tally.Source)/p.Seconds)
		}
		if n := p.Differences(); n > 0 {
			line += fmt.Sprintf(", %d differ", n)
		}
		return fmt.Sprintf("[%d/%d] %s", done+1, len(v.Parts), line)
	}
	return fmt.Sprintf("[%d/%d]", done, len(v.Parts))
}

// explained is among how many of the records that differ one is looked for that can be explained.
const explained = 100

func printVerification(w *tabwriter.Writer, v *ops.Verification, found []ops.Difference) {
	printTallies(w, v)
	for i := range v.Parts {
		p := &v.Parts[i]
		for _, s := range p.Samples {
			line := strings.TrimRight(fmt.Sprintf("%s/%s %s %s", p.Object, s.Key, s.Kind, strings.Join(s.Fields, ", ")), " ")
			if s.Repaired {
				line += ": repaired"
			}
			row(w, "    %s", line)
		}
		for _, n := range p.Notes {
			row(w, "    %s: %s", p.Rule, n)
		}
		if p.Error != "" {
			row(w, "    %s: %s", p.Rule, p.Error)
		}
		if p.Fix != "" {
			row(w, "      fix: %s", oneLine(p.Fix))
		}
	}
	repaired := ""
	if n := v.Total.Repaired; n > 0 {
		repaired = fmt.Sprintf(", %d repaired", n)
	}
	switch {
	case v.Status == state.VerificationRunning:
		row(w, "%s is under way: see `syncline verify show %s`", v.ID, v.ID)
	case v.Differences > 0:
		verb := "differ"
		if v.Differences == 1 {
			verb = "differs"
		}
		row(w, "%s: %s %s%s", v.ID, count(int(v.Differences), "record"), verb, repaired)
		if command := explanation(v, found); command != "" {
			row(w, "  the values: `%s`", command)
		}
		if v.Mode == string(verify.Sampled) && v.Repair == string(verify.RepairOff) {
			row(w, "  to compare all of them: `syncline verify`")
			break
		}
		command, large := repairing(v)
		if command != "" {
			row(w, "  to repair: `%s`", command)
		}
		if large != "" {
			row(w, "  to repair so many, once it is known why they differ: `%s`", large)
		}
	case v.Status != state.VerificationDone:
		row(w, "%s: %s; no differences in what was compared%s", v.ID, v.Status, repaired)
	case nothingCompared(v):
		row(w, "%s: nothing could be compared", v.ID)
	case v.Total.Unsettled > 0:
		row(w, "%s: no differences%s; of %s it could not be told", v.ID, repaired, count(int(v.Total.Unsettled), "record"))
	default:
		row(w, "%s: %s, no differences%s", v.ID, v.Status, repaired)
	}
}

// printTallies prints what the records of each part came to, without the columns in which nothing stands. Where records were repaired,
// what was found is more than what is left, which is told, too.
func printTallies(w *tabwriter.Writer, v *ops.Verification) {
	type column struct {
		name   string
		always bool
		of     func(*verify.Part) int64
	}
	columns := []column{
		{"RECORDS", true, func(p *verify.Part) int64 { return p.Tally.Source }},
		{"EQUAL", true, func(p *verify.Part) int64 { return p.Equal }},
		{"MISSING", false, func(p *verify.Part) int64 { return p.Missing }},
		{"EXTRA", false, func(p *verify.Part) int64 { return p.Extra }},
		{"DIFFERENT", false, func(p *verify.Part) int64 { return p.Different }},
		{"REPAIRED", false, func(p *verify.Part) int64 { return p.Repaired }},
		{"LEFT", v.Total.Repaired > 0, func(p *verify.Part) int64 { return p.Differences() }},
		{"PARKED", false, func(p *verify.Part) int64 { return p.Parked }},
		{"HELD", false, func(p *verify.Part) int64 { return p.Held }},
		{"CONFLICT", false, func(p *verify.Part) int64 { return p.Conflict }},
		{"POLICY", false, func(p *verify.Part) int64 { return p.Policy }},
		{"UNSETTLED", false, func(p *verify.Part) int64 { return p.Unsettled }},
	}
	columns = slices.DeleteFunc(columns, func(c column) bool {
		some := slices.ContainsFunc(v.Parts, func(p verify.Part) bool { return c.of(&p) != 0 })
		return !c.always && (!some || c.name == "LEFT")
	})
	head := []string{"RULE", "TARGET"}
	for _, c := range columns {
		head = append(head, c.name)
	}
	cells(w, append(head, "STATE"))
	for i := range v.Parts {
		p := &v.Parts[i]
		line := []string{p.Rule, p.Object}
		for _, c := range columns {
			line = append(line, strconv.FormatInt(c.of(p), 10))
		}
		cells(w, append(line, string(p.Phase)))
	}
}

// explanation shows the values of the first record that differs whose entity and key at the source are known, and can be pasted; "" = of none.
func explanation(v *ops.Verification, found []ops.Difference) string {
	entities := make(map[string][]string)
	for i := range v.Parts {
		entities[v.Parts[i].Rule] = append(entities[v.Parts[i].Rule], v.Parts[i].Entity)
	}
	for _, d := range found {
		if of := entities[d.Rule]; d.State == "found" && d.Source != "" && len(of) == 1 && !strings.ContainsFunc(d.Source, special) {
			return fmt.Sprintf("syncline explain %s/%s", of[0], d.Source)
		}
	}
	return ""
}

// special reports whether a shell could take the character for something else than itself.
func special(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("%,._:@+-", c)
}

// repairing repairs the rules whose records differ, large those of which more differ than a repair sends without being told to; "" = none, this
// verification was to repair them itself, or is of some keys only.
func repairing(v *ops.Verification) (command, large string) {
	if v.Repair != string(verify.RepairOff) || v.Mode == string(verify.Named) {
		return "", ""
	}
	whole := func(p *verify.Part) string { rule, _, _ := strings.Cut(p.Rule, "/"); return rule } // of several sources or entities
	var rules []string
	limits, most := make(map[string]bool), int64(0)
	for i := range v.Parts {
		p := &v.Parts[i]
		if rule := whole(p); p.Differences() > 0 && !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
		if p.MaxRepair > 0 {
			limits[whole(p)] = true
		}
	}
	for i := range v.Parts {
		if p := &v.Parts[i]; limits[whole(p)] {
			most = max(most, verify.Enough(p.Differences()))
		}
	}
	few := slices.DeleteFunc(slices.Clone(rules), func(rule string) bool { return limits[rule] })
	many := slices.DeleteFunc(rules, func(rule string) bool { return !limits[rule] })
	if len(few) > 0 {
		command = "syncline verify --repair " + strings.Join(few, " ")
	}
	if len(many) > 0 {
		large = fmt.Sprintf("syncline verify --repair --max-repair %d %s", most, strings.Join(many, " "))
	}
	return command, large
}

// verdictOf is the exit code of what was found.
func verdictOf(v *ops.Verification) error {
	switch {
	case v.Differences > 0:
		return &exitError{code: exitDiffers}
	case v.Status == state.VerificationFailed, v.Status == state.VerificationCancelled, nothingCompared(v), v.Total.Unsettled > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// nothingCompared reports whether all parts were left out.
func nothingCompared(v *ops.Verification) bool {
	return len(v.Parts) > 0 && !slices.ContainsFunc(v.Parts, func(p verify.Part) bool { return p.Phase != verify.PhaseSkipped })
}
