package main

import (
	"errors"
	"path/filepath"

	"syncline/internal/testserver"
)

// diskSize is that of the disk in a sparse file.
const diskSize = 4 << 30

// openDisk makes the disk below the folder, and returns the directory on it. Where nothing can be mounted it returns why.
func openDisk(folder string) (d disk, home string, err error) {
	fs, err := testserver.OpenDisk(folder, diskSize)
	if err != nil {
		return nil, "", err
	}
	return fs, filepath.Join(fs.Dir, "home"), nil
}

// cannotMount reports whether the error is that file systems cannot be mounted here.
func cannotMount(err error) bool { return errors.Is(err, testserver.ErrNoMount) }
