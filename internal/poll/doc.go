// Package poll makes a source of a database that is asked at times for what has changed. What differs between databases is behind
// Dialect; what is read, from where to where, what becomes of the rows and what a crash leaves is decided here. See DESIGN.md.
package poll
