package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// ContainerSpec says what container to create for a service.
type ContainerSpec struct {
	Name   string // the engine's name for it, unique on the engine
	Labels map[string]string
	// Service is everything that its compose file says of it.
	Service system.Service
	Image   string // reference or id

	// Networks are the engine's networks to be on, instead of those that the
	// service names: attachments whose Network is the engine's name.
	Networks []system.Attachment
	// Volumes gives the engine's volume for each of the system's volumes.
	Volumes map[string]string
	// Copies gives the engine's volume that holds the throw-away copy of each
	// host folder that the service has as a bind mount; see FillVolume.
	Copies map[string]string
	// BindRW mounts the real files and folders instead of copies.
	BindRW bool
	// Publish publishes the service's ports on the host.
	Publish bool

	// Entrypoint and Command replace the service's and the image's when they
	// are not nil.
	Entrypoint []string
	Command    []string
	// Environment comes on top of the service's.
	Environment map[string]string
	ExtraHosts  []string
	CapAdd      []string
	SecurityOpt []string
}

// Create makes a container, connects it to its networks and puts its single
// files in place, but does not start it. When it fails, nothing is left
// behind. A name in use gives ErrExists, a missing image ErrNoImage.
func (e *Engine) Create(ctx context.Context, spec ContainerSpec) (id string, err error) {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	config, host, files, err := e.convert(spec)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", spec.Name, err)
	}
	created, err := e.api.ContainerCreate(ctx, config, host, firstNetwork(spec.Networks), platform(spec.Service.Platform), spec.Name)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", spec.Name, createError(err))
	}
	defer func() {
		if err != nil {
			// The caller's context may be what failed; the removal has its own.
			err = errors.Join(err, e.Remove(context.WithoutCancel(ctx), created.ID))
		}
	}()
	// Engines before API 1.44 accept one network at creation only.
	for _, attachment := range spec.Networks[min(1, len(spec.Networks)):] {
		if err := e.Connect(ctx, created.ID, attachment); err != nil {
			return "", fmt.Errorf("create container %s: %w", spec.Name, err)
		}
	}
	for _, file := range files {
		if err := e.putFile(ctx, created.ID, file); err != nil {
			return "", fmt.Errorf("create container %s: %w", spec.Name, err)
		}
	}
	return created.ID, nil
}

func createError(err error) error {
	switch {
	case errdefs.IsNotFound(err) && strings.Contains(strings.ToLower(err.Error()), "image"):
		return fmt.Errorf("%w: %w", ErrNoImage, err)
	case errdefs.IsConflict(err):
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return err
}

func firstNetwork(attachments []system.Attachment) *network.NetworkingConfig {
	if len(attachments) == 0 {
		return nil
	}
	first := attachments[0]
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
		first.Network: endpointSettings(first),
	}}
}

func endpointSettings(attachment system.Attachment) *network.EndpointSettings {
	settings := &network.EndpointSettings{Aliases: slices.Clone(attachment.Aliases), DriverOpts: attachment.DriverOpts}
	if attachment.IPv4 != "" || attachment.IPv6 != "" || len(attachment.LinkLocal) > 0 {
		settings.IPAMConfig = &network.EndpointIPAMConfig{
			IPv4Address: attachment.IPv4, IPv6Address: attachment.IPv6, LinkLocalIPs: attachment.LinkLocal,
		}
	}
	return settings
}

// Start starts a created or stopped container.
func (e *Engine) Start(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return fmt.Errorf("start container %s: %w", short(id), containerError(err))
	}
	return nil
}

// Kill sends a signal (SIGKILL when empty) to the container's first process
// and returns when it was sent. One that does not run gives ErrNotRunning.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if signal == "" {
		signal = "SIGKILL"
	}
	if err := e.api.ContainerKill(ctx, id, signal); err != nil {
		return fmt.Errorf("send %s to container %s: %w", signal, short(id), e.runningError(ctx, id, err))
	}
	return nil
}

// runningError finds out whether something failed because the container does
// not run; engines differ in how they say that.
func (e *Engine) runningError(ctx context.Context, id string, err error) error {
	if errdefs.IsNotFound(err) {
		return containerError(err)
	}
	if state, inspectErr := e.Inspect(ctx, id); inspectErr == nil && (!state.Running || state.Restarting) {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return err
}

// WaitStopped waits until the container does not run and gives the exit code
// of the life that ended. One that never ran, or is down already, returns at
// once.
func (e *Engine) WaitStopped(ctx context.Context, id string) (exitCode int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, errs := e.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case answer := <-answers:
		if answer.Error != nil {
			return int(answer.StatusCode), fmt.Errorf("wait for container %s: %s", short(id), answer.Error.Message)
		}
		return int(answer.StatusCode), nil
	case err := <-errs:
		return 0, fmt.Errorf("wait for container %s: %w", short(id), containerError(err))
	}
}

