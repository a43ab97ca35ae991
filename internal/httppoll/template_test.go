package httppoll

import (
	"net/url"
	"testing"
)

func TestBuild(t *testing.T) {
	base, _ := url.Parse("https://shop.example/api/?tenant=7")
	f := fills{"watermark": {"2026-01-02T03:04:05+02:00", false}, "page": {"3", true}, "key": {"a/b c?", false}, "dots": {"..", false}, "number": {"123456789012345678901234567890", true}}
	for _, tt := range []struct {
		r    Request
		url  string
		body string
	}{
		{Request{Path: "/orders"}, "https://shop.example/api/orders?tenant=7", ""},
		{Request{Path: "orders/{key}"}, "https://shop.example/api/orders/a%2Fb%20c%3F?tenant=7", ""},
		{Request{Path: "/orders/{dots}"}, "https://shop.example/api/orders/%2E%2E?tenant=7", ""},
		{Request{Path: "/orders?status=any", Query: []Param{{"since", "{watermark}"}, {"cursor", "{cursor}"}, {"page", "{page}"}, {"q", "{{x}}"}}},
			"https://shop.example/api/orders?tenant=7&status=any&since=2026-01-02T03%3A04%3A05%2B02%3A00&page=3&q=%7Bx%7D", ""},
		{Request{Path: "/orders/{cursor}"}, "", ""},
		{Request{Path: "/q", Method: "POST", Body: `{"since": "{watermark}", "page": "{page}", "text": "p{page}", "cursor": "{cursor}", "n": [1.50, "{cursor}", "{number}"], "a": {"b": "<{key}>"}}`},
			"https://shop.example/api/q?tenant=7", `{"a":{"b":"<a/b c?>"},"n":[1.50,123456789012345678901234567890],"page":3,"since":"2026-01-02T03:04:05+02:00","text":"p3"}`},
	} {
		r, ok := tt.r.build(base, f)
		if ok != (tt.url != "") {
			t.Errorf("build(%+v) ok = %t", tt.r, ok)
			continue
		}
		if ok && (r.url.String() != tt.url || string(r.body) != tt.body) {
			t.Errorf("build(%+v) = %s %s\nwant %s %s", tt.r, r.url, r.body, tt.url, tt.body)
		}
	}
}

func FuzzFill(f *testing.F) {
	for _, s := range []string{"{a}", "{{a}}", "}{", "{", "x{a}y{b}", "{{{a}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, matched := Placeholders(text)
		known := fills{}
		for _, n := range names {
			known[n] = fill{"v", false}
		}
		if _, ok := known.fill(text, nil); ok != matched {
			t.Errorf("fill(%q) ok = %t, its placeholders %t", text, ok, matched)
		}
	})
}
