// Package engine is the Docker Engine as the orchestrator uses it: images,
// containers, networks, volumes, their logs, their files and what happens to
// them. It is the only package that imports the Docker client, and none of
// that client's types leave it.
//
// It does what it is told to single things and knows nothing of runs: which
// names and labels things bear, in which order services start and when
// something is killed are decided by package run.
package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// minimumAPI is that of Engine 20.10, the oldest that the tests run with.
const minimumAPI = "1.41"

// Errors that callers decide by. The text of what wraps them says which thing
// was meant and what to do.
var (
	ErrUnreachable = errors.New("the Docker Engine cannot be reached")
	ErrTooOld      = errors.New("the Docker Engine is too old")
	ErrNoImage     = errors.New("no such image")
	ErrNoContainer = errors.New("no such container")
	ErrNoFile      = errors.New("no such file in the container")
	ErrNotRunning  = errors.New("the container is not running")
	ErrBuild       = errors.New("the image does not build")
	ErrNoRegistry  = errors.New("the registry does not answer")
	ErrExists      = errors.New("the name is already in use")
)

// Default deadlines of calls whose context has none. They are not tuned: a
// call that takes this long means that the engine hangs.
const (
	quickCall = time.Minute      // anything that moves no content
	copyCall  = 10 * time.Minute // an archive in or out of a container
	imageCall = time.Hour        // a pull or a build
)

// Engine is a connection to one Docker Engine. It is safe for use by several
// goroutines.
type Engine struct {
	api  *client.Client
	info Info
	// configDir is where the docker command keeps its settings; logins to
	// registries are read from there.
	configDir string
}

// Info describes the engine and the machine that it runs on.
type Info struct {
	Engine          string // version of the engine
	API             string // version of the API in use
	OS              string // linux
	Arch            string // as in GOARCH
	Kernel          string
	StorageDriver   string
	CgroupVersion   string
	CgroupDriver    string // none where a rootless engine has no say over cgroups
	RootDir         string // where it keeps images and containers, on its own machine
	CPUs            int
	Memory          int64 // bytes
	SecurityOptions []string
}

// Connect finds the engine as the docker command does (DOCKER_HOST, then
// DOCKER_CONTEXT, then the current context, then the default socket), agrees
// on an API version and reads what the engine is. The error wraps
// ErrUnreachable or ErrTooOld.
func Connect(ctx context.Context) (*Engine, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	at, err := findEndpoint()
	if err != nil {
		return nil, fmt.Errorf("find the docker engine: %w", err)
	}
	api, err := client.NewClientWithOpts(append(at.options, client.WithAPIVersionNegotiation())...)
	if err != nil {
		return nil, fmt.Errorf("connect to the docker engine at %s: %w", at.name, err)
	}
	e := &Engine{api: api, configDir: at.configDir}
	if err := e.greet(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the docker engine at %s: %w", api.DaemonHost(), err), api.Close())
	}
	return e, nil
}

// greet pings first, so that an engine that is down or too old is told apart
// from one that refuses something later.
func (e *Engine) greet(ctx context.Context) error {
	ping, err := e.api.Ping(ctx)
	switch {
	case client.IsErrConnectionFailed(err), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: is it running? start it, or point DOCKER_HOST at one that is: %w", ErrUnreachable, err)
	case errdefs.IsPermissionDenied(err) || err != nil && strings.Contains(err.Error(), "permission denied"):
		return fmt.Errorf("%w: this user may not use its socket; add the user to the docker group: %w", ErrUnreachable, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case versions.LessThan(ping.APIVersion, minimumAPI):
		return fmt.Errorf("%w: it speaks API %s, and %s is needed; update it to Engine 20.10 or later",
			ErrTooOld, orUnknown(ping.APIVersion), minimumAPI)
	}
	e.api.NegotiateAPIVersionPing(ping)
	return e.readInfo(ctx, ping)
}

func (e *Engine) readInfo(ctx context.Context, ping types.Ping) error {
	info, err := e.api.Info(ctx)
	if err != nil {
		return fmt.Errorf("read what engine it is: %w", err)
	}
	e.info = Info{
		Engine: info.ServerVersion, API: e.api.ClientVersion(),
		OS: info.OSType, Arch: goArch(info.Architecture), Kernel: info.KernelVersion,
		StorageDriver: info.Driver, CgroupVersion: info.CgroupVersion,
		CgroupDriver: info.CgroupDriver, RootDir: info.DockerRootDir,
		CPUs: info.NCPU, Memory: info.MemTotal, SecurityOptions: info.SecurityOptions,
	}
	if e.info.OS == "" {
		e.info.OS = ping.OSType
	}
	if e.info.OS != "linux" {
		return fmt.Errorf("it runs %s containers; killpoint works with linux containers only", e.info.OS)
	}
	return nil
}

// goArch gives the kernel's name of an architecture as Go and images spell it.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

func orUnknown(text string) string {
	if text == "" {
		return "of unknown version"
	}
	return text
}

// Info is what was learnt of the engine when the connection was made.
func (e *Engine) Info() Info { return e.info }

// Host is where the engine was found, such as unix:///var/run/docker.sock.
func (e *Engine) Host() string { return e.api.DaemonHost() }

// Close gives up the connection.
func (e *Engine) Close() error { return e.api.Close() }

// bounded gives ctx a deadline when it has none.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// containerError tells a container that is gone from other trouble.
func containerError(err error) error {
	if err != nil && errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ErrNoContainer, err)
	}
	return err
}
