package verify

import "fmt"

// Next is the phase that follows: the target is listed where all is compared.
func (p *Part) Next(mode Mode) Phase {
	switch {
	case p.Phase == PhaseWaiting:
		return PhaseSource
	case p.Phase == PhaseSource && (mode == Full || mode == Continuous):
		return PhaseTarget
	case p.Phase == PhaseSource, p.Phase == PhaseTarget:
		return PhaseRepair
	}
	return PhaseDone
}

// Repairs decides whether what differs is sent again, and says of the part why not. A repair that has begun is not held up by its limit.
func (p *Part) Repairs(how Repair, limit Limit, declared bool) bool {
	differ, compared := p.Differences(), max(p.Source, p.Target)
	if p.MaxRepair = 0; differ > 0 && p.Repaired == 0 && !limit.Allows(differ, compared, declared) {
		p.MaxRepair = Enough(differ)
	}
	switch {
	case how == RepairOff || how == "" || differ == 0:
		return false
	case p.MaxRepair > 0:
		p.Blame(limit.Refused(p.Rule, differ, compared))
		return false
	case how == RepairPlan:
		p.Note(fmt.Sprintf("a repair would send %d records; up to %s are allowed", differ, limit))
		return false
	}
	return true
}
