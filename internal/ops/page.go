package ops

import (
	"context"

	"syncline"
)

// List is a page. Next is the cursor of the next one, "" on the last.
type List[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as after to get the next page."`
}

// page is which part of a list is asked for.
type page struct {
	After string `query:"after" doc:"The next of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// answerPage answers with the page of a list that is as long as the configuration makes it. Its cursor is the id of the last item before.
func answerPage[T any](ctx context.Context, a *api, items []T, p *page, id func(*T) string, err error) (*reply[List[T]], error) {
	begin := 0
	for i := range items {
		if p.After != "" && id(&items[i]) == p.After {
			begin = i + 1
		}
	}
	if err == nil && p.After != "" && begin == 0 {
		err = syncline.Errorf(syncline.Rejected, "cursor_invalid", "the page's cursor is not one that this list gave, or what it stood for is gone").
			WithFix("start again without a cursor")
	}
	list := List[T]{Items: some(items[begin:])}
	if len(list.Items) > p.Limit {
		list.Items = list.Items[:p.Limit]
		list.Next = id(&list.Items[p.Limit-1])
	}
	return answer(ctx, a, list, err)
}

// some makes an empty list of none, so that it is [] and not null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
