package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/pprof"

	"syncline/internal/config"
	"syncline/internal/daemon"
)

// inside is the daemon in the bench's own process, under a CPU profile. The next start overwrites the profiles of the one before, so
// that what a measurement leaves is the profile of its last run.
type inside struct {
	cancel context.CancelFunc
	done   chan struct{} // closed by the goroutine that runs the daemon
	exit   error         // valid once done is closed
}

// startInside writes the profiles to path.cpu.pprof and path.allocs.pprof when the work ends.
func startInside(ctx context.Context, file, path string, out *os.File) (process, error) {
	c, problems := config.Load(file, nil)
	if err := problems.Err(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	profile, err := os.Create(path + ".cpu.pprof")
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if err := pprof.StartCPUProfile(profile); err != nil {
		return nil, errors.Join(err, profile.Close(), out.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	i := &inside{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(i.done)
		work := work(ctx, c, slog.New(slog.NewTextHandler(out, nil)))
		pprof.StopCPUProfile()
		i.exit = errors.Join(work, profile.Close(), writeAllocs(path+".allocs.pprof"), out.Close())
	}()
	return i, nil
}

func work(ctx context.Context, c *config.Config, logger *slog.Logger) error {
	d, err := daemon.Open(ctx, daemon.Options{Config: c, Version: "bench", Logger: logger})
	if err != nil {
		return err
	}
	return errors.Join(d.Run(ctx), d.Close())
}

// writeAllocs writes what was allocated since the bench began.
func writeAllocs(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

func (i *inside) pid() int               { return os.Getpid() }
func (i *inside) ended() <-chan struct{} { return i.done }
func (i *inside) err() error             { return i.exit }
func (i *inside) end()                   { i.cancel() }
func (i *inside) kill()                  { i.cancel() }
