package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/transform"
)

// TestMain is the worker too: the processes that the tests start are this very program.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Command {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err) //nolint:errcheck // it ends
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var orders = &syncline.Schema{Entity: "order", Table: "public.orders", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"},
	{Name: "net", Kind: syncline.KindDecimal, Type: "numeric(30,12)", Nullable: true},
	{Name: "note", Kind: syncline.KindText, Type: "text", Nullable: true},
	{Name: "doc", Kind: syncline.KindJSON, Type: "jsonb", Nullable: true},
	{Name: "at", Kind: syncline.KindTimestampTZ, Type: "timestamptz", Nullable: true},
	{Name: "raw", Kind: syncline.KindBytes, Type: "bytea", Nullable: true},
}}

func order(id int64, note string) []syncline.Value {
	return []syncline.Value{syncline.Int(id), syncline.Decimal("12.50"), syncline.Text(note),
		syncline.JSON([]byte(`{"n": 12345678901234567890.5, "list": [1, 2]}`)),
		syncline.Raw(syncline.KindTimestampTZ, []byte("2026-01-02 03:04:05+00")), syncline.Bytes([]byte{0, 1, 255})}
}

// ask applies the script to the records, and returns them as text, "-" for one that is left out, and the code of an error.
func ask(t *testing.T, step transform.Script, rows ...[]syncline.Value) []string {
	t.Helper()
	w := begin(t, &step)
	return askWorker(t, w, step, rows...)
}

func begin(t *testing.T, step *transform.Script) *Worker {
	t.Helper()
	if step.Timeout == 0 {
		step.Timeout = 100 * time.Millisecond
	}
	if step.Memory == 0 {
		step.Memory = 128 << 20
	}
	if step.BatchTimeout == 0 {
		step.BatchTimeout = time.Hour
	}
	w := New(Options{Step: *step})
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func askWorker(t *testing.T, w *Worker, step transform.Script, rows ...[]syncline.Value) []string {
	t.Helper()
	made, out, err := apply(t.Context(), w, step, rows...)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(made))
	for i, m := range made {
		switch {
		case m.Err != nil:
			texts[i] = syncline.CodeOf(m.Err)
			if unset := (*expression.UnsetError)(nil); errors.As(m.Err, &unset) {
				texts[i] = "unset " + unset.Column
			}
		case !m.Keep:
			texts[i] = "-"
		default:
			var fields []string
			for c, v := range m.Values {
				fields = append(fields, out.Columns[c].Name+"="+v.String())
			}
			texts[i] = strings.Join(fields, " ")
		}
	}
	return texts
}

func apply(ctx context.Context, w *Worker, step transform.Script, rows ...[]syncline.Value) ([]transform.Made, *syncline.Schema, error) {
	tr, err := transform.Compile([]transform.Step{step})
	if err != nil {
		return nil, nil, err
	}
	plan, err := tr.Bind(orders)
	if err != nil {
		return nil, nil, err
	}
	b := &syncline.Batch{Source: "shop", Position: syncline.Position{Epoch: 1, Commit: 7, Ordinal: uint32(len(rows))}, Txns: []syncline.Txn{{Commit: 7}}}
	var events []transform.At
	for i, row := range rows {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpCreated, Schema: orders, Ordinal: uint32(i + 1), After: row})
		events = append(events, transform.At{Batch: b, Index: i})
	}
	made, err := plan.ApplyAll(ctx, events, map[int]transform.Asker{0: w})
	return made, plan.Out(), err
}

const untouched = "id=int(1) net=decimal(12.50) note=text(a) doc=json({\"n\": 12345678901234567890.5, \"list\": [1, 2]}) at=timestamptz(2026-01-02 03:04:05+00) raw=bytes(0001ff)"

func field(name string, kind syncline.Kind) transform.Output {
	return transform.Output{Field: name, Kind: kind}
}

