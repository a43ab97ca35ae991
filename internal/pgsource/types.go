package pgsource

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"syncline"
)

// typeInfo says what the values of a type are. A domain is what its base type is, an enum is text.
type typeInfo struct {
	kind, elem syncline.Kind
}

var builtinKinds = map[uint32]syncline.Kind{
	pgtype.BoolOID:        syncline.KindBool,
	pgtype.ByteaOID:       syncline.KindBytes,
	pgtype.QCharOID:       syncline.KindText,
	pgtype.NameOID:        syncline.KindText,
	pgtype.Int8OID:        syncline.KindInt,
	pgtype.Int2OID:        syncline.KindInt,
	pgtype.Int4OID:        syncline.KindInt,
	pgtype.OIDOID:         syncline.KindInt,
	pgtype.TextOID:        syncline.KindText,
	pgtype.BPCharOID:      syncline.KindText,
	pgtype.VarcharOID:     syncline.KindText,
	pgtype.JSONOID:        syncline.KindJSON,
	pgtype.JSONBOID:       syncline.KindJSON,
	pgtype.Float4OID:      syncline.KindFloat,
	pgtype.Float8OID:      syncline.KindFloat,
	pgtype.NumericOID:     syncline.KindDecimal,
	pgtype.DateOID:        syncline.KindDate,
	pgtype.TimeOID:        syncline.KindTime,
	pgtype.TimestampOID:   syncline.KindTimestamp,
	pgtype.TimestamptzOID: syncline.KindTimestampTZ,
	pgtype.UUIDOID:        syncline.KindUUID,
}

// learnTypes looks up what the source does not know yet of these types. A type that is gone from the catalog, or has no kind
// of its own, is raw.
func (s *Source) learnTypes(ctx context.Context, oids []uint32) error {
	var unknown []uint32
	for _, oid := range oids {
		if _, ok := s.types[oid]; ok {
			continue
		}
		if kind, ok := builtinKinds[oid]; ok {
			s.types[oid] = typeInfo{kind: kind}
			continue
		}
		s.types[oid] = typeInfo{kind: syncline.KindRaw}
		unknown = append(unknown, oid)
	}
	if len(unknown) == 0 {
		return nil
	}
	// A domain is followed to its base type, and an array to its element, which may be a domain again. An array with another delimiter than
	// the comma (box[]) is raw: nobody else would find its elements.
	rows, err := s.sql.Query(ctx, `
		WITH RECURSIVE base(asked, oid) AS (
			SELECT oid, oid FROM pg_type WHERE oid = ANY($1)
			UNION ALL SELECT b.asked, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
		), element(asked, oid) AS (
			SELECT b.asked, t.typelem FROM base b JOIN pg_type t ON t.oid = b.oid JOIN pg_type te ON te.oid = t.typelem
			WHERE t.typcategory = 'A' AND t.typlen = -1 AND te.typdelim = ','
			UNION ALL SELECT e.asked, t.typbasetype FROM element e JOIN pg_type t ON t.oid = e.oid WHERE t.typtype = 'd'
		)
		SELECT b.asked, t.oid, t.typtype = 'e' OR t.typtype = 'b' AND t.typcategory = 'S', coalesce(te.oid, 0),
			coalesce(te.typtype = 'e' OR te.typtype = 'b' AND te.typcategory = 'S', false)
		FROM base b JOIN pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
		LEFT JOIN (element e JOIN pg_type te ON te.oid = e.oid AND te.typtype <> 'd') ON e.asked = b.asked`, unknown)
	if err != nil {
		return s.fault("read the types of columns", err)
	}
	defer rows.Close()
	for rows.Next() {
		var asked, base, elem uint32
		var text, elemText bool
		if err := rows.Scan(&asked, &base, &text, &elem, &elemText); err != nil {
			return s.fault("read the types of columns", err)
		}
		if elem != 0 {
			s.types[asked] = typeInfo{kind: syncline.KindArray, elem: kindOf(elem, elemText)}
		} else {
			s.types[asked] = typeInfo{kind: kindOf(base, text)}
		}
	}
	return s.fault("read the types of columns", rows.Err())
}

func kindOf(oid uint32, text bool) syncline.Kind {
	if kind, ok := builtinKinds[oid]; ok {
		return kind
	}
	if text {
		return syncline.KindText
	}
	return syncline.KindRaw
}
