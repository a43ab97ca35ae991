package expression

import "fmt"

// bytesPerUnit is how much text costs one unit of work.
const bytesPerUnit = 64

// meter counts the work of one evaluation.
type meter struct{ work int }

// evalError is a failed evaluation, told without any value.
type evalError struct{ message string }

func (e *evalError) Error() string { return e.message }

func (m *meter) errorf(format string, args ...any) error {
	return &evalError{fmt.Sprintf(format, args...)}
}

// spend counts units of work, and one more for the call.
func (m *meter) spend(units int) error {
	m.work += units + 1
	if m.work > maxWork {
		return m.errorf("the expression does too much work for one record")
	}
	return nil
}

// text counts a text that was made, or is about to be.
func (m *meter) text(bytes int) error { return m.spend(bytes / bytesPerUnit) }

// digits counts work on numbers with so many digits in all, those that they would have if they were written out. It grows with the
// square: a number of 10,000 digits takes milliseconds to read or to round.
func (m *meter) digits(n int64) error {
	n = min(n, 1_000_000)
	return m.spend(int(n/16 + n*n/8192))
}

// function is one that expressions can call, or an operator.
type function struct {
	least, most int
	fn          func(m *meter, args []any) (any, error)
}

// call is the form that the virtual machine calls: the meter comes first.
func (f function) call(params ...any) (any, error) {
	m := params[0].(*meter)
	if err := m.spend(0); err != nil {
		return nil, err
	}
	return f.fn(m, params[1:])
}

func (f function) arity() string {
	switch {
	case f.least == 1 && f.most == 1:
		return "one argument"
	case f.least == f.most:
		return fmt.Sprintf("%d arguments", f.least)
	case f.most == many:
		return fmt.Sprintf("at least %d arguments", f.least)
	}
	return fmt.Sprintf("%d to %d arguments", f.least, f.most)
}

// many is the most arguments that any function takes.
const many = 100
