package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/engine"
)

// The labels on everything that a run makes.
const (
	labelRun      = "killpoint.run"      // the run's id
	labelScenario = "killpoint.scenario" // its scenario's name
	labelService  = "killpoint.service"  // a container's service
	labelOwner    = "killpoint.owner"    // host and lock file of the orchestrator
	labelKept     = "killpoint.kept"     // left on purpose, by --keep
)

// owner is this process as the labels name it: a lock file that it holds as
// long as it lives. The kernel lets go of the lock when the process dies,
// however it dies, so a lock that can be had means leftovers; a process
// number could have been given to somebody else.
type owner struct {
	file *os.File
	name string
}

func newOwner() (*owner, error) {
	folder, err := lockFolder()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(folder, "owner-*.lock")
	if err != nil {
		return nil, fmt.Errorf("create lock file: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
	}
	host, err := hostName()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &owner{file: file, name: host + ":" + file.Name()}, nil
}

func (o *owner) close() error {
	return errors.Join(os.Remove(o.file.Name()), o.file.Close())
}

func lockFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home, as in some CI containers
	}
	folder := filepath.Join(cache, "killpoint")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("create folder for lock files: %w", err)
	}
	return folder, nil
}

// hostName tells machines that use one engine apart. Tests take a host of
// their own, so that they find and remove nothing but what they made.
var hostName = func() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("ask the name of this host: %w", err)
	}
	return host, nil
}

// state is what can be known of the process that a label names.
type state int

const (
	living    state = iota
	dead            // it was on this host, and holds its lock no longer
	elsewhere       // on another host: nothing can be known
)

func stateOf(label string) state {
	host, path, found := strings.Cut(label, ":")
	if here, err := hostName(); !found || err != nil || host != here {
		return elsewhere
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return dead
	}
	if err != nil {
		return living // not ours to read: somebody else's, and perhaps alive
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return living
	}
	os.Remove(path) // its process is dead, and nobody else will
	return dead
}

// Sweep removes what orchestrators that are no longer alive have left on the
// engine, what --keep left included; with all, also what belongs to another
// host, alive or not. What a living one of this host uses is never touched.
// It names what it removed.
func Sweep(ctx context.Context, e *engine.Engine, all bool) ([]string, error) {
	return sweep(ctx, e, func(owner state, _ bool) bool { return abandoned(owner, all) })
}

// abandoned says whether Sweep takes what belongs to such an owner.
func abandoned(owner state, all bool) bool { return owner == dead || all && owner == elsewhere }

// sweepCrashed is what a new run does by itself: it leaves alone what was
// kept on purpose.
func sweepCrashed(ctx context.Context, e *engine.Engine) ([]string, error) {
	return sweep(ctx, e, func(owner state, kept bool) bool { return owner == dead && !kept })
}

func sweep(ctx context.Context, e *engine.Engine, wanted func(owner state, kept bool) bool) ([]string, error) {
	things, err := e.Labelled(ctx, labelOwner, "")
	if err != nil {
		return nil, fmt.Errorf("list what runs have left: %w", err)
	}
	owners := map[string]state{}
	return removeThings(ctx, e, things, func(labels map[string]string) bool {
		label := labels[labelOwner]
		if _, known := owners[label]; !known {
			owners[label] = stateOf(label)
		}
		return wanted(owners[label], labels[labelKept] != "")
	})
}

// removeThings removes containers first: networks and volumes that are in use
// cannot be removed.
func removeThings(ctx context.Context, e *engine.Engine, things engine.Things, wanted func(labels map[string]string) bool) ([]string, error) {
	var removed []string
	var failed []error
	remove := func(kind string, list []engine.Thing, do func(context.Context, string) error) {
		for _, thing := range list {
			if !wanted(thing.Labels) {
				continue
			}
			if err := do(ctx, thing.Name); err != nil {
				failed = append(failed, fmt.Errorf("remove %s %s: %w", kind, thing.Name, err))
				continue
			}
			removed = append(removed, kind+" "+thing.Name)
		}
	}
	remove("container", things.Containers, e.Remove)
	remove("network", things.Networks, e.RemoveNetwork)
	remove("volume", things.Volumes, e.RemoveVolume)
	return removed, errors.Join(failed...)
}
