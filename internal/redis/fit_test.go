package redis

import (
	"testing"

	"syncline"
)

// TestFit: what would stop every record is told without a server.
func TestFit(t *testing.T) {
	two := &syncline.Schema{Entity: "line", Version: -1, Key: []int{0, 1}, Columns: []syncline.Column{{Name: "order"}, {Name: "no"}, {Name: "text"}}}
	loose := &syncline.Schema{Entity: "audit", Version: -1, Columns: []syncline.Column{{Name: "text"}}}
	for _, tt := range []struct {
		template string
		schema   *syncline.Schema
		code     string
	}{
		{"", two, ""},
		{"{object}:{order}/{no}", two, ""},
		{"{object}:{order}", two, "redis_key_template"},
		{"{object}:{key}:{text}", two, "redis_key_template"},
		{"", loose, "key_missing"},
	} {
		err := Fit("line", Object{KeyTemplate: tt.template}, tt.schema)
		if tt.code == "" && err != nil || tt.code != "" && syncline.CodeOf(err) != tt.code {
			t.Errorf("Fit(%q, %s) = %v, want %q", tt.template, tt.schema.Entity, err, tt.code)
		}
	}
}
