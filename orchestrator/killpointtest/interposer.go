package killpointtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// needsInterposer says whether any scenario has a crash point.
func needsInterposer(loaded []suite.Loaded) bool {
	for _, one := range loaded {
		for _, fault := range one.Scenario.Faults {
			if fault.When.IsCrashPoint() {
				return true
			}
		}
	}
	return false
}

// interposerPackage is built in the module that the test is in, which has
// killpoint among its requirements.
const interposerPackage = "github.com/killpoint/killpoint/orchestrator/interpose/cmd/interposer"

var providing sync.Mutex

// provideInterposer builds the interposer for the engine's containers, since
// the executable of a test has none beside it, and says by its variable where
// it is. One that is there or named already is left alone.
func provideInterposer(ctx context.Context) error {
	providing.Lock()
	defer providing.Unlock()
	connected, err := engine.Connect(ctx)
	if err != nil {
		return err
	}
	arch := connected.Info().Arch
	if err := connected.Close(); err != nil {
		return fmt.Errorf("ask the engine's architecture: %w", err)
	}
	if _, err := interpose.Binary(arch); err == nil || !errors.Is(err, interpose.ErrNoBinary) {
		return err
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir()
	}
	folder = filepath.Join(folder, "killpoint")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("build the interposer: %w", err)
	}
	// Built beside its place and moved there, since other tests may be
	// reading the one that is there.
	scratch, err := os.MkdirTemp(folder, "building-")
	if err != nil {
		return fmt.Errorf("build the interposer: %w", err)
	}
	defer os.RemoveAll(scratch)
	binary := filepath.Join(scratch, interpose.Name)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, interposerPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the interposer: %w\n%s(or name one by %s)", err, out, interpose.BinaryVariable)
	}
	place := filepath.Join(folder, interpose.BinaryName(arch))
	if err := os.Rename(binary, place); err != nil {
		return fmt.Errorf("build the interposer: %w", err)
	}
	return os.Setenv(interpose.BinaryVariable, place)
}
