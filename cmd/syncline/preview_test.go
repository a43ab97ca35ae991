package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
)

// TestPlanLooksBack runs edited rules over the logs: it tells which records would differ, and apply --resync has those read again, and no others.
func TestPlanLooksBack(t *testing.T) {
	p := newProgram(t, shopConfig)
	shop := makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	execute(t, shop, "INSERT INTO item VALUES (4, 30), (5, 8)")
	execute(t, shop, "UPDATE item SET price = 2 WHERE id = 4")
	execute(t, shop, "DELETE FROM item WHERE id = 5")
	report := openReport(t, p)
	holds(t, report, fmt.Sprintf(ids, "cheap"), "1 2 4")
	p.caughtUp()
	look := func(config string, more ...string) ops.Plan {
		t.Helper()
		out, _ := p.command(exitOK, append([]string{"plan", "-c", config, "--server", p.url(), "--since", "1h", "-o", "json"}, more...)...)
		var plan ops.Plan
		if err := json.Unmarshal([]byte(out), &plan); err != nil {
			t.Fatal(err)
		}
		if len(plan.Covered) != 1 || !plan.Covered[0].Whole || plan.Covered[0].Events < 7 {
			t.Errorf("covered %+v, want all 7 events of the log", plan.Covered)
		}
		return plan
	}
	for _, test := range []struct {
		edit, want string
		values     []string
	}{
		{"after.price < 5", "5 keys: 0 appear, 0 change, 1 vanish, 0 fail [2 vanishes]", nil},
		{"after.price > 5", "5 keys: 1 appear, 0 change, 2 vanish, 0 fail [1 vanishes] [3 appears] [4 vanishes]", nil},
		{"after.price < 10', transform: [{set: {price: 'after.price == 6 ? 7 : after.price'}}], schema: ignore, min_priority: 'low",
			"5 keys: 0 appear, 1 change, 0 vanish, 0 fail [2 changes price: 6 → 7]", []string{"--values"}},
		{"after.price < 10', transform: [{convert: {price: bool}}], schema: 'ignore",
			"5 keys: 0 appear, 1 change, 0 vanish, 2 fail [1 changes] [2 fails: transform_failed: step 1 (convert price): a value of kind int cannot " +
				"become bool: it is not written as one] [4 fails: transform_failed: step 1 (convert price): a value of kind int cannot become bool: " +
				"it is not written as one]", nil},
	} {
		plan := look(p.edited("after.price < 10", test.edit), test.values...)
		if len(plan.Impact) != 1 {
			t.Fatalf("%s: impact of %+v", test.edit, plan.Impact)
		}
		i := plan.Impact[0]
		got := fmt.Sprintf("%d keys: %d appear, %d change, %d vanish, %d fail", i.Keys, i.Appear, i.Change, i.Vanish, i.Fail)
		for _, s := range i.Samples {
			got += " [" + s.Key + " " + s.What
			for _, f := range s.Fields {
				got += " " + fieldLine(f)
			}
			if s.Error != "" {
				got += ": " + s.Error
			}
			got += "]"
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.edit, diff)
		}
	}
	if i := look(p.edited("report/cheap", "report/other")).Impact; len(i) != 1 || i[0].Appear != 3 || i[0].Target != "report/other" {
		t.Errorf("impact of another target = %+v, want the three records of the rule to appear there", i)
	}
	out, _ := p.command(exitOK, "apply", "-c", p.edited("after.price < 10", "after.price > 5"), "--server", p.url(), "--resync", "--since", "1h")
	if !strings.Contains(out, "3 records of shop/item for cheap read again") {
		t.Errorf("apply --resync: %s", out)
	}
	holds(t, report, fmt.Sprintf(ids, "cheap"), "2 3")
}
