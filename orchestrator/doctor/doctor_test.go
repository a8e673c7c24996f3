package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

var update = flag.Bool("update", false, "write the golden file anew")

// fakeEngine has the images that a test gives it.
type fakeEngine struct {
	info     engine.Info
	images   map[string]engine.Image
	registry map[string]bool // nil: it does not answer
	asked    int
}

func (f *fakeEngine) Info() engine.Info { return f.info }
func (f *fakeEngine) Host() string      { return "unix:///run/docker.sock" }

func (f *fakeEngine) Image(_ context.Context, reference string) (engine.Image, error) {
	image, found := f.images[reference]
	if !found {
		return image, fmt.Errorf("look up image %s: %w", reference, engine.ErrNoImage)
	}
	return image, nil
}

func (f *fakeEngine) InRegistry(_ context.Context, reference string) error {
	f.asked++
	switch {
	case f.registry == nil:
		return fmt.Errorf("ask the registry for %s: %w: no such host", reference, engine.ErrNoRegistry)
	case !f.registry[reference]:
		return fmt.Errorf("ask the registry for %s: %w", reference, engine.ErrNoImage)
	}
	return nil
}

// healthy is a machine with nothing wrong; a test makes something wrong.
func healthy() (*Case, *fakeEngine, *run.Probed) {
	machine := &fakeEngine{
		info: engine.Info{
			Engine: "27.1.0", API: "1.46", OS: "linux", Arch: "amd64", Kernel: "6.8.0-31-generic", StorageDriver: "overlay2",
			CgroupVersion: "2", CgroupDriver: "systemd", CPUs: 8, Memory: 16e9, SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"},
		},
		images: map[string]engine.Image{
			"rabbitmq:4.2-management": {Arch: "amd64", Environment: []string{"RABBITMQ_VERSION=4.2.1"}},
			"worker:1":                {Arch: "amd64"},
		},
	}
	probed := &run.Probed{Features: interpose.Features{FirstProcess: true, KillableWait: true, DescriptorCopy: true}, Took: 400 * time.Millisecond}
	return &Case{
		Connect: func(context.Context) (Engine, error) { return machine, nil },
		Probe:   func(context.Context, Engine) (run.Probed, error) { return *probed, nil },
		Systems: []*system.System{{
			Services: []system.Service{{Name: "worker", Image: "worker:1"}, {Name: "rabbitmq", Image: "rabbitmq:4.2-management"}, {Name: "again", Image: "worker:1"}, {Name: "built", Build: &system.Build{}}},
			Facts:    &scenario.Facts{Broker: &scenario.Broker{Service: "rabbitmq"}},
		}},
		Free: func(string) (int64, error) { return 50e9, nil },
	}, machine, probed
}

