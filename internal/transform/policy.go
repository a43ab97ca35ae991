package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// Policy says what becomes of a value that a step cannot make.
type Policy string

const (
	// PolicyReject parks the record.
	PolicyReject Policy = "reject"
	// PolicyNull makes the field null.
	PolicyNull Policy = "null"
	// PolicyDefault gives the field a declared value.
	PolicyDefault Policy = "default"
	// PolicyKeep leaves the value as it was.
	PolicyKeep Policy = "keep"
)

// outcome is a policy with the value that it may need. The zero value rejects.
type outcome struct {
	policy Policy
	value  syncline.Value
}

// decide makes the outcome of a declared policy; "" means the default where there is one, else reject. The default becomes of
// the kind, unless that is KindNull.
func decide(field string, p Policy, constant *Constant, kind syncline.Kind) (outcome, error) {
	if p == "" {
		if p = PolicyReject; constant != nil {
			p = PolicyDefault
		}
	}
	o := outcome{policy: p}
	if p != PolicyDefault {
		return o, nil
	}
	if constant == nil {
		return o, syncline.Errorf(syncline.Fatal, "bad_step", "%s has no default that could be taken", field)
	}
	o.value = constant.Value
	if kind != syncline.KindNull {
		v, err := expression.Convert(constant.Value, syncline.KindNull, kind)
		if err != nil {
			return o, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s: %v", field, err)
		}
		o.value = v
	}
	return o, nil
}

// lossy reports whether different values may come out as one.
func (o outcome) lossy() bool { return o.policy == PolicyNull || o.policy == PolicyDefault }

// nullable reports whether null may come out.
func (o outcome) nullable() bool {
	return o.policy == PolicyNull || o.policy == PolicyDefault && o.value.IsNull()
}

// of is what comes out where a step could not make anything of a value, and why.
func (o outcome) of(v syncline.Value, err error) (syncline.Value, error) {
	switch o.policy {
	case PolicyNull:
		return syncline.Null, nil
	case PolicyDefault:
		return o.value, nil
	case PolicyKeep:
		return v, nil
	}
	return syncline.Null, err
}

// String is the policy in the configuration's words; "" = reject.
func (o outcome) String() string {
	switch o.policy {
	case PolicyReject, "":
		return ""
	case PolicyDefault:
		return " else " + Constant{o.value}.String()
	}
	return " else " + string(o.policy)
}

// once refuses a field that a step names twice, and one without a name.
func once(names []string, what string) error {
	if err := named(names...); err != nil {
		return err
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return syncline.Errorf(syncline.Fatal, "bad_step", "%s is %s twice", n, what)
		}
	}
	return some(len(names))
}
