// Package hostile is a table of values that systems like to get wrong. The test of the program sends each of them from every kind of source, by
// every way that a source has, to every kind of target; what becomes of them there stands in testdata, one file for each kind of source.
package hostile

// Column is a column of a source with the values that are put into it, each in a record of its own whose other columns are null.
type Column struct {
	Name string
	Type string // as the source declares it; "" for sources that declare none
	// Values are SQL expressions, or JSON texts.
	Values []string
	// Since is the version of PostgreSQL that has such values, 0 = all.
	Since int
}
