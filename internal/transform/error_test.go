package transform

import (
	"errors"
	"strings"
	"testing"

	"syncline"
)

func TestRejectedErrorsNameStepAndFieldNeverTheValue(t *testing.T) {
	in := row()
	in[1] = syncline.Text("s3cret")
	for _, tt := range []struct {
		steps []Step
		want  string
	}{
		{[]Step{Drop{[]string{"rev"}}, assignments("x", "after.name + 1")}, "transform_failed: step 2 (set x): + cannot take text and a number"},
		{[]Step{Convert{[]Conversion{{Field: "name", To: syncline.KindInt}}}}, "transform_failed: step 1 (convert name): a value of kind text cannot become int"},
		{[]Step{Set{[]Assignment{{"x", "after.name", syncline.KindDate}}}}, "transform_failed: step 1 (set x): a value of kind text cannot become date"},
		{[]Step{Filter{"after.name"}}, "transform_failed: step 1 (filter): a condition must be true or false, not text"},
	} {
		_, _, err := plan(t, tt.steps...).Apply(batch(nil, in), 0, nil)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") || syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("Apply: %v, want rejected %s", err, tt.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct {
		step Step
		want string
	}{
		{Rename{}, "bad_step: step 1 (rename): the step names no field"},
		{Rename{[]Pair{{"a", "b"}, {"c", "b"}}}, "bad_step: step 1 (rename): c to b: one of the names is used twice"},
		{Map{[]Mapping{{Pair: Pair{"a", "a"}, Keep: true}}}, "bad_step: step 1 (map): a to a"},
		{Drop{[]string{"a", "a"}}, "bad_step: step 1 (drop): a is named twice"},
		{Keep{[]string{""}}, "bad_step: step 1 (keep): a field needs a name"},
		{assignments("a", "lower("), "bad_step: step 1 (set): unexpected token EOF"},
		{assignments("a", "1", "a", "2"), "bad_step: step 1 (set): a is set twice"},
		{Set{[]Assignment{{"a", "1", syncline.KindRaw}}}, "bad_step: step 1 (set): a cannot be of kind raw"},
		{Filter{"after."}, "bad_step: step 1 (filter)"},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindNull}}}, "bad_step: step 1 (convert): a cannot become null"},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindInt}, {Field: "a", To: syncline.KindText}}}, "bad_step: step 1 (convert): a is converted twice"},
		{Convert{[]Conversion{{Field: "a", To: syncline.KindInt, Default: &Constant{syncline.Text("none")}}}}, "bad_step: step 1 (convert): the default of a: a value of kind text cannot become int"},
	} {
		if _, err := Compile([]Step{tt.step}); err == nil || !strings.HasPrefix(err.Error(), tt.want) || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("Compile(%v) = %v, want fatal %s", tt.step, err, tt.want)
		}
	}
}

func TestBindErrors(t *testing.T) {
	for _, tt := range []struct {
		steps     []Step
		want, fix string
	}{
		{[]Step{Drop{[]string{"Email"}}}, `unknown_column: step 1 (drop): customer has no column "Email" at this step`, `write it as "email"`},
		{[]Step{Drop{[]string{"email"}}, assignments("x", "after.email")}, `unknown_column: step 2 (set): customer has no column "email"`, "it has credit, id, name, rev, total"},
		{[]Step{assignments("x", "after.total + 1")}, `column_computed: step 1 (set): column "total" of customer is computed by the source`, "use the columns that it is computed from: credit * 2"},
		{[]Step{Rename{[]Pair{{"email", "name"}}}}, `column_exists: step 1 (rename): there is a column "name" already`, "drop or rename it first"},
		{[]Step{Map{[]Mapping{{Pair: Pair{"email", "name"}, Keep: true}}}}, `column_exists: step 1 (map)`, "drop or rename it first"},
		{[]Step{Keep{[]string{"name"}}}, "key_dropped: the transform removes id, which is part of the key of customer", "keep the column; rename it if it has another name at the target"},
		{[]Step{Convert{[]Conversion{{Field: "id", To: syncline.KindUUID, Default: &Constant{syncline.Null}}}}}, "bad_key: step 1 (convert): id is part of the key of customer",
			"let such a record be parked: no default, and no policy but reject"},
		{[]Step{assignments("id", "string(after.id) + after.name")}, "bad_key: step 1 (set id)", "compute key columns from key columns only, or set another column"},
		{[]Step{assignments("x", "string(after.id) + event.op"), assignments("id", "after.x")}, "bad_key: step 1 (set x)", "compute key columns from key columns only, or set another column"},
	} {
		tr, err := Compile(tt.steps)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tr.Bind(source)
		var e *syncline.Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), tt.want) || e.Fix != tt.fix || e.Class != syncline.Fatal {
			t.Errorf("Bind = %v (%+v), want %s", err, e, tt.want)
		}
	}
}