func TestAScriptMakesFields(t *testing.T) {
	for name, c := range map[string]struct {
		code   string
		fields []transform.Output
		want   string
	}{
		"nothing":         {`return after`, nil, untouched},
		"written back":    {`return {...after}`, []transform.Output{field("net", 0), field("doc", 0), field("at", 0), field("raw", 0), field("note", 0)}, untouched},
		"new":             {`after.total = after.net * 2; return after`, []transform.Output{field("total", syncline.KindDecimal)}, untouched + " total=decimal(25)"},
		"only the new":    {`return {total: event.op + after.id}`, []transform.Output{field("total", syncline.KindText)}, untouched + " total=text(created1)"},
		"not given":       {`return {}`, []transform.Output{field("total", syncline.KindText)}, untouched + " total=null"},
		"changed":         {`after.note = after.note.toUpperCase(); return after`, []transform.Output{field("note", 0)}, strings.Replace(untouched, "text(a)", "text(A)", 1)},
		"of another kind": {`after.note = 5; return after`, []transform.Output{field("note", syncline.KindInt)}, strings.Replace(untouched, "text(a)", "int(5)", 1)},
		"left out":        {`return null`, nil, "-"},
		"nested": {`after.doc.list.push(3); return after`, []transform.Output{field("doc", 0)},
			strings.Replace(untouched, `{"n": 12345678901234567890.5, "list": [1, 2]}`, `{"n":12345678901234567890.5,"list":[1,2,3]}`, 1)},
		"a date":              {`return {...after, at: new Date(Date.parse(after.at) + 1000)}`, []transform.Output{field("at", 0)}, strings.Replace(untouched, "04:05+00", "04:06+00", 1)},
		"no return":           {`after.note = "b"`, []transform.Output{field("note", 0)}, "script_failed"},
		"no record":           {`return [after]`, nil, "script_failed"},
		"promise":             {`return (async () => after)()`, nil, "script_failed"},
		"undeclared":          {`after.note = "b"; return after`, nil, "script_failed"},
		"undeclared new":      {`after.more = "b"; return after`, nil, "script_failed"},
		"undeclared in depth": {`after.doc.list.pop(); return after`, nil, "script_failed"},
		"not its kind":        {`return {total: "many"}`, []transform.Output{field("total", syncline.KindInt)}, "script_failed"},
		"no number":           {`return {total: 0 / 0}`, []transform.Output{field("total", syncline.KindFloat)}, "script_failed"},
		"a function":          {`return {total: () => 1}`, []transform.Output{field("total", syncline.KindJSON)}, "script_failed"},
		"itself":              {`after.doc.self = after.doc; return after`, []transform.Output{field("doc", 0)}, "script_failed"},
		"proto name":          {`return {total: Object.getPrototypeOf({}) === Object.prototype}`, []transform.Output{field("total", syncline.KindBool)}, untouched + " total=bool(true)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, transform.Script{Code: c.code, Fields: c.fields}, order(1, "a")); got[0] != c.want {
				t.Errorf("%s = %s\nwant %s", c.code, got[0], c.want)
			}
		})
	}
}

// TestNumbersKeepTheirAmount: what a Number cannot hold is a BigInt or refuses to be calculated with; it is never rounded in silence.
func TestNumbersKeepTheirAmount(t *testing.T) {
	fields := []transform.Output{field("id", 0), field("net", 0), field("total", syncline.KindText)}
	fields = fields[1:]
	row := func(id, net string) []syncline.Value {
		r := order(1, "a")
		r[0], r[1] = syncline.Raw(syncline.KindInt, []byte(id)), syncline.Decimal(net)
		return r
	}
	for _, c := range []struct{ code, id, net, want string }{
		{`return {...after, total: typeof after.id}`, "9007199254740993", "1.10", "id=int(9007199254740993) net=decimal(1.10) total=text(bigint)"},
		{`return {...after, total: String(after.id + 1n)}`, "9007199254740993", "1.10", "id=int(9007199254740993) net=decimal(1.10) total=text(9007199254740994)"},
		{`return {...after, total: after.id + 1}`, "9007199254740993", "1.10", "script_failed"},
		{`return {...after, total: typeof after.net}`, "1", "123456789012345678.123456789012", "id=int(1) net=decimal(123456789012345678.123456789012) total=text(object)"},
		{`return {...after, total: after.net + 1}`, "1", "123456789012345678.123456789012", "script_failed"},
		{`return {...after, total: after.net > 1}`, "1", "123456789012345678.123456789012", "script_failed"},
		{`return {...after, total: String(after.net)}`, "1", "123456789012345678.123456789012", "id=int(1) net=decimal(123456789012345678.123456789012) total=text(123456789012345678.123456789012)"},
		{`return {...after, net: after.net, total: 0.1 + 0.2}`, "1", "0.000000000000", "id=int(1) net=decimal(0.000000000000) total=text(0.30000000000000004)"},
		{`return {...after, net: after.net * 1, total: 1e21}`, "1", "1.50", "id=int(1) net=decimal(1.50) total=text(1e+21)"},
		{`return {...after, net: -after.net, total: ""}`, "1", "1.50", "id=int(1) net=decimal(-1.5) total=text()"},
	} {
		got := ask(t, transform.Script{Code: c.code, Fields: fields}, row(c.id, c.net))[0]
		var kept []string
		for _, f := range strings.Split(got, " ") {
			if strings.HasPrefix(f, "id=") || strings.HasPrefix(f, "net=") || strings.HasPrefix(f, "total=") || strings.HasPrefix(f, "script") {
				kept = append(kept, f)
			}
		}
		if g := strings.Join(kept, " "); g != c.want {
			t.Errorf("%s of %s, %s = %s, want %s", c.code, c.id, c.net, g, c.want)
		}
	}
}

