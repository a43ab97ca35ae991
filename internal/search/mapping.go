package search

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/custom"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/analysis/lang/cjk"
	"github.com/blevesearch/bleve/v2/analysis/token/length"
	"github.com/blevesearch/bleve/v2/analysis/token/lowercase"
	"github.com/blevesearch/bleve/v2/analysis/tokenizer/unicode"
	bdoc "github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/mapping"
	index "github.com/blevesearch/bleve_index_api"

	"syncline"
	"syncline/internal/document"
)

// The fields that are ours. Columns of these names are stored but not searchable.
const (
	keyField     = "_key"              // the record's key, as it is
	allField     = "_all"              // the terms of all strings
	versionField = "_syncline_version" // see entry
	rowField     = "_syncline_row"     // the document, stored only
	shadowField  = "_syncline_shadow"  // what the last decision left, stored only
	goneField    = "_syncline_gone"    // of a tombstone: when it may be forgotten, in seconds since 1970
	idField      = "_id"               // Bleve's own
)

// analyzerName is Bleve's analyser for Chinese, Japanese and Korean without the tokens that nobody types: encoded files and
// the like would make the index' dictionary as large as its documents.
const (
	analyzerName    = "syncline_text"
	maxToken        = 200 // characters
	tokenLimit      = "syncline_length"
	maxNesting      = 32
	maxIndexedBytes = 1 << 20 // of one string; what follows is stored but not searchable
)

func newMapping() (mapping.IndexMapping, error) {
	m := bleve.NewIndexMapping()
	if err := m.AddCustomTokenFilter(tokenLimit, map[string]any{"type": length.Name, "min": 1.0, "max": float64(maxToken)}); err != nil {
		return nil, err
	}
	err := m.AddCustomAnalyzer(analyzerName, map[string]any{"type": custom.Name, "tokenizer": unicode.Name,
		"token_filters": []any{tokenLimit, cjk.WidthName, lowercase.Name, cjk.BigramName}})
	if err != nil {
		return nil, err
	}
	m.DefaultAnalyzer = analyzerName
	key := bleve.NewTextFieldMapping()
	key.Analyzer = keyword.Name
	m.DefaultMapping.AddFieldMappingsAt(keyField, key)
	return m, nil
}

// builder makes the documents of one index.
type builder struct {
	text, keyword analysis.Analyzer
}

func newBuilder(m mapping.IndexMapping) builder {
	return builder{text: m.AnalyzerNamed(analyzerName), keyword: m.AnalyzerNamed(keyword.Name)}
}

const (
	searchable = index.IndexField | index.DocValues
	phrases    = index.IndexField | index.IncludeTermVectors
)

// record makes the document of a row. The document text is copied.
func (b builder) record(key syncline.Key, version int64, row syncline.Row) *bdoc.Document {
	d := b.entry(key, entry{version: version, live: true})
	d.AddField(bdoc.NewTextFieldCustom(rowField, nil, document.Append(nil, row), index.StoreField, nil))
	for i := range row.Values {
		c := &row.Schema.Columns[i]
		switch c.Name {
		case keyField, allField, idField, versionField, rowField, shadowField, goneField:
			continue
		}
		b.value(d, c, row.Values[i])
	}
	d.AddField(bdoc.NewCompositeFieldWithIndexingOptions(allField, true, nil, []string{keyField, versionField, rowField, shadowField, goneField}, phrases))
	return d
}

// tombstone makes what is left of a deleted record until gone, in seconds since 1970.
func (b builder) tombstone(key syncline.Key, version int64, gone float64) *bdoc.Document {
	d := b.entry(key, entry{version: version})
	d.AddField(bdoc.NewNumericFieldWithIndexingOptions(goneField, nil, gone, index.IndexField))
	return d
}

func (b builder) entry(key syncline.Key, e entry) *bdoc.Document {
	d := bdoc.NewDocument(documentID(key))
	d.AddField(bdoc.NewTextFieldCustom(versionField, nil, e.text(), searchable, b.keyword))
	if e.live {
		d.AddField(bdoc.NewTextFieldCustom(keyField, nil, []byte(key), index.IndexField, b.keyword))
	}
	return d
}

// value adds the fields by which a value can be found.
func (b builder) value(d *bdoc.Document, c *syncline.Column, v syncline.Value) {
	switch v.Kind() {
	case syncline.KindNull, syncline.KindUnset, syncline.KindBytes:
	case syncline.KindBool:
		if yes, err := v.AsBool(); err == nil {
			b.bool(d, c.Name, yes)
		}
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		if n, err := v.AsFloat(); err == nil {
			b.number(d, c.Name, n)
		}
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		// Infinite times and those beyond what Bleve can order are stored only.
		if at, err := v.AsTime(); err == nil {
			if f, err := bdoc.NewDateTimeFieldWithIndexingOptions(c.Name, nil, at, "", searchable); err == nil {
				d.AddField(f)
			}
		}
	case syncline.KindJSON, syncline.KindArray:
		var tree any
		if json.Unmarshal(document.AppendValue(nil, c, v), &tree) == nil {
			b.tree(d, c.Name, tree, 0)
		}
	default:
		b.string(d, c.Name, v.Text())
	}
}

// tree indexes the leaves of a JSON value under the column's own name: a field for each member would let the data decide
// how many fields there are.
func (b builder) tree(d *bdoc.Document, name string, tree any, depth int) {
	if depth > maxNesting {
		return
	}
	switch v := tree.(type) {
	case string:
		b.string(d, name, v)
	case float64:
		b.number(d, name, v)
	case bool:
		b.bool(d, name, v)
	case []any:
		for _, e := range v {
			b.tree(d, name, e, depth+1)
		}
	case map[string]any:
		for _, e := range v {
			b.tree(d, name, e, depth+1)
		}
	}
}

// bool indexes a word: a query string has no other way to ask for a boolean.
func (b builder) bool(d *bdoc.Document, name string, yes bool) {
	d.AddField(bdoc.NewTextFieldCustom(name, nil, strconv.AppendBool(nil, yes), searchable, b.keyword))
}

func (b builder) number(d *bdoc.Document, name string, n float64) {
	if !math.IsNaN(n) && !math.IsInf(n, 0) {
		d.AddField(bdoc.NewNumericFieldWithIndexingOptions(name, nil, n, searchable))
	}
}

func (b builder) string(d *bdoc.Document, name, s string) {
	if len(s) > maxIndexedBytes {
		s = strings.ToValidUTF8(s[:maxIndexedBytes], "")
	}
	d.AddField(bdoc.NewTextFieldCustom(name, nil, []byte(s), phrases, b.text))
}
