package run

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// probeTime bounds a probe; a container that does next to nothing takes a
// second.
const probeTime = time.Minute

// Probed is what a probe has seen.
type Probed struct {
	interpose.Features
	// Took is the time from creating the container to its removal.
	Took time.Duration
}

// Probe runs the interposer in a container of its own, which holds nothing
// else, and gives what the engine's kernel and seccomp profile allow it. The
// container has the capability that crash points on sockets are given.
// Everything is removed again.
func Probe(ctx context.Context, e *engine.Engine) (probed Probed, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	binary, err := interpose.Binary(e.Info().Arch)
	if err != nil {
		return probed, err
	}
	held, err := newOwner()
	if err != nil {
		return probed, err
	}
	id := newRunID()
	image, name := "killpoint/probe:"+id, "kp-probe-"+id
	defer func() {
		removing, cancel := removalContext(ctx)
		defer cancel()
		err = errors.Join(err, e.Remove(removing, name), e.RemoveImage(removing, image), held.close())
	}()
	if _, err := e.Import(ctx, image, probeRoot(binary)); err != nil {
		return probed, err
	}
	began := time.Now()
	text, err := probeOnce(ctx, e, engine.ContainerSpec{
		Name: name, Image: image, Labels: map[string]string{labelRun: id, labelOwner: held.name},
		Service:    system.Service{Name: "probe", NetworkMode: "none"},
		Entrypoint: interpose.ProbeCommand(), Command: []string{}, CapAdd: []string{"SYS_PTRACE"},
	})
	if err != nil {
		return probed, err
	}
	probed.Took = time.Since(began)
	if err := json.Unmarshal([]byte(text), &probed.Features); err != nil {
		return probed, fmt.Errorf("read what the interposer says of this engine: %w: %s", err, text)
	}
	return probed, nil
}

// probeOnce runs the container to its end and gives what it printed; a
// complaint of the interposer's is the error.
func probeOnce(ctx context.Context, e *engine.Engine, spec engine.ContainerSpec) (string, error) {
	id, err := e.Create(ctx, spec)
	if err != nil {
		return "", err
	}
	if err := e.Start(ctx, id); err != nil {
		return "", err
	}
	code, err := e.WaitStopped(ctx, id)
	if err != nil {
		return "", err
	}
	lines, err := e.Tail(ctx, id, 10)
	if err != nil {
		return "", err
	}
	text := strings.Join(lines, "\n")
	if code != 0 {
		return "", fmt.Errorf("the interposer exited with %d: %s", code, text)
	}
	return text, e.Remove(ctx, id)
}

// probeRoot is a root file system with the interposer alone.
func probeRoot(binary []byte) *bytes.Buffer {
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	// Writing into memory cannot fail.
	archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: interpose.Directory[1:] + "/", Mode: 0o755})
	archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: interpose.BinaryPath[1:], Mode: 0o755, Size: int64(len(binary))})
	archive.Write(binary)
	archive.Close()
	return &root
}
