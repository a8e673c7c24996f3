package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// The tests of crash points need what a probe looks for, so it must be there.
func TestProbe(t *testing.T) {
	ctx := with(t)
	probed, err := Probe(ctx, testEngine)
	if err != nil {
		t.Fatal(err)
	}
	if !probed.FirstProcess || !probed.KillableWait || !probed.DescriptorCopy || probed.Kernel != testEngine.Info().Kernel ||
		probed.Architecture != testEngine.Info().Arch || probed.Took <= 0 {
		t.Errorf("probed %+v", probed)
	}
	nothingIsLeftOfProbes(t, ctx)
}

// An interposer that does not start says why, and leaves nothing behind.
func TestProbeThatFails(t *testing.T) {
	ctx := with(t)
	t.Setenv(interpose.BinaryVariable, filepath.Join(t.TempDir(), "none"))
	if _, err := Probe(ctx, testEngine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	// A program that is static and no interposer: the actor.
	actor := filepath.Join(t.TempDir(), "actor")
	if err := buildActor(actor); err != nil {
		t.Fatal(err)
	}
	t.Setenv(interpose.BinaryVariable, actor)
	if _, err := Probe(ctx, testEngine); err == nil || !strings.Contains(err.Error(), "the interposer exited with ") {
		t.Errorf("error %v", err)
	}
	nothingIsLeftOfProbes(t, ctx)
}

func nothingIsLeftOfProbes(t *testing.T, ctx context.Context) {
	t.Helper()
	things, err := testEngine.Labelled(ctx, labelOwner, "")
	if err != nil {
		t.Fatal(err)
	}
	host, _ := hostName()
	for _, container := range things.Containers {
		if strings.HasPrefix(container.Name, "kp-probe-") && strings.HasPrefix(container.Labels[labelOwner], host+":") {
			t.Errorf("%s is left", container.Name)
		}
	}
}
