package pgtarget

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"syncline"
)

// batchOf puts records first to last with v as their value, new ones if fresh.
func batchOf(object string, s *syncline.Schema, first, last int, v string, fresh bool) []syncline.Change {
	var changes []syncline.Change
	for i := first; i <= last; i++ {
		c := put(object, s, fmt.Sprint(i), v)
		c.Fresh = fresh
		changes = append(changes, c)
	}
	return changes
}

// ways tells how the target would carry out the changes.
func (r *rig) ways(changes []syncline.Change) (ways []way) {
	r.t.Helper()
	x := &transaction{t: r.tgt, s: r.tgt.s, w: r.write(false, changes...)}
	groups, err := x.group(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, g := range groups {
		ways = append(ways, g.way)
	}
	return ways
}

func TestEachWayEndsWithTheSameRows(t *testing.T) {
	const many = defaultCopyMin
	for _, c := range []struct {
		name  string
		there int // records 1 to there are in the table
		write func(s *syncline.Schema) []syncline.Change
		ways  []way
	}{
		{"few", 5, func(s *syncline.Schema) []syncline.Change { return batchOf("a", s, 1, 10, "new", false) }, []way{wayArrays}},
		{"updates", many, func(s *syncline.Schema) []syncline.Change { return batchOf("a", s, 1, many, "new", false) }, []way{wayRevise}},
		{"updates of rows that are not there", many / 2, func(s *syncline.Schema) []syncline.Change { return batchOf("a", s, 1, many, "new", false) }, []way{wayRevise}},
		{"new rows", 0, func(s *syncline.Schema) []syncline.Change { return batchOf("a", s, 1, many, "new", true) }, []way{wayDirect}},
		{"new rows that are there", many, func(s *syncline.Schema) []syncline.Change { return batchOf("a", s, 1, many, "new", true) }, []way{wayDirect}},
		{"both", many, func(s *syncline.Schema) []syncline.Change {
			return append(batchOf("a", s, 1, many, "new", false), batchOf("a", s, many+1, 2*many, "new", true)...)
		}, []way{wayRevise, wayDirect}},
		{"both, the new ones there", 2 * many, func(s *syncline.Schema) []syncline.Change {
			return append(batchOf("a", s, 1, many, "new", false), batchOf("a", s, many+1, 2*many, "new", true)...)
		}, []way{wayRevise, wayDirect}},
		{"a few new ones among updates", many, func(s *syncline.Schema) []syncline.Change {
			return append(batchOf("a", s, 1, many, "new", false), batchOf("a", s, many+1, many+3, "new", true)...)
		}, []way{wayRevise}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)",
				fmt.Sprintf("INSERT INTO a SELECT i, 'old' FROM generate_series(1, %d) i", c.there))
			s := cols(1, "id", "v")
			changes := c.write(s)
			if diff := cmp.Diff(c.ways, r.ways(changes)); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
			for range 2 { // the second time nothing is new
				r.must(false, changes...)
				r.rows("SELECT count(*), count(*) FILTER (WHERE v = 'new') FROM a", fmt.Sprintf("(%d,%[1]d)", max(c.there, len(changes))))
			}
		})
	}
}

// A copy that was refused is not tried at every batch again, and tried again after all.
func TestTheDirectWayIsTriedLessAndLessOften(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)")
	s := cols(1, "id", "v")
	again := batchOf("a", s, 1, defaultCopyMin, "x", true)
	r.must(false, again...)
	var direct []int
	for i := range 16 {
		o := &r.tgt.objects["a"].lastBinding.optimism
		before := o.refusals
		r.must(false, again...)
		if o.refusals > before {
			direct = append(direct, i)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 3, 7, 15}, direct); diff != "" {
		t.Errorf("copies tried (-want +got):\n%s", diff)
	}
}

// A row that has no binary form is copied as text, with all the others and those that follow; nothing of the first attempt stays.
func TestARowWithoutABinaryFormIsCopiedAsText(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v date)")
		s := cols(1, "id", "v")
		plain := batchOf("a", s, 1, defaultCopyMin, "2026-01-01", fresh)
		r.must(false, plain...)
		used := r.shapesInBinary("a")
		if used == 0 {
			t.Error("plain rows are copied as text")
		}
		mixed := batchOf("a", s, defaultCopyMin+1, 2*defaultCopyMin, "2026-01-01", fresh)
		mixed[defaultCopyMin/2] = put("a", s, fmt.Sprint(defaultCopyMin+1+defaultCopyMin/2), "0044-03-15 BC")
		mixed[defaultCopyMin/2].Fresh = fresh
		for range 2 {
			r.must(false, mixed...)
			r.rows("SELECT count(*), count(*) FILTER (WHERE v < '0001-01-01') FROM a", fmt.Sprintf("(%d,1)", 2*defaultCopyMin))
		}
		if left := r.shapesInBinary("a"); left >= used {
			t.Errorf("%d of %d statements still copy in binary", left, used)
		}
	}
}

