package daemon

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/state"
)

// namesShown is how many names an error lists.
const namesShown = 20

// noSuch is the error of a name that the configuration does not have; known are those that it has.
func noSuch(code, what, name string, known []string) error {
	e := syncline.Errorf(syncline.Rejected, code, "there is no %s %s", what, name)
	e.Err = state.ErrNotFound
	switch {
	case len(known) == 0:
		return e.WithFix("the configuration has none")
	case len(known) > namesShown:
		return e.WithFix("there are %s and %d more", strings.Join(known[:namesShown], ", "), len(known)-namesShown)
	}
	return e.WithFix("there is %s", strings.Join(known, ", "))
}

// names lists what the configuration at work has, in its order.
type names struct{ s *set }

func (n names) reading(src *source, entity string) (list []string) {
	for _, r := range n.s.routes {
		if r.reads(src, entity) {
			list = append(list, r.id)
		}
	}
	return list
}

func (n names) routes() (list []string) {
	for _, r := range n.s.routes {
		list = append(list, r.id)
	}
	return list
}

func (n names) rules() (list []string) {
	for _, r := range n.s.config.Rules {
		list = append(list, r.ID)
	}
	return list
}

func (n names) systems() (list []string) {
	for _, s := range n.s.config.Systems {
		list = append(list, s.Name)
	}
	return list
}

func (n names) sources() (list []string) {
	for _, s := range n.s.sources {
		list = append(list, s.system.Name)
	}
	return list
}

func (n names) targets() (list []string) {
	for _, s := range n.s.config.Systems {
		if slices.ContainsFunc(n.s.config.Rules, func(r *config.Rule) bool { return r.Writes(s.Name) }) {
			list = append(list, s.Name)
		}
	}
	return list
}

// entities are SYSTEM/ENTITY.
func (n names) entities() (list []string) {
	for _, s := range n.s.sources {
		for _, e := range s.system.Capture.Entities {
			list = append(list, s.system.Name+"/"+e.Name)
		}
	}
	return list
}
