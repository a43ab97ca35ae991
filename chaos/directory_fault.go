package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// directoryFaults are what people, and disks, do to the program's directories. What was acknowledged is not there then: the program has to
// say so, with a code that docs/errors.md has, and to do nothing until the right directories are back.
var directoryFaults = []fault{
	{name: "log-short", group: "process", alone: true, weight: 1, do: shortenLog},
	{name: "log-bit", group: "process", alone: true, weight: 1, do: flipBit},
	{name: "log-older", group: "process", alone: true, weight: 1, do: olderCopy("log", "slot_ahead", "source_gap", "log_lost", "log_corrupt")},
	{name: "log-gone", group: "process", alone: true, weight: 1, do: gone("log", "log_replaced", "slot_foreign")},
	{name: "state-older", group: "process", alone: true, weight: 1, do: olderCopy("state", "state_lost")},
	{name: "state-gone", group: "process", alone: true, weight: 1, do: gone("state", "state_lost")},
}

// logCodes are what a damaged log is refused with.
var logCodes = []string{"log_corrupt", "log_lost", "log_start", "slot_ahead", "source_gap"}

// shortenLog cuts bytes off the log's last file, as a disk does that lies about its syncs.
func shortenLog(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	cut := int64(1 + rnd.IntN(4096))
	return nil, w.damage(ctx, func(path string, size int64) (func() error, error) {
		w.log("%d of %d bytes are cut off %s", min(cut, size), size, filepath.Base(path))
		return nil, os.Truncate(path, size-min(cut, size))
	})
}

// flipBit changes a bit of the log's last file: near its end, or anywhere.
func flipBit(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	near, where, bit := rnd.IntN(2) == 0, rnd.Float64(), byte(1)<<rnd.IntN(8)
	return nil, w.damage(ctx, func(path string, size int64) (func() error, error) {
		from := int64(0)
		if near {
			from = max(0, size-4096)
		}
		at := from + int64(where*float64(size-from))
		was, err := exchange(path, at, func(b byte) byte { return b ^ bit })
		if err != nil {
			return nil, err
		}
		w.log("bit %#x of byte %d of %d is flipped in %s", bit, at, size, filepath.Base(path))
		return func() error { // the disk was only read wrongly
			_, err := exchange(path, at, func(b byte) byte {
				if b == was^bit {
					return was
				}
				return b
			})
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
				return nil // the entry was not needed any more
			}
			return err
		}, nil
	})
}

// exchange replaces a byte of the file.
func exchange(path string, at int64, by func(byte) byte) (was byte, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // the caller starts what reads it
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return 0, err
	}
	was = b[0]
	b[0] = by(was)
	_, err = f.WriteAt(b[:], at)
	return was, err
}

// damage has the program find its log damaged. It may work, where nothing is missing that anybody needs, or refuse with a code: then it
// gets the log back as it was. undo repairs what it worked on with.
func (w *world) damage(ctx context.Context, harm func(path string, size int64) (undo func() error, err error)) error {
	w.program.kill()
	path, size, err := w.lastBlock()
	if err != nil || path == "" {
		return errors.Join(err, w.program.start(startOptions{}))
	}
	return w.aside(ctx, "log", func(good string) error {
		if err := os.CopyFS(w.path("log"), os.DirFS(good)); err != nil {
			return err
		}
		undo, err := harm(path, size)
		if err != nil {
			return err
		}
		code, err := w.refuses(ctx, logCodes)
		if err != nil {
			return err
		}
		if code != "" {
			return nil
		}
		w.log("the program works with it")
		w.program.kill()
		if undo != nil {
			if err := undo(); err != nil {
				return err
			}
		}
		return errKeep
	})
}

// lastBlock is the newest file with entries of the source's log; "" = it has none. What is cut off the log of pushed events nobody else knows.
func (w *world) lastBlock() (path string, size int64, err error) {
	number := -1
	err = filepath.WalkDir(w.path("log"), func(p string, d fs.DirEntry, err error) error {
		name, isBlock := strings.CutSuffix(filepath.Base(p), ".blk")
		n, bad := strconv.Atoi(name)
		if err != nil || !isBlock || bad != nil || n <= number || !strings.Contains(p, "SYNCLINE_crm") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 {
			path, size, number = p, info.Size(), n
		}
		return err
	})
	return path, size, err
}