// TestBinaryComesBack: one value without a binary form does not cost a table its speed for good, and many do not have every write done twice.
func TestBinaryComesBack(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v date)")
	s := cols(1, "id", "v")
	plain := batchOf("a", s, 1, defaultCopyMin, "2026-01-01", false)
	odd := slices.Clone(plain)
	odd[7] = put("a", s, "8", "0044-03-15 BC")
	var tried []int // in binary, at which write
	for i := range 60 {
		batch := plain
		if i == 2 || i > 20 {
			batch = odd
		}
		if !slices.ContainsFunc(r.shapes("a"), func(s *shape) bool { return s.textual > 0 }) {
			tried = append(tried, i)
		}
		r.must(false, batch...)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 18, 19, 20, 21, 53}, tried); diff != "" {
		t.Errorf("copies in binary (-want +got):\n%s", diff)
	}
	r.rows("SELECT count(*), count(*) FILTER (WHERE v < '0001-01-01') FROM a", fmt.Sprintf("(%d,1)", defaultCopyMin))
}

// shapes are the statements to the object whose rows are copied.
func (r *rig) shapes(object string) (list []*shape) {
	o := r.tgt.objects[object]
	if o == nil { // nothing was written yet
		return nil
	}
	for _, s := range o.lastBinding.shapes {
		if s.copy != "" {
			list = append(list, s)
		}
	}
	return list
}

// shapesInBinary counts the statements to the object whose rows are copied in binary.
func (r *rig) shapesInBinary(object string) (n int) {
	for _, s := range r.tgt.objects[object].lastBinding.shapes {
		if s.temp+s.copy != "" && s.encoders != nil && s.textual == 0 {
			n++
		}
	}
	return n
}

// What one record lets go of, a new one may take: the copy comes after the deletes.
func TestANewRecordTakesAUniqueValueOver(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text UNIQUE)")
	s := cols(1, "id", "v")
	r.must(false, put("a", s, "-1", "taken"))
	changes := []syncline.Change{{Op: syncline.ChangeDelete, Object: "a", Row: texts(s, "-1", "")}}
	for i := range defaultCopyMin {
		c := put("a", s, fmt.Sprint(i), map[bool]string{true: "taken", false: fmt.Sprint(i)}[i == 5])
		c.Fresh = true
		changes = append(changes, c)
	}
	r.must(false, changes...)
	r.rows("SELECT count(*), min(id) FILTER (WHERE v = 'taken') FROM a", fmt.Sprintf("(%d,5)", defaultCopyMin))
}

// Parents come before their children, whichever way they go.
func TestNewParentsComeBeforeTheirChildren(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE parent (id int PRIMARY KEY, v text)", "CREATE TABLE child (id int PRIMARY KEY, v int REFERENCES parent)")
	s := cols(1, "id", "v")
	changes := batchOf("parent", s, 1, defaultCopyMin, "7", true)
	for i, c := range batchOf("child", s, 1, defaultCopyMin, "7", true) {
		p := put("parent", s, fmt.Sprint(i+10_000), "7")
		p.Fresh = true
		changes = append(changes, c, p)
	}
	r.must(false, changes...)
	r.rows("SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)", fmt.Sprintf("(%d,%d)", 2*defaultCopyMin, defaultCopyMin))
}

// Deletes and updates of some columns go the same two ways, and agree on what was not there.
func TestManyDeletesAndPartialUpdates(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text, w text)", "INSERT INTO a SELECT i, 'v', 'w' FROM generate_series(1, 2000) i")
	s := cols(1, "id", "v", "w")
	var changes []syncline.Change
	for i := 1; i <= 2*defaultCopyMin; i++ {
		if i%2 == 0 {
			changes = append(changes, syncline.Change{Op: syncline.ChangeDelete, Object: "a", Row: texts(s, fmt.Sprint(i), "", "")})
		} else {
			changes = append(changes, put("a", s, fmt.Sprint(i), "-", "new"))
		}
	}
	changes = append(changes, put("a", s, "5000", "-", "new"))
	w := r.write(false, changes...)
	res, err := r.tgt.Apply(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range res.Outcomes {
		want := syncline.OutcomeApplied
		if i == len(changes)-1 {
			want = syncline.OutcomeMissing
		}
		if o != want {
			t.Fatalf("outcome of change %d = %v, want %v", i, o, want)
		}
	}
	r.rows("SELECT count(*), count(*) FILTER (WHERE id % 2 = 1 AND v = 'v' AND w = 'new') FROM a", "(1000,1000)")
}

