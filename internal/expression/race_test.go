//go:build race

package expression

import "time"

// patience is how long a bomb may take, with a detector that makes patterns ten times slower.
const patience = 2 * time.Minute
