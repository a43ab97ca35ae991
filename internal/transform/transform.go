package transform

import "syncline"

type binder interface{}

func (Rename) compile() (binder, error)  { return nil, nil }
func (Map) compile() (binder, error)     { return nil, nil }
func (Set) compile() (binder, error)     { return nil, nil }
func (Drop) compile() (binder, error)    { return nil, nil }
func (Keep) compile() (binder, error)    { return nil, nil }
func (Filter) compile() (binder, error)  { return nil, nil }
func (Convert) compile() (binder, error) { return nil, nil }

var Kinds []syncline.Kind

type Transform struct{}

func Compile(steps []Step) (*Transform, error) { return &Transform{}, nil }