// TestExamine holds what is said of one machine that is well, and of others
// with one thing wrong each: of those, only what differs.
func TestExamine(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	well := map[string]bool{}
	for _, test := range []struct {
		name  string
		wrong func(*Case, *fakeEngine, *run.Probed)
		fails bool
	}{
		{"a machine that is well", func(c *Case, _ *fakeEngine, _ *run.Probed) {}, false},
		{"engine: not there", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Connect = func(context.Context) (Engine, error) { return nil, fmt.Errorf("connect: %w", engine.ErrUnreachable) }
		}, true},
		{"engine: not for this user", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Connect = func(context.Context) (Engine, error) {
				return nil, fmt.Errorf("connect: %w: dial unix /run/docker.sock: permission denied", engine.ErrUnreachable)
			}
		}, true},
		{"engine: too old", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Connect = func(context.Context) (Engine, error) { return nil, fmt.Errorf("connect: %w", engine.ErrTooOld) }
		}, true},
		{"engine: a context that is not there", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Connect = func(context.Context) (Engine, error) { return nil, errors.New(`read docker context "x": no such file`) }
		}, true},
		{"storage: slow", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.StorageDriver = "vfs" }, false},
		{"kernel: 5.18", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.Kernel = "5.18.19" }, true},
		{"kernel: 5.19", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.Kernel = "5.19.0" }, false},
		{"kernel: unheard of", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.Kernel = "odd" }, false},
		{"cgroups: rootless without", func(_ *Case, f *fakeEngine, _ *run.Probed) {
			f.info.CgroupDriver = "none"
			f.info.SecurityOptions = []string{"name=seccomp,profile=/etc/own.json", "name=rootless"}
		}, false},
		{"security: no seccomp", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.SecurityOptions = []string{"name=selinux"} }, false},
		{"interposer: none", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Probe = func(context.Context, Engine) (run.Probed, error) {
				return run.Probed{}, fmt.Errorf("%w for linux/amd64", interpose.ErrNoBinary)
			}
		}, true},
		{"interposer: refused", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Probe = func(context.Context, Engine) (run.Probed, error) {
				return run.Probed{}, errors.New("the interposer exited with 125: install seccomp filter: operation not permitted")
			}
		}, true},
		{"interposer: not first", func(_ *Case, _ *fakeEngine, p *run.Probed) { p.FirstProcess = false }, true},
		{"interposer: no sockets", func(_ *Case, _ *fakeEngine, p *run.Probed) { p.DescriptorCopy = false }, false},
		{"images: other machine's", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.images["worker:1"] = engine.Image{Arch: "arm64"} }, false},
		{"images: broker 4.3", func(_ *Case, f *fakeEngine, _ *run.Probed) {
			f.images["rabbitmq:4.2-management"] = engine.Image{Arch: "amd64", Environment: []string{"RABBITMQ_VERSION=4.3.0"}}
		}, false},
		{"images: broker not pinned", func(c *Case, f *fakeEngine, _ *run.Probed) {
			c.Systems[0].Services[1].Image = "registry:5000/rabbitmq"
			f.images["registry:5000/rabbitmq"] = engine.Image{}
		}, false},
		{"images: to be pulled", func(_ *Case, f *fakeEngine, _ *run.Probed) {
			delete(f.images, "worker:1")
			f.registry = map[string]bool{"worker:1": true}
		}, false},
		{"images: in no registry", func(_ *Case, f *fakeEngine, _ *run.Probed) {
			delete(f.images, "worker:1")
			f.registry = map[string]bool{}
		}, true},
		{"images: to be built", func(c *Case, f *fakeEngine, _ *run.Probed) {
			delete(f.images, "worker:1")
			c.Systems[0].Services[0].Build = &system.Build{}
		}, false},
		{"images: never to be pulled", func(c *Case, f *fakeEngine, _ *run.Probed) {
			delete(f.images, "worker:1")
			c.Systems[0].Services[0].PullPolicy = "never"
		}, true},
		{"images: no registry", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.images = nil }, true},
		{"images: none looked for", func(c *Case, _ *fakeEngine, _ *run.Probed) { c.Systems = nil }, false},
		{"disk: no folder", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Folders = []Folder{{Path: filepath.Join(file, "below"), Holds: "lock files", Variable: "XDG_CACHE_HOME"}}
		}, true},
		{"disk: full", func(c *Case, f *fakeEngine, _ *run.Probed) {
			c.Folders = []Folder{{Path: folder, Holds: "histories"}}
			f.info.RootDir = folder
			c.Free = func(string) (int64, error) { return 100e6, nil }
		}, true},
		{"disk: nearly full", func(c *Case, _ *fakeEngine, _ *run.Probed) {
			c.Folders = []Folder{{Path: folder, Holds: "histories"}}
			c.Free = func(string) (int64, error) { return 1e9, nil }
		}, false},
		{"disk: the engine's is elsewhere", func(_ *Case, f *fakeEngine, _ *run.Probed) { f.info.RootDir = "/no/such/folder" }, false},
		{"disk: not known", func(c *Case, f *fakeEngine, _ *run.Probed) {
			f.info.RootDir = folder
			c.Free = func(string) (int64, error) { return 0, errors.New("not here") }
		}, false},
	} {
		c, machine, probed := healthy()
		test.wrong(c, machine, probed)
		fmt.Fprintf(&text, "== %s\n", test.name)
		var told []Finding
		findings := Examine(context.Background(), *c, func(found Finding) { told = append(told, found) })
		if difference := cmp.Diff(findings, told); difference != "" {
			t.Errorf("%s: told is not what is given: %s", test.name, difference)
		}
		if Failing(findings) != test.fails {
			t.Errorf("%s: failing is %v", test.name, !test.fails)
		}
		if machine.asked > 1 {
			t.Errorf("%s: a registry that does not answer was asked %d times", test.name, machine.asked)
		}
		for _, found := range findings {
			line := strings.ReplaceAll(fmt.Sprintf("%d %s: %s\n", found.Health, found.Subject, found.Text), folder, "/folder")
			if found.Fix != "" {
				line += "    fix: " + found.Fix + "\n"
			}
			if !well[line] {
				text.WriteString(line)
			}
			if strings.HasPrefix(test.name, "a machine") {
				well[line] = true
			}
			if found.Health == Fails && found.Fix == "" {
				t.Errorf("%s: %q fails and has no fix", test.name, found.Text)
			}
		}
	}
	const golden = "testdata/findings.txt"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(text.String()), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(string(want), text.String()); difference != "" {
		t.Errorf("%s differs (-want +got; go test -update renews it):\n%s", golden, difference)
	}
}
