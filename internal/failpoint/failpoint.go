// Package failpoint marks the moments at which a crash is worst. In a binary built with the tag failpoint, each can be made to
// kill the process; in a normal one they are nothing.
package failpoint

// Names are the failpoints that every route comes by. A test kills a process at each of them.
var Names = []string{
	"capture.append.before",
	"capture.append.after",
	"capture.confirm.after",
	"apply.write.before",
	"apply.journal.before",
	"apply.journal.after",
	"apply.write.after",
	"apply.place.before",
	"apply.place.after",
}

// Between are those of two-way rules: after one side was read, after the other was written, after the first was written too.
var Between = []string{
	"between.looked",
	"between.far",
	"between.near",
}

// Reload are those that a process passes when another configuration is applied.
var Reload = []string{
	"daemon.reload.stop",
	"daemon.reload.prepare",
	"daemon.reload.note",
	"daemon.reload.begin",
}

// Schedule are those of a run of a schedule: after it was noted and before it was asked for, and before its result is written down.
var Schedule = []string{
	"schedule.begun",
	"schedule.done",
}

// Alert are those of a message: before and after it is saved, and before and after a channel is told.
var Alert = []string{
	"daemon.alert.save",
	"daemon.alert.saved",
	"daemon.alert.deliver",
	"daemon.alert.delivered",
}

// Verify are those of a repair: before the records that differ are asked for, after the route has applied them, and before it is written down that
// they are equal.
var Verify = []string{
	"daemon.repair.ask",
	"daemon.repair.applied",
	"daemon.repair.settled",
}
