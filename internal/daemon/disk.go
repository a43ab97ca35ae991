package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/jetlog"
)

// CheckDisk tells whether this user may write where the log and the state store are to be, and whether the disk has the room that
// log.max_bytes lets the logs take. It makes nothing and locks nothing.
func CheckDisk(c *config.Config) []Finding {
	list := []Finding{checkDirectory("log.dir", c.Log.Dir), checkDirectory("state.url", filepath.Dir(c.State.Path))}
	if _, err := os.Stat(c.State.Path); err == nil {
		if err := syscall.Access(c.State.Path, mayWrite); err != nil {
			list = append(list, unwritable("state.url", c.State.Path, err))
		}
	}
	if list[0].Level == "ok" {
		list = append(list, roomFor(c.Log.Dir, c.Log.MaxBytes)...)
	}
	return list
}

const mayWrite, mayEnter = 2, 1 // of access(2)

// checkDirectory looks at the directory, or at the one in which it would be made.
func checkDirectory(what, dir string) Finding {
	at := existing(dir)
	info, err := os.Stat(at)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err == nil {
		err = syscall.Access(at, mayWrite|mayEnter)
	}
	switch {
	case err != nil:
		return unwritable(what, at, err)
	case at != dir:
		return Finding{System: what, Level: "ok", What: dir + " will be made"}
	}
	return Finding{System: what, Level: "ok", What: dir + " can be written"}
}

func unwritable(what, path string, err error) Finding {
	return tell(what, "", syncline.Finding{Level: "fail", Code: "directory_unwritable", What: fmt.Sprintf("%s cannot be written: %v", path, err),
		Fix: "ask as the user that the service runs as, and give it the directory"})
}

// existing is the directory, or the nearest one above it that is there.
func existing(dir string) string {
	for {
		_, err := os.Lstat(dir)
		above := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || above == dir {
			return dir
		}
		dir = above
	}
}

// roomFor compares what the disk has with what the logs may still grow by.
func roomFor(dir string, most int64) []Finding {
	free, measured, err := jetlog.DiskFree(existing(dir))
	if err != nil {
		return []Finding{tell("log.dir", "", syncline.Failure(fmt.Errorf("look at the disk of the log: %w", err), ""))}
	}
	if !measured {
		return nil
	}
	more := most - bytesBelow(dir)
	f := syncline.Finding{Level: "ok", What: fmt.Sprintf("%s free; the logs may grow by %s (log.max_bytes %s)", gigabytes(int64(min(free, 1<<62))), gigabytes(max(more, 0)), gigabytes(most))}
	if more > 0 && free < uint64(more) {
		f.Level, f.Code, f.Fix = "warn", "log_disk_small", "lower log.max_bytes, or free or add disk; until then the logs keep to half of what there is"
	}
	return []Finding{tell("log.dir", "", f)}
}

// bytesBelow is how much the files below the directory take. What a server at work removes meanwhile is nothing.
func bytesBelow(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
