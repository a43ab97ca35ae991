//go:build !linux

package main

import "errors"

var errNotLinux = errors.New("a disk of its own needs Linux")

func openDisk(string) (disk, string, error) { return nil, "", errNotLinux }

func cannotMount(err error) bool { return errors.Is(err, errNotLinux) }
