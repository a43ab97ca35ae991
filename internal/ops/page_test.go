package ops

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestEveryListHasPages walks the document: what answers with a next takes it as after, with a limit.
func TestEveryListHasPages(t *testing.T) {
	_, url := serve(t, &fake{})
	_, body := get(t, url+"/openapi.json")
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
			Responses  map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	must(t, json.Unmarshal([]byte(body), &doc))
	lists := 0
	for path, methods := range doc.Paths {
		get, ok := methods["get"]
		if !ok {
			continue
		}
		schema := doc.Components.Schemas[strings.TrimPrefix(get.Responses["200"].Content["application/json"].Schema.Ref, "#/components/schemas/")]
		if schema.Properties["items"] == nil {
			continue
		}
		lists++
		takes := map[string]bool{}
		for _, p := range get.Parameters {
			takes[p.Name] = p.In == "query"
		}
		if schema.Properties["next"] == nil || !takes["after"] || !takes["limit"] {
			t.Errorf("%s is a list without pages", path)
		}
	}
	if lists < 6 {
		t.Errorf("only %d lists were found", lists)
	}
}

func TestPagesOfTheConfiguration(t *testing.T) {
	f := &fake{}
	for i := range 250 {
		f.list = append(f.list, RouteStatus{ID: fmt.Sprint("r", i)})
	}
	c, url := serve(t, f)
	list, err := c.Routes(t.Context())
	if err != nil || len(list) != 250 || list[249].ID != "r249" {
		t.Errorf("Routes = %d, %v, want all 250 in their order", len(list), err)
	}
	if res, body := get(t, url+"/v1/routes?limit=2&after=r247"); res.StatusCode != 200 || strings.Contains(body, "next") || !strings.Contains(body, "r249") || strings.Contains(body, "r247") {
		t.Errorf("the last page = %d %s", res.StatusCode, body)
	}
	if res, body := get(t, url+"/v1/routes?after=gone"); res.StatusCode != 422 || !strings.Contains(body, "cursor_invalid") {
		t.Errorf("after a route that is gone = %d %s", res.StatusCode, body)
	}
}