// TestBombs: each of them takes its own record with it and nothing else.
func TestBombs(t *testing.T) {
	for name, c := range map[string]struct{ bomb, want string }{
		"endless loop":       {`for (;;) {}`, "script_timeout"},
		"endless, caught":    {`for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} } }`, "script_timeout"},
		"regular expression": {`/^(?=a)(a+)+$/.test("a".repeat(40) + "b")`, "script_timeout"},
		"recursion":          {`(function f() { f() })()`, "script_depth"},
		"recursion, caught":  {`function f() { try { f() } catch (e) { f() } } f()`, "script_depth"},
		"recursion in sort":  {`(function f() { [2, 1].sort(f) })()`, "script_depth"},
		"memory":             {`let a = []; for (;;) a.push(new Array(1000).fill("x"))`, "script_memory"},
		"memory, text":       {`let s = "x"; for (;;) s += s + "y"; return {note: s.charAt(9)}`, "script_memory"},
		"memory at once":     {`new ArrayBuffer(8 * 1024 * 1024 * 1024).slice(1)`, "script_memory"},
		"repeat":             {`"xy".repeat(1 << 29).toUpperCase()`, "script_memory"},
		"giant output":       {`return {...after, note: "x".repeat(20 << 20)}`, "script_failed"},
		"clock":              {`Date.now()`, "script_failed"},
		"clock, new":         {`new Date()`, "script_failed"},
		"chance":             {`Math.random()`, "script_failed"},
		"throws":             {`throw new Error(after.note)`, "script_failed"},
		"throws itself":      {`throw new Proxy({}, {getPrototypeOf() { for (;;) {} }})`, "script_timeout"},
		"network":            {`fetch("http://localhost")`, "script_failed"},
		"files":              {`require("fs")`, "script_failed"},
		"getter":             {`return {get note() { for (;;) {} }}`, "script_timeout"},
		"proxy":              {`return new Proxy({}, {ownKeys() { for (;;) {} }})`, "script_timeout"},
		"deep text":          {`let s = "[".repeat(100000) + "1" + "]".repeat(100000); JSON.parse(s); eval(s); JSON.stringify(eval(s))`, "script_"},
	} {
		if c.want == "script_memory" && underRace {
			continue // the detector takes more memory than a worker may have: `make test` runs them without it too
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := transform.Script{Code: `if (after.note === "bomb") {` + "\n" + c.bomb + "\n" + `} after.note = "ok"; return after`, Fields: []transform.Output{field("note", 0)}, Memory: 96 << 20}
			if c.want != "script_timeout" {
				step.Timeout = 30 * time.Second // memory takes work too
			}
			w := begin(t, &step)
			rows := [][]syncline.Value{order(1, "a"), order(2, "b"), order(3, "bomb"), order(4, "d"), order(5, "bomb"), order(6, "f")}
			got := askWorker(t, w, step, rows...)
			for i := range rows {
				bomb := i == 2 || i == 4
				if ok := strings.Contains(got[i], "note=text(ok)"); ok == bomb || bomb && !strings.HasPrefix(got[i], c.want) {
					t.Errorf("record %d = %s, want %s only of 3 and 5", i+1, got[i], c.want)
				}
			}
		})
	}
}

// TestNothingIsLeftOfARecord: what one record's script does to the language itself is not seen by the next.
func TestNothingIsLeftOfARecord(t *testing.T) {
	step := transform.Script{Code: `
		const seen = String(Object.prototype.leak) + String(globalThis.leak) + [].push.name + JSON.stringify({});
		Object.prototype.leak = 1; globalThis.leak = 2; Array.prototype.push = () => 0; JSON.stringify = () => "x"; Object.keys = () => [];
		after.note = seen; return after`, Fields: []transform.Output{field("note", 0)}}
	for i, got := range ask(t, step, order(1, "a"), order(2, "b"), order(3, "c")) {
		if !strings.Contains(got, "note=text(undefinedundefinedpush{})") {
			t.Errorf("record %d = %s", i, got)
		}
	}
}

