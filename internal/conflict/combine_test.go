package conflict

import (
	"strconv"
	"strings"
	"testing"

	"syncline"
)

// TestUnionOfLongLists: the target's record is locked while lists are joined, so the time must not grow with the product of their lengths.
func TestUnionOfLongLists(t *testing.T) {
	const n = 50_000
	numbers := func(from, to int, between string) string {
		list := make([]string, 0, to-from)
		for i := from; i < to; i++ {
			list = append(list, strconv.Itoa(i))
		}
		return strings.Join(list, between)
	}
	got, err := Union(syncline.Text(numbers(n/2, 2*n, ",")), syncline.Text(numbers(0, n, ", ")))
	if want := numbers(0, 2*n, ", "); err != nil || got.Text() != want {
		t.Errorf("words: %d bytes, want %d, %v", len(got.Text()), len(want), err)
	}
	got, err = Union(syncline.JSON([]byte("["+numbers(n/2, 2*n, ".0,")+"]")), syncline.JSON([]byte("["+numbers(0, n, ",")+"]")))
	if want := "[" + numbers(0, n, ", ") + ", " + numbers(n, 2*n, ".0, ") + "]"; err != nil || string(got.Bytes()) != want {
		t.Errorf("elements: %d bytes, want %d, %v", len(got.Bytes()), len(want), err)
	}
}
