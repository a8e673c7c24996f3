package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/doctor"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// patientEngine is an engine that has every image but those named lost.
type patientEngine struct{ storage string }

func (p patientEngine) Info() engine.Info {
	return engine.Info{
		Engine: "27.1.0", API: "1.46", Arch: "amd64", Kernel: "6.8.0", StorageDriver: p.storage, CgroupVersion: "2",
		CgroupDriver: "systemd", CPUs: 4, Memory: 8e9, SecurityOptions: []string{"name=seccomp,profile=builtin"},
	}
}

func (patientEngine) Host() string { return "unix:///run/docker.sock" }

func (patientEngine) Image(_ context.Context, reference string) (engine.Image, error) {
	if strings.HasPrefix(reference, "lost") {
		return engine.Image{}, engine.ErrNoImage
	}
	return engine.Image{Arch: "amd64"}, nil
}

func (patientEngine) InRegistry(context.Context, string) error { return engine.ErrNoRegistry }

// sickUser is a user of a machine with that storage driver, whose engine
// cannot be reached when there is an error.
func sickUser(t *testing.T, storage string, unreachable error, scenarios ...string) *terminalUser {
	u := newUser(t, scenarios...)
	u.world.load = system.Load
	u.world.examine = func() doctor.Case {
		return doctor.Case{
			Connect: func(context.Context) (doctor.Engine, error) { return patientEngine{storage}, unreachable },
			Probe: func(context.Context, doctor.Engine) (run.Probed, error) {
				return run.Probed{Features: interpose.Features{FirstProcess: true, DescriptorCopy: true}, Took: time.Second}, nil
			},
			Free: func(string) (int64, error) { return 9e9, nil },
		}
	}
	return u
}

func TestDoctor(t *testing.T) {
	u := sickUser(t, "overlay2", nil, "a", "b")
	u.wants(exitPassed, "doctor")
	golden(t, "doctor.txt", u.out.String())
	if u.err.String() != "" {
		t.Errorf("stderr: %s", u.err)
	}
}

func TestDoctorWithoutScenarios(t *testing.T) {
	u := sickUser(t, "vfs", nil)
	u.wants(exitPassed, "doctor")
	for _, text := range []string{"FAIL", "no scenario was given", "everything works; one thing is limited\n"} {
		if strings.Contains(u.out.String(), text) == (text == "FAIL") {
			t.Errorf("stdout: %s, wrong about %q", u.out, text)
		}
	}
}

func TestDoctorThatFindsTrouble(t *testing.T) {
	u := sickUser(t, "vfs", nil, "a")
	u.write("compose.yaml", "services: {worker-2: {image: 'lost:1'}, other: {image: 'lost:2'}}\n")
	u.wants(exitBroken, "doctor", "scenarios/a.yaml")
	golden(t, "doctor-trouble.txt", u.out.String())

	u = sickUser(t, "overlay2", errors.Join(engine.ErrUnreachable))
	u.wants(exitBroken, "doctor")
	if !strings.Contains(u.out.String(), "one thing does not work\n") {
		t.Errorf("stdout: %s", u.out)
	}
}

// A scenario that is not valid is said before anything is looked at.
func TestDoctorRefusesBadScenarios(t *testing.T) {
	u := sickUser(t, "overlay2", nil, "a")
	u.write("scenarios/bad.yaml", "system: ../compose.yaml\nfautls: []\n")
	u.wants(exitUsage, "doctor")
	if u.out.String() != "" || !strings.Contains(u.err.String(), "scenarios/bad.yaml:2:1: ") {
		t.Errorf("stdout %q, stderr %q", u.out, u.err)
	}
}

func TestDoctorInterrupted(t *testing.T) {
	u := sickUser(t, "overlay2", nil)
	examine := u.world.examine
	u.world.examine = func() doctor.Case {
		patient := examine()
		patient.Probe = func(ctx context.Context, _ doctor.Engine) (run.Probed, error) {
			u.interrupts <- os.Interrupt
			<-ctx.Done()
			return run.Probed{}, ctx.Err()
		}
		return patient
	}
	u.wants(exitInterrupted, "doctor")
}
