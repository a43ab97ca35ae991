package expression

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"syncline"
)

// A bomb ends in an error, soon.
func TestBombs(t *testing.T) {
	// Each list holds the one before it twice: small in memory, endless when it is written out.
	doubling := "let x0 = [0];"
	for i := 1; i < 60; i++ {
		doubling += fmt.Sprintf(" let x%d = [x%d, x%d];", i, i-1, i-1)
	}
	for _, source := range []string{
		`repeat("x", 1000000000)`,
		`let a = repeat("x", 1000000); let b = replace(a, "x", a); len(b)`,
		`reduce(1..1000, #acc + #acc, "aaaa")`,
		`let a = 1..100000; all(a, all(a, all(a, true)))`,
		`let a = 1..100000; count(a, # in a)`,
		`map(1..1000, map(1..1000, map(1..1000, #)))`,
		`1..1000000000`,
		`reduce(1..100, concat(#acc, #acc), [1, 2])`,
		`reduce(1..1000, #acc * #acc, 10)`,
		`reduce(1..1000, #acc * 1e300, 1.5)`,
		`join(map(1..100000, repeat("x", 10000)))`,
		`let a = 1..100000; uniq(a)`,
		`round(1.5, 1000000000)`,
		`fromJSON(repeat("[", 100000))`,
		`decimal(repeat("9", 1000000))`,
		`let x = repeat("9", 9000); all(1..400000, decimal(x) > 0)`,
		`let x = decimal("1e9000"); all(1..400000, round(x, 2) > 0)`,
		`let x = decimal("1e9000"); all(1..400000, x + 0.5 > 0)`,
		`let x = decimal("1e9000"); all(1..400000, x % 7.1 >= 0)`,
		`all(1..100000, repeat("a", 1000) matches repeat("(a{1,500})", # > 0 ? 1 : 1))`,
		`all(1..1000, repeat("a", 100000) matches "((a?){30}){30}b" ? true : true)`,
		`let a = repeat("x", 1000000); let b = a + "y"; let c = a + "y"; all(1..300000, b == c)`,
		`let a = repeat("x", 1000000); let b = a + "y"; let c = a + "z"; all(1..300000, b < c)`,
		doubling + " toJSON(x59)",
		doubling + " x59",
		doubling + " x59 == [x58, x58]",
	} {
		p, err := Compile(source)
		if err != nil {
			t.Errorf("Compile(%.60s): %v", source, err)
			continue
		}
		b, err := p.Bind(schema, schema)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		v, err := b.Value(event(syncline.OpCreated, nil, row()))
		if syncline.CodeOf(err) != "expression_failed" || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("%.60s = %.40s, %v, want a rejected expression_failed", source, v, err)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("%.60s took %s", source, took)
		}
	}
}

// TestNumbersWithManyZerosStayShort: a small document must not become one of gigabytes.
func TestNumbersWithManyZerosStayShort(t *testing.T) {
	values := row()
	values[7] = syncline.JSON([]byte(`[1e90000, -1.20e-90000, 1e21, 0.0000012, 0e-90000]`))
	v, err := bind(t, `filter(after.address, true)`).Value(event(syncline.OpCreated, nil, values))
	if want := `[1e+90000,-1.20e-90000,1000000000000000000000,0.0000012,0e-90000]`; err != nil || v.Text() != want {
		t.Errorf("a document with large numbers is %.100s, %v, want %s", v.Text(), err, want)
	}
	if !syncline.Equal(v, values[7]) {
		t.Error("its numbers are others now")
	}
}

// Values never reach an error.
func TestErrorsShowNoValues(t *testing.T) {
	values := row()
	values[1] = syncline.Text("s3cret")
	for _, source := range []string{
		`after.name + 1`, `int(after.name)`, `date(after.name)`, `after.name ? 1 : 2`, `fromJSON(after.name)`, `after.name.x`,
		`sum([after.name])`, `keys(after.name)`, `after.name < 3`, `1..after.name`, `"a" matches (after.name + "(")`, `after.id["s3cret"]`,
		`after.name in after.name`, `{"a": 1}[after.id]`,
	} {
		_, err := bind(t, source).Value(event(syncline.OpCreated, nil, values))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want an error without the value", source, err)
		}
	}
}
