package rule

// Rule is a compiled Spec.
type Rule struct{}

// Compile compiles.
func Compile(Spec) (*Rule, error) { return &Rule{}, nil }
