//go:build !race

package expression

import "time"

// patience is how long a bomb may take.
const patience = 5 * time.Second
