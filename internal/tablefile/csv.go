package tablefile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	"syncline"
)

// readCSV reads a text whose first line names its columns.
func (r *reader) readCSV(data []byte) error {
	lines := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	lines.TrimLeadingSpace = true
	head, err := lines.Read()
	if err != nil {
		return errors.New("it has no line with the names of its columns")
	}
	find := func(name string, otherwise int) (int, error) {
		at := otherwise
		if name != "" {
			at = slices.Index(head, name)
		}
		if at < 0 || at >= len(head) {
			return 0, fmt.Errorf("its first line does not name the column %q", name)
		}
		return at, nil
	}
	key, err := find(r.Key, 0)
	if err != nil {
		return err
	}
	from := make([]int, len(r.Columns))
	for i, c := range r.Columns {
		if from[i], err = find(c.Name, 1); err != nil {
			return err
		}
	}
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			var at *csv.ParseError
			if errors.As(err, &at) {
				return fmt.Errorf("line %d is not CSV with %d columns", at.Line, len(head))
			}
			return errors.New("it cannot be read")
		}
		line, _ := lines.FieldPos(0)
		values := make([]syncline.Value, len(from))
		for i, at := range from {
			if values[i] = syncline.Text(record[at]); record[at] == "" && r.Columns[i].Kind != syncline.KindText {
				values[i] = syncline.Null
			}
		}
		if err := r.add(fmt.Sprintf("line %d", line), syncline.Text(record[key]), values); err != nil {
			return err
		}
	}
}
