package config

import (
	"syncline"
	"syncline/internal/verify"
)

// steadyRate is how many records a second are compared all the time where no number is given: it costs about a hundredth of a core.
const steadyRate = 1000

// verify reads how a rule's target is compared.
func (l *loader) verify(v value, r *ruleSource) {
	r.Verify = &Verify{}
	l.object(v, "verify", fields{
		"continuous": func(v value) { r.continuous = &v; l.continuous(v, &r.Verify.Rate) },
		"repair": func(v value) {
			choose(&l.decoder, v, &r.Verify.Repair, nil, verify.RepairOff, verify.RepairPlan, verify.RepairAuto)
		},
		"max_repair": func(v value) {
			text, _, ok := l.scalar(v, "a share or a number of records")
			if !ok {
				return
			}
			limit, err := verify.ParseLimit(text)
			if err != nil {
				l.report(v, BadValue, syncline.FixOf(err), "%s must be a share or a number of records", v.path)
				return
			}
			r.Verify.MaxRepair = &limit
		},
	}, nil)
}

// continuous is true, false, or a number of records a second.
func (l *loader) continuous(v value, rate *int) {
	text, _, ok := l.scalar(v, "true, false or a number of records a second")
	switch {
	case !ok:
	case text == "true":
		*rate = steadyRate
	case text == "false":
		*rate = 0
	default:
		l.integer(v, rate, 1, 1_000_000)
	}
}

// checkComparable reports at v that a rule can never be compared which is to be: nobody would notice that it is not.
func (l *loader) checkComparable(v value, r *Rule, fix string) {
	if to := l.systems[r.To.System]; to != nil && to.Type.Events() {
		l.report(v, NotComparable, fix, "rule %s cannot be compared: what %s was sent cannot be read there", r.ID, to.Name)
		return
	}
	for _, ref := range r.From {
		if from := l.systems[ref.System]; from != nil && from.Capture != nil && from.Capture.Mode == ModePush {
			l.report(v, NotComparable, fix, "rule %s cannot be compared: %s is pushed, and its records cannot be listed", r.ID, from.Name)
			return
		}
	}
}