// Stop sends the container's stop signal, waits for the grace time (nil: the
// service's own, else the engine's 10 s) and then sends SIGKILL. It returns
// when the container is down, and says whether it had to be killed.
//
// The engine's own stop counts whole seconds only, which is too coarse for a
// fault, so the steps are done here.
func (e *Engine) Stop(ctx context.Context, id string, grace *time.Duration) (killed bool, err error) {
	inspected, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return false, fmt.Errorf("stop container %s: %w", short(id), containerError(err))
	}
	signal, patience := "SIGTERM", 10*time.Second
	if inspected.Config.StopSignal != "" {
		signal = inspected.Config.StopSignal
	}
	if inspected.Config.StopTimeout != nil {
		patience = time.Duration(*inspected.Config.StopTimeout) * time.Second
	}
	if grace != nil {
		patience = *grace
	}
	if err := e.Kill(ctx, id, signal); err != nil {
		return false, fmt.Errorf("stop container %s: %w", short(id), err)
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := e.WaitStopped(waiting, id); err == nil {
		return false, nil
	} else if waiting.Err() == nil || ctx.Err() != nil {
		return false, fmt.Errorf("stop container %s: %w", short(id), err)
	}
	// It may have ended by itself in this very moment.
	if err := e.Kill(ctx, id, "SIGKILL"); errors.Is(err, ErrNotRunning) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("stop container %s: %w", short(id), err)
	}
	dying, cancelDying := bounded(ctx, quickCall)
	defer cancelDying()
	if _, err := e.WaitStopped(dying, id); err != nil {
		return true, fmt.Errorf("stop container %s: %w", short(id), err)
	}
	return true, nil
}

// Pause freezes all processes of a container.
func (e *Engine) Pause(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.ContainerPause(ctx, id); err != nil {
		return fmt.Errorf("pause container %s: %w", short(id), e.runningError(ctx, id, err))
	}
	return nil
}

// Unpause lets a paused container go on.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	if err := e.api.ContainerUnpause(ctx, id); err != nil {
		return fmt.Errorf("unpause container %s: %w", short(id), e.runningError(ctx, id, err))
	}
	return nil
}

// Remove kills and removes a container with its anonymous volumes and returns
// when it is gone. One that is not there is no error.
func (e *Engine) Remove(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case err == nil || errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		// Somebody else is removing it: all that is left is to wait.
		return e.waitRemoved(ctx, id, err)
	}
	return fmt.Errorf("remove container %s: %w", short(id), err)
}

func (e *Engine) waitRemoved(ctx context.Context, id string, cause error) error {
	answers, errs := e.api.ContainerWait(ctx, id, container.WaitConditionRemoved)
	select {
	case <-answers:
		return nil
	case err := <-errs:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("remove container %s: %w: %w", short(id), cause, err)
	}
}

// State is what a container is at a moment.
type State struct {
	Running    bool // also while paused, and while the engine is restarting it
	Paused     bool
	Restarting bool
	ExitCode   int // of the last life
	OOMKilled  bool
	Error      string // why it did not start
	// StartedAt and FinishedAt are the engine's clock; zero: never.
	StartedAt    time.Time
	FinishedAt   time.Time
	Health       string // starting, healthy, unhealthy; empty without a health check
	HealthOutput string // what the last health check printed
	RestartCount int    // by its restart policy
	Image        string // id
	Addresses    map[string]string
	Networks     []string // names, sorted
	Ports        map[string]string
}

// Inspect reads a container's state.
func (e *Engine) Inspect(ctx context.Context, id string) (State, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	found, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return State{}, fmt.Errorf("inspect container %s: %w", short(id), containerError(err))
	}
	state := State{
		Running: found.State.Running, Paused: found.State.Paused, Restarting: found.State.Restarting,
		ExitCode: found.State.ExitCode, OOMKilled: found.State.OOMKilled, Error: found.State.Error,
		StartedAt: parseTime(found.State.StartedAt), FinishedAt: parseTime(found.State.FinishedAt),
		RestartCount: found.RestartCount, Image: found.Image,
		Addresses: map[string]string{}, Ports: map[string]string{},
	}
	if health := found.State.Health; health != nil && health.Status != container.NoHealthcheck {
		state.Health = health.Status
		if len(health.Log) > 0 {
			state.HealthOutput = health.Log[len(health.Log)-1].Output
		}
	}
	if found.NetworkSettings != nil {
		for name, endpoint := range found.NetworkSettings.Networks {
			state.Networks = append(state.Networks, name)
			if endpoint != nil && endpoint.IPAddress != "" {
				state.Addresses[name] = endpoint.IPAddress
			}
		}
		slices.Sort(state.Networks)
		for port, bindings := range found.NetworkSettings.Ports {
			if len(bindings) > 0 {
				state.Ports[string(port)] = bindings[0].HostPort
			}
		}
	}
	return state, nil
}

// Tail gives the last lines that a container printed on both streams, oldest
// first, for messages about one that died.
func (e *Engine) Tail(ctx context.Context, id string, lines int) ([]string, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	var last []string
	err := e.readLogs(ctx, id, logQuery{tail: lines}, func(entry logEntry) error {
		last = append(last, strings.TrimSuffix(entry.text, "\n"))
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the last lines of container %s: %w", short(id), containerError(err))
	}
	return last, nil
}

// short is how a container's id is shown: names are left as they are.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

// within says whether a path is the folder itself or lies in it.
func within(folder, file string) bool {
	folder, file = path.Clean(folder), path.Clean(file)
	return folder == "/" || file == folder || strings.HasPrefix(file, folder+"/")
}
