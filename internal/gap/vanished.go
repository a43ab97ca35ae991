package gap

import "syncline"

const (
	// vanishedPercent and leastVanished bound what is removed of a target without being asked for: the larger of the two.
	vanishedPercent = 10
	leastVanished   = 100
)

// Absence is what a target has of an entity that the source does not have any more.
type Absence struct {
	// At is the target's object.
	At               string
	Missing, Records int64
	Percent          float64
}

// Removable is the share of each target, in percent, that may be removed: what was seen to be missing and no more, since the source is read
// again for it and may have lost more by then. What is much of a large target is for a person to see.
func Removable(entity string, seen []Absence) (percent float64, err error) {
	percent = vanishedPercent
	for _, a := range seen {
		if a.Missing > leastVanished && a.Percent > vanishedPercent {
			return 0, syncline.Errorf(syncline.Rejected, "missing_too_many", "the source does not have %d of the %d records of %s: they are not removed by themselves",
				a.Missing, a.Records, a.At).WithFix("see that the source is the right one and whole; then `syncline sync full %s --delete-missing --max-delete %.0f`",
				entity, min(a.Percent+1, 100))
		}
		percent = max(percent, a.Percent)
	}
	return percent, nil
}
