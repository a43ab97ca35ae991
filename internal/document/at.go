package document

import (
	"encoding/json"
	"strconv"
	"strings"
)

// At follows a path of names and indexes, with dots between them, into a document. An empty path is the document.
func At(raw []byte, path string) ([]byte, bool) {
	if path == "" {
		return raw, true
	}
	for _, name := range strings.Split(path, ".") {
		var object map[string]json.RawMessage
		var list []json.RawMessage
		switch {
		case json.Unmarshal(raw, &object) == nil && object != nil:
			part, ok := object[name]
			if !ok {
				return nil, false
			}
			raw = part
		case json.Unmarshal(raw, &list) == nil:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(list) {
				return nil, false
			}
			raw = list[n]
		default:
			return nil, false
		}
	}
	return raw, true
}
