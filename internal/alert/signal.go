// Package alert decides what is told to whom: rules over signals, when one fires and when it is over, and what the messages say. It is
// pure: signals and the time go in, messages come out. Who delivers them, and keeps what is remembered, is elsewhere.
package alert

import "slices"

// Signal is one number that is known of the whole or of a part of it, now. Labels say of which part; they hold names of the
// configuration, never values of records.
type Signal struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Kind describes the signals of one name.
type Kind struct {
	Name string
	// Labels are those that signals of this name may have.
	Labels []string
	// Meaning is what the number is, and its unit.
	Meaning string
}

// Kinds lists every signal that there is, by name. A rule that names another one is refused.
func Kinds() []Kind { return slices.Clone(kinds) }

var kinds = []Kind{
	{"breaker_open", []string{"route"}, "1 while the route's target does not answer and is left alone for a while, or the route has stopped"},
	{"canary_seconds", []string{"route"}, "how long the last mark took to the route's target, or the one under way so far"},
	{"conflicts_waiting", []string{"rule"}, "conflicts that wait for a person"},
	{"failed_tasks", []string{"rule"}, "tasks that were given up and wait for a person"},
	{"health", []string{"route", "system"}, "of the whole, of a route or of a source: 0 healthy, 1 warning, 2 critical"},
	{"lag_events", []string{"route"}, "events in the log that the route has yet to apply"},
	{"lag_seconds", []string{"route"}, "age of the oldest event that the route has yet to apply"},
	{"late_events", []string{"route"}, "those of them that are older than `health.late.after`"},
	{"log_bytes", []string{"system"}, "bytes of the source's log"},
	{"log_disk_free_ratio", nil, "share of the disk with the logs that is free, 0 to 1"},
	{"paused", []string{"route"}, "1 while an operator holds the route back"},
	{"schedule_failed", []string{"schedule"}, "runs of the schedule that failed since the last one that was done"},
	{"schedule_missed", []string{"schedule"}, "occurrences of the schedule since the last run that was done for which none came"},
	{"slot_at_risk", []string{"system"}, "1 where the source may take away the log that its slot holds"},
	{"slot_wal_bytes", []string{"system"}, "bytes of the source's log that the slot holds"},
	{"verify_age_seconds", []string{"rule"}, "time since the last verification of the rule that came to an end"},
	{"verify_differences", []string{"rule"}, "records that differ by the rule's last verification"},
}
