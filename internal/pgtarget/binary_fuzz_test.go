package pgtarget

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"syncline"
)

// FuzzBinary: what is copied in binary means what its text says, by the reading of a driver that is not ours.
func FuzzBinary(f *testing.F) {
	kinds := []struct {
		typ  string
		oid  uint32
		kind syncline.Kind
	}{
		{"numeric", pgtype.NumericOID, syncline.KindDecimal}, {"bigint", pgtype.Int8OID, syncline.KindInt}, {"double precision", pgtype.Float8OID, syncline.KindFloat}, {"date", pgtype.DateOID, syncline.KindDate},
		{"timestamp without time zone", pgtype.TimestampOID, syncline.KindTimestamp}, {"timestamp with time zone", pgtype.TimestamptzOID, syncline.KindTimestampTZ},
		{"time without time zone", pgtype.TimeOID, syncline.KindTime}, {"uuid", pgtype.UUIDOID, syncline.KindUUID}, {"boolean", pgtype.BoolOID, syncline.KindBool},
	}
	short := strings.NewReplacer(" without time zone", "", "timestamp with time zone", "timestamptz")
	for i, k := range kinds {
		for _, text := range formsOfTypes[short.Replace(k.typ)] {
			f.Add(byte(i), text)
		}
	}
	m := pgtype.NewMap()
	f.Fuzz(func(t *testing.T, n byte, text string) {
		k := kinds[int(n)%len(kinds)]
		out, ok := encoders[k.typ]([]byte("x"), syncline.Raw(k.kind, []byte(text)))
		if !ok {
			return
		}
		if out[0] != 'x' || int(binary.BigEndian.Uint32(out[1:])) != len(out)-5 {
			t.Fatalf("%s %q: % x has another length than it says", k.typ, text, out)
		}
		p, ok := m.TypeForOID(k.oid)
		if !ok {
			t.Fatalf("the driver has no %s", k.typ)
		}
		read, err := p.Codec.DecodeValue(m, k.oid, pgtype.BinaryFormatCode, out[5:])
		if err != nil {
			t.Fatalf("%s %q: % x cannot be read: %v", k.typ, text, out[5:], err)
		}
		want, got := strings.TrimPrefix(text, "-"), ""
		switch v := read.(type) {
		case pgtype.Numeric:
			exact, ok := new(big.Rat).SetString(text)
			scaled := new(big.Rat).SetInt(v.Int)
			scaled.Mul(scaled, power(int(v.Exp)))
			if !ok || exact.Cmp(scaled) != 0 {
				t.Errorf("numeric %q is read as %s", text, scaled)
			}
			return
		case time.Time:
			at, err := syncline.Raw(k.kind, []byte(text)).AsTime()
			if err == nil && !at.Equal(v) {
				t.Errorf("%s %q is read as %s", k.typ, text, v)
			}
			return
		case pgtype.InfinityModifier:
			got = strings.TrimPrefix(v.String(), "-")
		case pgtype.Time:
			got = time.UnixMicro(v.Microseconds).UTC().Format("15:04:05.999999")
			if head, tail, found := strings.Cut(want, "."); found {
				want = strings.TrimSuffix(head+"."+strings.TrimRight(tail, "0"), ".")
			}
		case int64:
			got, want = strconv.FormatInt(v, 10), text
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				want = strconv.FormatInt(n, 10)
			}
		case float64:
			if f, err := strconv.ParseFloat(text, 64); err != nil || f != v && f == f {
				t.Errorf("%s %q is read as %v", k.typ, text, v)
			}
			return
		case bool:
			got, want = strconv.FormatBool(v)[:1], text[:1]
		case [16]byte:
			got, want = pgtype.UUID{Bytes: v, Valid: true}.String(), strings.ToLower(text)
		default:
			t.Fatalf("%s is read as %T", k.typ, v)
		}
		if got != want {
			t.Errorf("%s %q is read as %s", k.typ, text, got)
		}
	})
}

func power(exponent int) *big.Rat {
	p := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		p.Inv(p)
	}
	return p
}

// FuzzScale: a number has so many digits behind the point that shifting it by them gives a whole number, and by one less does not.
func FuzzScale(f *testing.F) {
	for _, s := range []string{"1.50", "0", "-0.00", "1e-7", "1E+5", "12e-1", ".5", "5.", "NaN", "Infinity", "", "-", "1e", "1e9999999999999999999", "00.10", " 1.5 ", "1_0", "0x10", "--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scale := scaleOf([]byte(text))
		if len(text) > 50 || scale < -400 || scale > 400 || bytes.ContainsAny([]byte(text), "_xXpPbBoO/") {
			return
		}
		n, ok := new(big.Rat).SetString(strings.TrimSpace(text))
		if !ok || n.Sign() == 0 {
			return
		}
		if !new(big.Rat).Mul(n, power(scale)).IsInt() || new(big.Rat).Mul(n, power(scale-1)).IsInt() {
			t.Errorf("%q has %d digits behind the point", text, scale)
		}
	})
}
