// Package syncline is the vocabulary and the contracts of Syncline: what a change is (Event, Row, Value, Key,
// Position, Batch), and what a system must do to be one of its parts (Source, Target, Log).
//
// It imports the standard library only. Everything that decides or does something lives below internal.
package syncline
