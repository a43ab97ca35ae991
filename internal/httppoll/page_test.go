package httppoll

import (
	"testing"

	"syncline"
)

// TestPages: where a listing goes on, and where it ends.
func TestPages(t *testing.T) {
	yes, no := true, false
	full := func(print uint64) turn { return turn{count: 2, print: print} }
	for name, tt := range map[string]struct {
		paging Paging
		turns  []turn
		want   string // for each page: its place; at the end what became of it
	}{
		"one page":                        {Paging{}, []turn{full(1)}, "- end"},
		"numbers, to an empty page":       {Paging{By: ByNumber, First: 1}, []turn{full(1), {count: 1, print: 2}, {print: 3}}, "1 2 3 end"},
		"numbers that say more":           {Paging{By: ByNumber}, []turn{{count: 2, print: 1, more: &yes}, {print: 2, more: &yes}, {print: 2, more: &yes}, {count: 2, print: 3, more: &no}}, "0 1 2 3 end"},
		"offsets count what came":         {Paging{By: ByOffset, Size: 100}, []turn{full(1), {count: 50, print: 2}, {}}, "0 2 52 end"},
		"offsets that say more for ever":  {Paging{By: ByOffset}, []turn{{more: &yes}, {more: &yes}}, "0 0 api_pages_endless"},
		"the last page again and again":   {Paging{By: ByNumber, First: 1}, []turn{full(1), full(2), full(2)}, "1 2 3 api_pages_endless"},
		"cursors":                         {Paging{By: ByCursor, Next: "n"}, []turn{{next: "a"}, {next: "b"}, {}}, "- a b end"},
		"cursors after the end":           {Paging{By: ByCursor, Next: "n", More: "m"}, []turn{{next: "a", more: &yes}, {next: "b", more: &no}}, "- a end"},
		"a cursor again":                  {Paging{By: ByCursor, Next: "n"}, []turn{{next: "a"}, {next: "b"}, {next: "a"}}, "- a b api_pages_endless"},
		"more, and no cursor":             {Paging{By: ByCursor, Next: "n", More: "m"}, []turn{{more: &yes}}, "- api_pages_endless"},
		"links":                           {Paging{By: ByLink}, []turn{{next: "/2"}, {}}, "- /2 end"},
		"a link back":                     {Paging{By: ByLink}, []turn{{next: "/2"}, {next: "/2"}}, "- /2 api_pages_endless"},
		"more pages than there should be": {Paging{By: ByCursor, Next: "n", Max: 2}, []turn{{next: "a"}, {next: "b"}}, "- a api_pages_endless"},
	} {
		pl := tt.paging.begin()
		got := ""
		for i, turn := range tt.turns {
			f := fills{}
			pl.fill(f)
			at := "-"
			switch {
			case f["page"].text != "":
				at = f["page"].text
			case pl.next != "":
				at = pl.next
			}
			got += at + " "
			more, err := pl.take(turn)
			if err != nil {
				got += syncline.CodeOf(err)
				break
			}
			if !more {
				got += "end"
				break
			}
			if i == len(tt.turns)-1 {
				got += "more"
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestNextLink(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{`<https://shop.example/?page=2>; rel="next"`, "https://shop.example/?page=2"},
		{`<https://shop.example/?page=1>; rel="prev", </?page=3>; rel="next", </?page=9>; rel="last"`, "/?page=3"},
		{`</?a=1,2;3>; title="a, b; rel=next"; rel=prev, </?n>; REL=Next`, "/?n"},
		{`</?n>; rel="last next"`, "/?n"},
		{`</?n>; rel="nextish"`, ""},
		{`</?n>; rel=prev; rel=next`, ""},
		{`</?n>; title="\", </?x>; rel=next"`, ""},
		{`</?n`, ""},
		{`nothing`, ""},
	} {
		if got := nextLink([]string{tt.header}); got != tt.want {
			t.Errorf("nextLink(%s) = %q, want %q", tt.header, got, tt.want)
		}
	}
	if got := nextLink([]string{`</p>; rel=prev`, `</n>; rel=next`}); got != "/n" {
		t.Errorf("next in a second header: %q", got)
	}
}

func TestTurn(t *testing.T) {
	body := []byte(`{"meta": {"next": "abc", "n": 17, "more": true, "none": null, "zero": 0, "no": false, "o": {}}}`)
	for _, tt := range []struct {
		paging Paging
		next   string
		number bool
		more   string
	}{
		{Paging{By: ByCursor, Next: "meta.next"}, "abc", false, ""},
		{Paging{By: ByCursor, Next: "meta.n", More: "meta.more"}, "17", true, "true"},
		{Paging{By: ByCursor, Next: "meta.none", More: "meta.none"}, "", false, "false"},
		{Paging{By: ByCursor, Next: "meta.missing", More: "meta.zero"}, "", false, "false"},
		{Paging{By: ByCursor, Next: "meta.no", More: "meta.no"}, "", false, "false"},
		{Paging{By: ByCursor, Next: "meta.o", More: "meta.missing"}, "", false, "false"},
		{Paging{By: ByNumber, More: "meta.n"}, "", false, "true"},
	} {
		got := tt.paging.turn(&answer{body: body})
		more := ""
		if got.more != nil {
			more = map[bool]string{true: "true", false: "false"}[*got.more]
		}
		if got.next != tt.next || got.number != tt.number || more != tt.more {
			t.Errorf("%+v: next %q number %t more %s", tt.paging, got.next, got.number, more)
		}
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`<a>; rel="next", <b>; rel=prev`)
	f.Fuzz(func(t *testing.T, s string) { nextLink([]string{s}) })
}
