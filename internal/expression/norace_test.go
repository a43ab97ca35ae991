//go:build !race

package expression

import "time"

// patience is how long a bomb may take: a few seconds, on a machine that has other things to do as well.
const patience = 30 * time.Second
