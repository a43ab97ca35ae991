package config

import (
	_ "embed"
	"slices"
)

//go:embed starter.yaml
var starter []byte

// Starter returns the commented file that `syncline init` writes. It is valid as it is, without any variable set.
func Starter() []byte { return slices.Clone(starter) }