func TestLargeGroupsAreWrittenInTheOrderOfTheirKeys(t *testing.T) {
	const n = 2 * defaultCopyMin
	ints, texts := cols(1, "id", "v"), cols(1, "id", "v")
	ints.Columns[0].Kind = syncline.KindInt
	for _, c := range []struct {
		typ    string
		schema *syncline.Schema
		key    func(i int) syncline.Value
	}{
		{"int", ints, func(i int) syncline.Value { return syncline.Int(int64(i*7919%n - n/2)) }},
		{"text COLLATE \"C\"", texts, func(i int) syncline.Value { return syncline.Text(fmt.Sprintf("%08d", i*7919%n)) }},
	} {
		t.Run(c.typ, func(t *testing.T) {
			r := newRig(t, Options{}, "CREATE TABLE a (id "+c.typ+" PRIMARY KEY, v text)")
			for _, fresh := range []bool{true, false} {
				r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "a"})
				var changes []syncline.Change
				for i := range n {
					changes = append(changes, syncline.Change{Op: syncline.ChangePut, Object: "a", Fresh: fresh,
						Row: syncline.Row{Schema: c.schema, Values: []syncline.Value{c.key(i), syncline.Text("x")}}})
				}
				r.must(false, changes...)
				r.rows("SELECT count(*), bool_and(before IS NULL OR before < id) FROM (SELECT id, lag(id) OVER (ORDER BY ctid) AS before FROM a) x",
					fmt.Sprintf("(%d,t)", n))
			}
		})
	}
}

// A statement is planned once, perhaps while the table is empty: it must find its rows by the key still when the table is large.
func TestStatementsFindTheirRowsByTheKey(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ANALYZE a")
	s := cols(1, "id", "v")
	r.must(false, batchOf("a", s, 1, defaultCopyMin, "x", false)...)
	b := r.tgt.objects["a"].lastBinding
	all := []int{0, 1}
	for _, shape := range []*shape{r.tgt.shape(b, kindUpdate, all, wayMerge, nil), r.tgt.shape(b, kindFill, all, wayMerge, nil),
		r.tgt.shape(b, kindDelete, b.key, wayMerge, nil)} {
		for _, sql := range shape.make {
			if _, err := r.tgt.s.conn.Exec(t.Context(), strings.Replace(sql, "CREATE TEMPORARY TABLE", "CREATE TEMPORARY TABLE IF NOT EXISTS", 1)); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := r.tgt.s.conn.Query(t.Context(), "EXPLAIN "+shape.sql)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan on a ") || !strings.Contains(plan, "a_pkey") || strings.Contains(plan, "JIT") {
			t.Errorf("%s:\n%s\nwant the table's rows found by its key, and nothing compiled", shape.sql, plan)
		}
	}
}

// TestLargeValuesAreCompressedOnce: what is copied to a temporary table to be updated from there is compressed where it is stored, and nowhere else.
func TestLargeValuesAreCompressedOnce(t *testing.T) {
	r := newRig(t, Options{}, "CREATE DOMAIN note AS text", "CREATE TABLE a (id int PRIMARY KEY, v text, n note, l text[], p text)", "ALTER TABLE a ALTER p SET STORAGE PLAIN")
	s := cols(1, "id", "v", "n", "l", "p")
	long := strings.Repeat("0123456789abcdef", 32<<10)
	r.must(false, put("a", s, "1", "x", "x", "{}", "p"))
	r.must(false, put("a", s, "1", long, long, "{"+long+"}", "p"))
	r.rows("SELECT v = repeat('0123456789abcdef', 32768), n = v, l[1] = v, p FROM a", "(t,t,t,p)")
	b := r.tgt.objects["a"].lastBinding
	shape := r.tgt.shape(b, kindUpdate, []int{0, 1, 2, 3, 4}, wayMerge, nil)
	if _, made := r.tgt.s.temps[shape.temp]; !made {
		t.Fatal("the row was not copied")
	}
	var storage string
	err := r.tgt.s.conn.QueryRow(t.Context(), "SELECT string_agg(attstorage::text, '' ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0",
		"pg_temp."+shape.temp).Scan(&storage)
	if err != nil || storage != "peeex" {
		t.Fatalf("the columns are stored as %q (%v), want peeex", storage, err)
	}
}
