package conflict

import (
	"strconv"
	"testing"
	"time"

	"syncline"
)

// BenchmarkDecide measures a decision about an event that changes one field of nine, of which nobody else has written any; the target has
// the event before.
func BenchmarkDecide(b *testing.B) {
	s := &syncline.Schema{Entity: "account", Key: []int{0}, Version: -1}
	row := []syncline.Value{syncline.Int(7)}
	for _, name := range []string{"id", "name", "mail", "city", "amount", "note", "count", "active", "mark", "day"} {
		s.Columns = append(s.Columns, syncline.Column{Name: name, Kind: syncline.KindText})
	}
	for range s.Columns[1:] {
		row = append(row, syncline.Text("the value of a field"))
	}
	c, err := Compile(Policy{Detect: []Detector{Version, Data}, Strategy: LastWriteWins}, "warehouse")
	if err != nil {
		b.Fatal(err)
	}
	r, err := c.Bind(s)
	if err != nil {
		b.Fatal(err)
	}
	var held syncline.Held
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		ev := Event{Log: DigestOf("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), Seq: syncline.Seq(n), Stamp: Stamp{time.Unix(int64(n), 0), "crm", DigestOf("crm/1/16B3748/" + strconv.Itoa(n))}}
		ours := append([]syncline.Value(nil), row...)
		ours[4] = syncline.Int(int64(n))
		v, err := r.Decide(&ev, ours, nil, held)
		if err != nil || v.Op != syncline.ChangePut || v.Conflict != nil {
			b.Fatalf("Decide = %+v, %v", v, err)
		}
		held = syncline.Held{Values: merged(v.Values, held.Values), Shadow: v.Shadow}
	}
	b.ReportMetric(float64(len(held.Shadow)), "shadow-bytes")
}
