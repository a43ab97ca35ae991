package redis

import "syncline"

// Fit tells what would stop records of the schema from being written to the object: they have no key, or the key template does not
// fit theirs.
func Fit(name string, o Object, s *syncline.Schema) error {
	ob, err := newObject(name, o)
	if err != nil {
		return err
	}
	row := syncline.Row{Schema: s, Values: make([]syncline.Value, len(s.Columns))}
	for i := range row.Values {
		row.Values[i] = syncline.Null
	}
	_, err = ob.appendKey(nil, row)
	return err
}