// olderCopy is a backup of the log or of the state store that is put in the place of what has gone on since.
func olderCopy(part string, codes ...string) func(context.Context, *world, *rand.Rand) (func(context.Context) error, error) {
	return func(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
		w.program.kill()
		old := filepath.Join(w.folder, "old")
		if err := w.take(part, old); err != nil {
			return nil, err
		}
		defer os.RemoveAll(old) //nolint:errcheck // the run's folder goes too
		if err := w.program.start(startOptions{}); err != nil {
			return nil, err
		}
		if err := w.ready(ctx); err != nil {
			return nil, err
		}
		if err := sleep(ctx, time.Duration(500+rnd.IntN(2000))*time.Millisecond); err != nil {
			return nil, err
		}
		w.program.kill()
		return nil, w.aside(ctx, part, func(string) error {
			if err := w.give(part, old); err != nil {
				return err
			}
			return w.mustRefuse(ctx, "the older copy of the "+part, codes)
		})
	}
}

// gone is that somebody has removed the log or the state store.
func gone(part string, codes ...string) func(context.Context, *world, *rand.Rand) (func(context.Context) error, error) {
	return func(ctx context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
		w.program.kill()
		return nil, w.aside(ctx, part, func(string) error { return w.mustRefuse(ctx, "the loss of the "+part, codes) })
	}
}

func (w *world) mustRefuse(ctx context.Context, what string, codes []string) error {
	code, err := w.refuses(ctx, codes)
	if err == nil && code == "" {
		w.watch.fail("what is not there is not taken for what was there", "the program works in spite of %s; want one of %v", what, codes)
	}
	return err
}

// errKeep: what took the place of a part stays there.
var errKeep = errors.New("stays")

// aside takes a part of the directories away while do puts something else in its place, starts the program and sees what comes of it. Then the
// part is put back and the program started.
func (w *world) aside(ctx context.Context, part string, do func(good string) error) error {
	w.pushed.quiet.Lock()
	defer w.pushed.quiet.Unlock()
	good := filepath.Join(w.folder, "good")
	if err := w.take(part, good); err != nil {
		return err
	}
	if err := w.drop(part); err != nil {
		return err
	}
	err := do(good)
	w.program.kill()
	keep := errors.Is(err, errKeep)
	if keep {
		err = nil
	} else {
		err = errors.Join(err, w.drop(part), w.give(part, good))
	}
	err = errors.Join(err, os.RemoveAll(good), w.keep())
	if err != nil || w.watch.over() {
		return err
	}
	if err := w.program.start(startOptions{}); err != nil {
		return err
	}
	return w.ready(ctx)
}

// path is where a part is: the log's directory, or the state store's files, which begin with it.
func (w *world) path(part string) string {
	if part == "log" {
		return filepath.Join(w.home, "log")
	}
	return filepath.Join(w.home, "state.db")
}

// take copies a part to a new directory, drop removes it, give copies it back.
func (w *world) take(part, to string) error {
	if part == "log" {
		return os.CopyFS(to, os.DirFS(w.path(part)))
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(w.path(part) + "*")
	for _, f := range files {
		err = errors.Join(err, copyFile(f, filepath.Join(to, filepath.Base(f))))
	}
	return err
}

func (w *world) drop(part string) error {
	files, err := filepath.Glob(w.path(part) + "*")
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}

func (w *world) give(part, from string) error {
	if part == "log" {
		return os.CopyFS(w.path(part), os.DirFS(from))
	}
	return os.CopyFS(w.home, os.DirFS(from))
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// refuses starts the program, and returns the code by which it says in its log that it does not go on; "" where everything works.
func (w *world) refuses(ctx context.Context, codes []string) (code string, err error) {
	info, err := os.Stat(w.program.log)
	if err != nil {
		return "", err
	}
	w.watch.expect(codes...)
	defer w.watch.expected(codes...)
	w.watch.expectExit()
	defer w.watch.expectedExit()
	if err := w.program.start(startOptions{}); err != nil {
		return "", err
	}
	defer w.program.kill()
	said := regexp.MustCompile(`\b(` + strings.Join(codes, "|") + `)\b`)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		text, err := tail(w.program.log, info.Size())
		if err != nil {
			return "", err
		}
		if code := said.FindString(text); code != "" {
			w.log("the program refuses: %s", code)
			w.count("refusals")
			return code, nil
		}
		if w.program.pid() == 0 {
			return "", fmt.Errorf("the program ended without one of the codes %v:\n%.2000s", codes, text)
		}
		if r, err := w.api.Load().Ready(ctx); err == nil && r.Ready {
			return "", nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("the program neither works nor says one of the codes %v", slices.Sorted(slices.Values(codes)))
}

// tail is what the file has behind the offset.
func tail(path string, offset int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	return string(text), err
}
