// Package owner tells who a target belongs to. An owner that was replaced, a machine that hung, may wake up and find its connection gone. It must not
// take the target back from the process that took over meanwhile: who begins in a process raises the owner's epoch by Stride, and who comes back in the
// same process by one. So the woken one sees that it was replaced, and halts before it writes anything; the other one, whose epoch was raised by one,
// sees that nobody has begun since, and takes the target again.
package owner

import "syncline"

// Stride is what an owner's epoch grows by where a process begins.
const Stride = 1 << 20

// Replaced reports whether somebody has begun since a process owned the target under that epoch; held is the epoch that the target has now.
func Replaced(owned, held uint64) bool { return held >= owned+Stride }

// Contested reports whether an error says that somebody else took the target. Whether that one is to have it is found out by taking it again.
func Contested(err error) bool { return syncline.CodeOf(err) == "fenced" }

// ReplacedError is that another process has taken over what it names, "route r"; resume are the arguments of `syncline resume` for that.
func ReplacedError(what, resume string) error {
	return syncline.Errorf(syncline.Fatal, "fenced", "another process has taken %s over since", what).
		WithFix("stop the process that is not to work; then `syncline resume %s` at the other one, if it has halted", resume)
}
