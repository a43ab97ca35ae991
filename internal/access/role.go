// Package access says who may do what with the API: roles, and the tokens that carry them.
package access

import "slices"

// Role is what a token may do. Operator can do all that viewer can, and admin everything; publisher stands beside them.
type Role string

const (
	// Viewer may read everything but tokens and the audit log.
	Viewer Role = "viewer"
	// Operator may also steer what runs, and read the audit log.
	Operator Role = "operator"
	// Admin may do everything.
	Admin Role = "admin"
	// Publisher may send events of the systems that its token names, and nothing else.
	Publisher Role = "publisher"
)

// Roles are all there are, the weakest first.
var Roles = []Role{Publisher, Viewer, Operator, Admin}

// Known reports whether there is such a role.
func (r Role) Known() bool { return slices.Contains(Roles, r) }

// May reports whether the role is enough where this one is the least. It is for admins alone where the least is none of the roles.
func (r Role) May(least Role) bool {
	switch least {
	case Viewer:
		return r == Viewer || r == Operator || r == Admin
	case Operator:
		return r == Operator || r == Admin
	case Publisher:
		return r == Publisher || r == Admin
	}
	return r == Admin
}