func TestAFieldThatWasNotSent(t *testing.T) {
	row := order(1, "a")
	row[2] = syncline.Unset
	for code, want := range map[string]string{
		`return {...after}`:                            "unset note",
		`try { after.note } catch (e) {} return after`: "unset note",
		`after.total = "x"; return after`:              strings.Replace(untouched, "text(a)", "unset", 1) + " total=text(x)",
		`after.note = "new"; return after`:             strings.Replace(untouched, "text(a)", "text(new)", 1) + " total=null",
		`return {total: "x" }`:                         strings.Replace(untouched, "text(a)", "null", 1) + " total=text(x)",
	} {
		got := ask(t, transform.Script{Code: code, Fields: []transform.Output{field("note", 0), field("total", syncline.KindText)}}, row)
		if got[0] != want {
			t.Errorf("%s = %s\nwant %s", code, got[0], want)
		}
	}
}

func TestErrorsTellThePlaceAndNoValue(t *testing.T) {
	step := transform.Script{Code: "let x = 1;\n  throw new RangeError('secret ' + after.note)"}
	w := begin(t, &step)
	made, _, err := apply(t.Context(), w, step, order(1, "hidden"))
	if err != nil {
		t.Fatal(err)
	}
	if text := made[0].Err.Error(); text != "script_failed: step 1 (script): RangeError at 2:9" {
		t.Errorf("error = %s", text)
	}
}

// TestAWorkerThatIsKilledStartsAgain: a process that somebody else ends takes no record with it.
func TestAWorkerThatIsKilledStartsAgain(t *testing.T) {
	step := transform.Script{Code: `after.note = "ok"; return after`, Fields: []transform.Output{field("note", 0)}}
	w := begin(t, &step)
	for range 3 {
		got := askWorker(t, w, step, order(1, "a"), order(2, "b"))
		if !strings.Contains(got[0], "text(ok)") || !strings.Contains(got[1], "text(ok)") {
			t.Fatalf("records = %v", got)
		}
		w.p.signal()
	}
}

func TestAWorkerThatDoesNotStart(t *testing.T) {
	step := transform.Script{Code: `return after`, Timeout: time.Second, Memory: 64 << 20}
	w := New(Options{Step: step, Command: []string{"/bin/false"}})
	_, _, err := apply(t.Context(), w, step, order(1, "a"))
	if syncline.CodeOf(err) != "script_process" || syncline.ClassOf(err) != syncline.Transient {
		t.Errorf("error = %v, want a transient script_process", err)
	}
}

// TestABatchThatTakesTooLongIsCut: what has an answer goes on, the rest is asked for again. There is always one more, whatever it costs.
func TestABatchThatTakesTooLongIsCut(t *testing.T) {
	for name, code := range map[string]string{
		"slow":  `for (let i = 0; i < 20000; i++); after.note = "ok"; return after`,
		"bombs": `for (;;) {}`,
		"dying": `"xy".repeat(1 << 29).toUpperCase()`,
	} {
		if name == "dying" && underRace {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := transform.Script{Code: code, Fields: []transform.Output{field("note", 0)}, Timeout: 200 * time.Millisecond, BatchTimeout: time.Nanosecond, Memory: 96 << 20}
			w := begin(t, &step)
			rows := [][]syncline.Value{order(1, "a"), order(2, "b"), order(3, "c"), order(4, "d")}
			for calls := 1; len(rows) > 0; calls++ {
				made, _, err := apply(t.Context(), w, step, rows...)
				if err != nil {
					t.Fatal(err)
				}
				var left [][]syncline.Value
				for i, m := range made {
					if m.Later {
						left = append(left, rows[i])
					} else if (name == "slow") != (m.Err == nil && m.Keep) {
						t.Errorf("record %d = %v, %v", i, m.Keep, m.Err)
					}
				}
				if len(left) != len(rows)-1 {
					t.Fatalf("call %d leaves %d of %d records, want one fewer", calls, len(left), len(rows))
				}
				rows = left
			}
		})
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	step := transform.Script{Code: `for (;;) {}`, Timeout: time.Hour, Memory: 64 << 20}
	w := begin(t, &step)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := apply(ctx, w, step, order(1, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want canceled", err)
	}
}

func BenchmarkAsk(b *testing.B) {
	step := transform.Script{Code: `after.note = after.note.toUpperCase(); return after`, Fields: []transform.Output{field("note", 0)}, Timeout: time.Second, Memory: 128 << 20}
	w := New(Options{Step: step})
	defer w.Close() //nolint:errcheck // the end of a benchmark
	rows := make([][]syncline.Value, 1000)
	for i := range rows {
		rows[i] = order(int64(i), "note")
	}
	for b.Loop() {
		if _, _, err := apply(b.Context(), w, step, rows...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(rows)), "µs/row")
}
