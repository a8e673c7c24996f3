package run

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
)

// home is where the lives of a service take place: a container of the run's
// own, or a place on a bed, where its program is started in place. What is
// known of its state comes as events, not as results of these calls.
type home interface {
	// start begins the next life. It returns when the life has begun, or why
	// it cannot begin.
	start(ctx context.Context, life int) error
	// signal sends one to the program; SIGKILL ends every process.
	signal(ctx context.Context, name string) error
	// stop asks the program to end and says whether it had to be killed.
	stop(ctx context.Context, grace *time.Duration) (killed bool, err error)
	pause(ctx context.Context) error
	unpause(ctx context.Context) error
	disconnect(ctx context.Context, network string) error
	// exec runs a command beside the program.
	exec(ctx context.Context, command []string) (engine.ExecResult, error)
	// copyFrom gives a file or a directory, engine.ErrNoFile when there is
	// none.
	copyFrom(ctx context.Context, file string, each func(*tar.Header, io.Reader) error) error
	// files gives the regular files that match the glob.
	files(ctx context.Context, glob string, each func(file string, size int64, content io.Reader) error) error
	// sums gives the size and the checksum of each of those files, in the order
	// of their paths.
	sums(ctx context.Context, glob string, each func(file string, size int64, sum string)) error
	// tail gives the last lines of the log.
	tail(ctx context.Context, lines int) ([]string, error)
}

// container is the home that a run makes for itself.
type container struct{ *service }

func (c container) start(ctx context.Context, life int) error {
	if c.interposer != nil {
		if err := c.interposer.update(ctx, life); err != nil {
			return err
		}
	}
	if err := c.engine.Start(ctx, c.id); err != nil {
		return err
	}
	err := c.await(ctx, func(state serviceState) (bool, error) { return state.incarnation >= life, nil })
	if err != nil || c.interposer == nil {
		return err
	}
	return c.interposer.link(ctx)
}

func (c container) signal(ctx context.Context, name string) error {
	return c.engine.Kill(ctx, c.id, name)
}

func (c container) stop(ctx context.Context, grace *time.Duration) (bool, error) {
	return c.engine.Stop(ctx, c.id, grace)
}

func (c container) pause(ctx context.Context) error   { return c.engine.Pause(ctx, c.id) }
func (c container) unpause(ctx context.Context) error { return c.engine.Unpause(ctx, c.id) }

func (c container) disconnect(ctx context.Context, network string) error {
	return c.engine.Disconnect(ctx, c.id, network)
}

func (c container) exec(ctx context.Context, command []string) (engine.ExecResult, error) {
	return c.engine.Exec(ctx, c.id, engine.ExecSpec{Command: command})
}

func (c container) copyFrom(ctx context.Context, file string, each func(*tar.Header, io.Reader) error) error {
	return c.engine.CopyFrom(ctx, c.id, file, each)
}

func (c container) files(ctx context.Context, glob string, each func(string, int64, io.Reader) error) error {
	return c.engine.Files(ctx, c.id, glob, each)
}

func (c container) sums(ctx context.Context, glob string, each func(string, int64, string)) error {
	type summed struct {
		file string
		size int64
		sum  string
	}
	var all []summed
	err := c.engine.Files(ctx, c.id, glob, func(file string, size int64, content io.Reader) error {
		sum := sha256.New()
		_, err := io.Copy(sum, content)
		all = append(all, summed{file, size, hex.EncodeToString(sum.Sum(nil))})
		return err
	})
	if err != nil && !errors.Is(err, engine.ErrNoFile) {
		return err
	}
	slices.SortFunc(all, func(a, b summed) int { return strings.Compare(a.file, b.file) })
	for _, one := range all {
		each(one.file, one.size, one.sum)
	}
	return nil
}

func (c container) tail(ctx context.Context, lines int) ([]string, error) {
	return c.engine.Tail(ctx, c.id, lines)
}

// fixture is the home of a service that is there already and that a run leaves
// alone, such as a broker that runs share.
type fixture struct{}

// errFixture is a mistake in a plan: the loader refuses faults on a fixture's
// service, or a run gets a container of its own for it.
var errFixture = errors.New("it is shared by several runs, and not this run's to touch")

func (fixture) start(context.Context, int) error                   { return errFixture }
func (fixture) signal(context.Context, string) error               { return errFixture }
func (fixture) stop(context.Context, *time.Duration) (bool, error) { return false, errFixture }
func (fixture) pause(context.Context) error                        { return errFixture }
func (fixture) unpause(context.Context) error                      { return errFixture }
func (fixture) disconnect(context.Context, string) error           { return errFixture }
func (fixture) exec(context.Context, []string) (engine.ExecResult, error) {
	return engine.ExecResult{}, errFixture
}
func (fixture) copyFrom(context.Context, string, func(*tar.Header, io.Reader) error) error {
	return errFixture
}
func (fixture) files(context.Context, string, func(string, int64, io.Reader) error) error {
	return errFixture
}
func (fixture) sums(context.Context, string, func(string, int64, string)) error { return errFixture }
func (fixture) tail(context.Context, int) ([]string, error)                     { return nil, nil }
