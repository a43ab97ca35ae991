package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copier is a tool that copies the whole table again and again, once it was prepared.
func copier(fill string) string {
	return `#!/bin/sh
set -eu
case $1 in
prepare) psql "$SOURCE_URL" -XAtc "SELECT slot_name FROM pg_replication_slots WHERE slot_name = '$SLOT'" >prepared ;;
run)
	[ "$(cat prepared)" = "$SLOT" ]
	while :; do
		psql "$SOURCE_URL" -qXc "COPY account TO STDOUT" | psql "$TARGET_URL" -qX1c "DELETE FROM account" -c "` + fill + `"
	done
	;;
esac
`
}

func writeScript(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPeers: other tools stand beside the two sides, are not fast for what they leave out, and tell why they ended.
func TestPeers(t *testing.T) {
	ctx := t.Context()
	b, err := start(ctx, options{rows: 100, rounds: 2, only: []string{"updates"}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()

	b.peers = []string{writeScript(t, "copier.sh", copier("COPY account FROM STDIN"))}
	for name, measure := range map[string]func(*bench, context.Context) (section, error){"updates": (*bench).updates, "inserts": (*bench).inserts} {
		s, err := measure(b, ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		labels := each(s.rows, func(row []string) string { return row[0] })
		if diff := cmp.Diff([]string{"copier", "native ÷ copier", "**Syncline ÷ copier**"}, labels[len(labels)-3:]); diff != "" {
			t.Errorf("last lines of %s (-want +got):\n%s", name, diff)
		}
	}

	b.rounds = 1
	for script, want := range map[string]string{
		writeScript(t, "loser.sh", copier("COPY account FROM STDIN WHERE id <> 7")):      "loser has 100 rows ",
		writeScript(t, "lazy.sh", "#!/bin/sh\n[ $1 = prepare ] || echo not today\n"):     "lazy has ended: <nil>\nnot today",
		writeScript(t, "broken.sh", "#!/bin/sh\n[ $1 = run ] || { echo no; exit 3; }\n"): "exit status 3\nno",
	} {
		b.peers = []string{script}
		name := strings.TrimSuffix(filepath.Base(script), ".sh")
		if _, err := b.againstNative(ctx, name, account, b.insertLoad(), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestLabelOf(t *testing.T) {
	got := map[string]string{}
	for _, script := range []string{"bench/peers/debezium.sh", "/opt/x/tool", "tool_2.py", "syncline.sh", "native", "ceiling.sh", "Tool.sh", "2.sh", "a-b.sh", "it's.sh", ""} {
		label, err := labelOf(script)
		if err != nil {
			label = "error"
		}
		got[script] = label
	}
	want := map[string]string{"bench/peers/debezium.sh": "debezium", "/opt/x/tool": "tool", "tool_2.py": "tool_2", "syncline.sh": "error", "native": "error",
		"ceiling.sh": "error", "Tool.sh": "error", "2.sh": "error", "a-b.sh": "error", "it's.sh": "error", "": "error"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labelOf (-want +got):\n%s", diff)
	}
}
