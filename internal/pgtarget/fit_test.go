package pgtarget

import (
	"strings"
	"testing"

	"syncline"
)

// TestFit: what Define would refuse is told beforehand, and nothing is made or altered, also where Define would.
func TestFit(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)", "CREATE TABLE keyless (id int)", "CREATE SCHEMA shut", "CREATE ROLE fitter LOGIN",
		"GRANT USAGE ON SCHEMA shut TO fitter", "CREATE TABLE own (id int PRIMARY KEY)", "ALTER TABLE own OWNER TO fitter",
		"CREATE TABLE lent (id int PRIMARY KEY)", "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON lent TO fitter",
		"CREATE TABLE kept (id int PRIMARY KEY, _syncline_seq bigint)", "CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (id int REFERENCES parent)",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON kept, parent TO fitter")
	t.Cleanup(func() { execute(t, r.c, "DROP OWNED BY fitter", "DROP ROLE fitter") })
	url := r.tgt.o.URL
	guest := strings.Replace(url, "postgres@", "fitter@", 1)
	s := cols(1, "id", "v", "w")
	for _, tt := range []struct {
		o    Options
		d    syncline.Definition
		code string
	}{
		{Options{URL: url}, syncline.Definition{Object: "a"}, ""},
		{Options{URL: url}, syncline.Definition{Object: "a", Policy: syncline.SchemaEvolve}, ""},
		{Options{URL: url, Guard: true}, syncline.Definition{Object: "a"}, "guard_missing"},
		{Options{URL: url, Guard: true}, syncline.Definition{Object: "a", Policy: syncline.SchemaEvolve}, ""},
		{Options{URL: url}, syncline.Definition{Object: "keyless", Policy: syncline.SchemaEvolve}, "key_index_missing"},
		{Options{URL: url}, syncline.Definition{Object: "nowhere"}, "object_missing"},
		{Options{URL: url}, syncline.Definition{Object: "nowhere", Create: true}, ""},
		{Options{URL: url}, syncline.Definition{Object: "none.nowhere", Create: true}, "schema_missing"},
		{Options{URL: url + "&search_path=none"}, syncline.Definition{Object: "nowhere", Create: true}, "schema_missing"},
		{Options{URL: guest}, syncline.Definition{Object: "shut.nowhere", Create: true}, "permission_denied"},
		{Options{URL: guest}, syncline.Definition{Object: "a"}, "permission_denied"},
		{Options{URL: guest}, syncline.Definition{Object: "own", Policy: syncline.SchemaEvolve}, ""},
		{Options{URL: guest}, syncline.Definition{Object: "lent"}, ""},
		{Options{URL: guest}, syncline.Definition{Object: "kept"}, "permission_denied"}, // no TRUNCATE
		{Options{URL: guest, Guard: true}, syncline.Definition{Object: "kept"}, ""},     // it is emptied by DELETE
		{Options{URL: guest}, syncline.Definition{Object: "parent"}, ""},                // so is this one
		{Options{URL: guest}, syncline.Definition{Object: "lent", Policy: syncline.SchemaEvolve}, "permission_denied"},
	} {
		tt.d.Schema = s
		_, err := Fit(t.Context(), tt.o, tt.d)
		if tt.code != "" {
			wantError(t, err, syncline.Fatal, tt.code)
		} else if err != nil {
			t.Errorf("Fit(%+v) = %v, want no error", tt.d, err)
		}
	}
	r.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^_syncline' ORDER BY 1", "(a)", "(child)", "(kept)", "(keyless)", "(lent)", "(own)", "(parent)")
	r.rows("SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'a'", "(2)")
}
