package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongNamesAndStretches: what does not exist is named, with what there is or where it is listed; a stretch of time that cannot be is
// refused and no empty list; what is wrong in the call itself is exit code 2.
func TestWrongNamesAndStretches(t *testing.T) {
	p := newProgram(t, shopConfig)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	p.caughtUp()
	for _, tt := range []struct {
		command string
		code    int
		want    []string
	}{
		{"tasks --route nosuch", exitFailed, []string{"route_not_found: there is no route nosuch\n", "fix: there is item, cheap"}},
		{"tasks --rule nosuch", exitFailed, []string{"rule_not_found", "item, cheap"}},
		{"tasks --entity nosuch", exitFailed, []string{"unknown_entity", "shop/item"}},
		{"tasks --source report", exitFailed, []string{"system_not_found", "there is shop"}},
		{"tasks --target nosuch", exitFailed, []string{"system_not_found", "there is report"}},
		{"tasks --from 2026-02-01T00:00:00Z --to 2026-01-01T00:00:00Z", exitFailed, []string{"range_invalid"}},
		{"tasks retry --rule item --from 2026-02-01T00:00:00Z --to 2026-01-01T00:00:00Z", exitFailed, []string{"range_invalid"}},
		{"tasks --since 1h --from 2026-02-01T00:00:00Z", exitUsage, []string{"since"}},
		{"tasks --limit -1", exitUsage, []string{"give a number"}},
		{"verify list --limit -1", exitUsage, []string{"give a number"}},
		{"health --checks -1", exitUsage, []string{"give a number"}},
		{"health --checks 5000", exitOK, []string{"REASONS"}},
		{"tasks show nosuch", exitFailed, []string{"there is no task nosuch: an id is RULE:SOURCE:SEQUENCE.INDEX", "fix: ", "`syncline tasks`"}},
		{"stats --from 2100-01-01T00:00:00Z", exitFailed, []string{"range_invalid", "now"}},
		{"audit --from 2026-02-01T00:00:00Z --to 2026-01-01T00:00:00Z", exitFailed, []string{"range_invalid"}},
		{"conflicts --rule nosuch", exitFailed, []string{"rule_not_found", "item, cheap"}},
		{"conflicts --entity nosuch", exitFailed, []string{"unknown_entity", "shop/item"}},
		{"conflicts show nosuch", exitFailed, []string{"conflict_not_found", "`syncline conflicts`"}},
		{"conflicts resolve --rule nosuch --field x --action skip --reason x", exitFailed, []string{"rule_not_found", "item, cheap"}},
		{"conflicts resolve --rule item --field x --action leave --reason x", exitUsage, []string{"for one conflict"}},
		{"conflicts resolve x --ours 1 --action skip --reason x", exitUsage, []string{"--rule and --field"}},
		{"pause rule nosuch --reason x", exitFailed, []string{"rule_not_found", "item, cheap"}},
		{"pause entity item --reason x", exitFailed, []string{"unknown_entity", "shop/item"}},
		{"pause target shop --reason x", exitFailed, []string{"system_not_found", "there is report"}},
		{"resume rule item", exitFailed, []string{"pause_not_found", "`syncline pause list`"}},
		{"resume nosuch", exitFailed, []string{"there is no route nosuch\n", "item, cheap"}},
		{"resume item cheap", exitOK, []string{"item works", "cheap works"}},
		{"resume --system nosuch", exitFailed, []string{"system_not_found", "shop, report"}},
		{"replay --route nosuch --from 1 --reason x", exitFailed, []string{"route_not_found", "item, cheap"}},
		{"replay --route item --reason x", exitUsage, []string{`"from"`}},
		{"replay --route item --from 99999 --reason x", exitOK, []string{"the log of shop has the entries 1 to ", "none of them"}},
		{"replay --route item --from 2 --to 1 --reason x", exitOK, []string{"none of them"}},
		{"explain shop/nosuch/1", exitFailed, []string{"unknown_entity", "shop/item"}},
		{"explain shop/item", exitUsage, []string{"SYSTEM/ENTITY/KEY"}},
		{"sync shop/item --route nosuch", exitFailed, []string{"unknown_route", "item, cheap"}},
		{"sync shop/nosuch", exitFailed, []string{"unknown_entity", "shop/item"}},
	} {
		out, talk := p.command(tt.code, append(strings.Fields(tt.command), "--server", p.url())...)
		for _, want := range tt.want {
			if !strings.Contains(out+talk, want) {
				t.Errorf("syncline %s says nothing of %q:\n%s%s", tt.command, want, out, talk)
			}
		}
	}
}
