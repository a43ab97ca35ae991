package transform

import (
	"testing"

	"syncline"
)

// BenchmarkStep measures what each kind of step costs a row of eight columns.
func BenchmarkStep(b *testing.B) {
	for _, s := range []Step{
		Rename{[]Pair{{"code", "c"}}},
		Map{[]Mapping{{Pair: Pair{"address.city", "city"}, Keep: true}}},
		Flatten{[]Flattening{{Field: "address", Parts: []Part{{"city", "city", 0}, {"geo.lat", "lat", syncline.KindDecimal}}}}},
		Nest{[]Nesting{{To: "item", Members: []Pair{{"code", "code"}, {"price", "price"}}}}},
		Defaults{[]Filling{{"code", *text("none")}}},
		assignments("x", "lower(after.code)"),
		Calculate{[]Calculation{{Field: "x", Expression: "after.qty * after.price", Scale: ptr(2)}}},
		Convert{[]Conversion{{Field: "qty", To: syncline.KindDecimal}}},
		Format{[]Formatting{{Field: "placed", Layout: "%d.%m.%Y %H:%M", Zone: "Europe/Berlin"}}},
		Lookup{[]LookupField{{Field: "x", From: "qty", Table: []Entry{{*text("3"), *text("three")}}}}},
		Mask{[]Masking{{Field: "code", KeepLast: 2, With: "*"}}},
		Hash{[]Hashing{{Field: "code", Key: secret("0123456789abcdef")}}},
		Filter{"after.qty > 1"},
		Keep{[]string{"id", "code"}},
		Drop{[]string{"address"}},
	} {
		b.Run(s.Kind(), func(b *testing.B) {
			t, err := Compile([]Step{s})
			if err != nil {
				b.Fatal(err)
			}
			p, err := t.Bind(order)
			if err != nil {
				b.Fatal(err)
			}
			events, dst := change(), make([]syncline.Value, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := p.Apply(events, 0, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
