package supervisor_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// docker runs a docker command and returns what it prints.
func docker(t *testing.T, stdin []byte, arguments ...string) string {
	t.Helper()
	output, err := tryDocker(stdin, arguments...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

func tryDocker(stdin []byte, arguments ...string) (string, error) {
	command := exec.Command("docker", arguments...)
	command.Stdin = bytes.NewReader(stdin)
	output, err := command.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

// image is made once: the target, a directory that everybody may write to, and nothing else.
var image = sync.OnceValues(func() (string, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	program, err := os.ReadFile(target)
	if err != nil {
		return "", err
	}
	for _, header := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o777},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeReg, Name: "target", Mode: 0o755, Size: int64(len(program))},
	} {
		if err := archive.WriteHeader(header); err != nil {
			return "", err
		}
		if header.Size > 0 {
			if _, err := archive.Write(program); err != nil {
				return "", err
			}
		}
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	name := fmt.Sprintf("killpoint-interpose-test:%d", os.Getpid())
	if output, err := tryDocker(buffer.Bytes(), "import", "-", name); err != nil {
		return "", fmt.Errorf("import image: %w: %s", err, output)
	}
	return name, nil
})

// programs is an image of programs that a distribution's packages give, which is made once and kept.
func programs(t *testing.T) string {
	t.Helper()
	if output, err := makePrograms(); err != nil {
		t.Fatalf("make the image of the programs: %v\n%s", err, output)
	}
	return programsImage
}

const programsImage = "killpoint/programs:local"

var makePrograms = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("testdata/programs/image.sh", programsImage).CombinedOutput()
})

// removeImage removes the image if it was made.
func removeImage() {
	_, _ = tryDocker(nil, "rmi", fmt.Sprintf("killpoint-interpose-test:%d", os.Getpid())) // most runs make none
}

// container is a container with the interposer in front of its command.
type container struct {
	t        *testing.T
	name     string
	readOnly bool
	client   *interpose.Client
	seen     []interpose.Event
}

// createContainer makes a container of the test's own image.
func createContainer(t *testing.T, plan interpose.Plan, flags []string, command ...string) *container {
	t.Helper()
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	return createContainerOf(t, from, plan, flags, command...)
}

// createContainerOf makes a container and installs the interposer as the orchestrator does.
func createContainerOf(t *testing.T, from string, plan interpose.Plan, flags []string, command ...string) *container {
	t.Helper()
	binary, err := interpose.Binary("amd64")
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, name: "kp-interpose-" + plan.ID}
	c.readOnly = slices.Contains(flags, "--read-only")
	if !slices.Contains(flags, "--network") {
		flags = append([]string{"--network", "none"}, flags...)
	}
	full := interpose.Command(command, nil)
	arguments := append([]string{"create", "--name", c.name, "--entrypoint", full[0]}, flags...)
	docker(t, nil, append(append(arguments, from), full[1:]...)...)
	t.Cleanup(func() { docker(t, nil, "rm", "--force", "--volumes", c.name) })
	upload, err := interpose.Install(binary, plan, c.readOnly)
	if err != nil {
		t.Fatal(err)
	}
	docker(t, upload.Tar, "cp", "-", c.name+":"+upload.Path)
	return c
}

// start starts the container and attaches to the interposer.
func (c *container) start(plan interpose.Plan) {
	c.t.Helper()
	docker(c.t, nil, "start", c.name)
	c.client = attach(c.t, exec.Command("docker", append([]string{"exec", "-i", c.name}, interpose.ControlCommand(plan.ID)...)...))
}

// restart starts the container again, with a new plan.
func (c *container) restart(plan interpose.Plan) {
	c.t.Helper()
	upload, err := interpose.Update(plan, c.readOnly)
	if err != nil {
		c.t.Fatal(err)
	}
	docker(c.t, upload.Tar, "cp", "-", c.name+":"+upload.Path)
	c.start(plan)
}

func (c *container) await(kind interpose.Kind) interpose.Event {
	c.t.Helper()
	return c.awaitFor(kind, patience)
}

func (c *container) awaitFor(kind interpose.Kind, most time.Duration) interpose.Event {
	c.t.Helper()
	event, err := awaitEventFor(most, c.client, &c.seen, kind)
	if err != nil {
		logs, _ := tryDocker(nil, "logs", c.name)
		c.t.Fatalf("wait for %s: %v\nlogs: %s", kind, err, logs)
	}
	return event
}

func (c *container) control() *interpose.Client { return c.client }

func (c *container) kill() {
	c.t.Helper()
	docker(c.t, nil, "kill", c.name)
	docker(c.t, nil, "wait", c.name)
}

// contents copies a file out of the container.
func (c *container) contents(file string) string {
	c.t.Helper()
	copied := filepath.Join(c.t.TempDir(), "copy")
	docker(c.t, nil, "cp", c.name+":"+file, copied)
	return contents(c.t, copied)
}

func needDocker(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves containers out")
	}
}

func TestContainersOfAllKinds(t *testing.T) {
	needDocker(t)
	everythingTaken := []string{"--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}
	kinds := map[string][]string{
		"plain":                   {"--memory", "64m"},
		"volume":                  {"--volume", "/data"},
		"no privilege of any":     everythingTaken,
		"read-only, unprivileged": append([]string{"--read-only", "--volume", interpose.Directory, "--volume", "/data"}, everythingTaken...),
		"root without any":        {"--cap-drop", "ALL"},
		"terminal":                {"--tty"},
		"little room":             {"--memory", "16m", "--pids-limit", strconv.Itoa(interpose.Tasks + 8), "--ulimit", "nofile=20"},
		"another user by exec":    {"SWITCH"},
	}
	for name, flags := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := newPlan(tear("/data/*.txt", 3, interpose.KeepBytes(4)))
			command := []string{"/target", "sequence", "/data/file.txt", "5"}
			if len(flags) == 1 && flags[0] == "SWITCH" {
				// As gosu does it; no further capability is needed.
				flags, command = nil, append([]string{"/target", "switch", "1000"}, command[1:]...)
			}
			c := createContainer(t, plan, flags, command...)
			c.start(plan)
			event := c.await(interpose.Reached)
			if event.Inexact != "" || event.Kept != 4 {
				t.Errorf("unexpected event %+v", event)
			}
			c.kill()
			if got := c.contents("/data/file.txt"); got != lines(2)+"line" {
				t.Errorf("got %q", got)
			}
			// The second incarnation goes its own way to the end.
			plan.Incarnation, plan.Points = 2, nil
			c.restart(plan)
			if event := c.await(interpose.Exited); event.Code != 0 || event.Incarnation != 2 {
				t.Errorf("unexpected end %+v", event)
			}
			if code := docker(t, nil, "wait", c.name); code != "0" {
				t.Errorf("exit code %s", code)
			}
		})
	}
}

func TestContainersStopAndFailAsWithoutInterposer(t *testing.T) {
	needDocker(t)
	t.Run("stop", func(t *testing.T) {
		plan := newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before))
		c := createContainer(t, plan, nil, "/target", "wait")
		c.start(plan)
		waitFor(t, "the program listens", func() bool { return strings.Contains(docker(t, nil, "logs", c.name), "listening") })
		docker(t, nil, "stop", "--time", "10", c.name)
		if code := docker(t, nil, "wait", c.name); code != "55" {
			t.Errorf("exit code %s, want 55 from the handler of SIGTERM", code)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		plan := newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before))
		c := createContainer(t, plan, nil, "/no-such-program")
		c.start(plan)
		if event := c.await(interpose.Failed); !strings.Contains(event.Message, "no such file or directory") {
			t.Errorf("unexpected event %+v", event)
		}
		if code := docker(t, nil, "wait", c.name); code != "127" {
			t.Errorf("exit code %s", code)
		}
	})
	t.Run("seccomp forbidden", func(t *testing.T) {
		profile := filepath.Join(t.TempDir(), "profile.json")
		rule := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["seccomp"],"action":"SCMP_ACT_ERRNO"}]}`
		if err := os.WriteFile(profile, []byte(rule), 0o644); err != nil {
			t.Fatal(err)
		}
		plan := newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before))
		c := createContainer(t, plan, []string{"--security-opt", "seccomp=" + profile}, "/target", "wait")
		c.start(plan)
		if event := c.await(interpose.Failed); !strings.Contains(event.Message, "seccomp profile forbids") {
			t.Errorf("unexpected event %+v", event)
		}
	})
	t.Run("frames without the capability", func(t *testing.T) {
		plan := newPlan(amqpPoint(interpose.Publish, "out", 1, interpose.Before))
		c := createContainer(t, plan, nil, "/target", "wait")
		c.start(plan)
		if event := c.await(interpose.Failed); !strings.Contains(event.Message, "cap_add: [SYS_PTRACE]") {
			t.Errorf("unexpected event %+v", event)
		}
	})
}

func TestAThreadThatChangesItsUserIsStillFollowed(t *testing.T) {
	needDocker(t)
	plan := newPlan(tear("/data/file", 2, interpose.KeepBytes(3)))
	c := createContainer(t, plan, nil, "/target", "drop", "/data/file", "1000")
	c.start(plan)
	if event := c.await(interpose.Reached); event.Inexact != "" {
		t.Errorf("unexpected event %+v", event)
	}
	c.kill()
	if got := c.contents("/data/file"); got != "as before\nas " {
		t.Errorf("got %q", got)
	}
}

func TestFramesInAnUnprivilegedContainer(t *testing.T) {
	needDocker(t)
	broker := startBroker(t)
	close(broker.confirm)
	plan := newPlan(amqpPoint(interpose.Publish, "out", 3, interpose.After))
	flags := []string{"--network", "host", "--user", "1000", "--cap-drop", "ALL", "--cap-add", "SYS_PTRACE", "--security-opt", "no-new-privileges"}
	c := createContainer(t, plan, flags, "/target", "forward", broker.listener.Addr().String())
	c.start(plan)
	if event := c.await(interpose.Reached); event.Inexact != "" {
		t.Errorf("unexpected event %+v", event)
	}
	c.kill()
	if got := broker.log(); len(got) != 5 || got[4] != "publish message 3" {
		t.Errorf("the broker has seen %q", got)
	}
}

// TestMemoryIsThatOfTheProgramThatWrites runs a child that writes out of the memory that it shares with its parent, and then out of that of the program that it becomes, where process_vm_readv is forbidden and the memory of each thread is kept open.
func TestMemoryIsThatOfTheProgramThatWrites(t *testing.T) {
	needDocker(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("the target's vfork is written for amd64")
	}
	const file, before, after = "/data/file", "out of the parent's memory", "out of its own"
	plan := newPlan()
	plan.Record = &interpose.Record{Paths: []string{file}, Operations: []interpose.Operation{interpose.Write}, Sums: true}
	c := createContainer(t, plan, withoutProcessRead(t), "/target", "vfork", file, before, after)
	c.start(plan)
	if event := c.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d", event.Code)
	}
	var got []string
	threads := make(map[int]bool)
	for _, event := range c.seen {
		switch event.Kind {
		case interpose.Hello:
			if event.Features.ProcessRead {
				t.Fatal("the memory can be read by another way")
			}
		case interpose.Op:
			got = append(got, event.Sum)
			threads[event.Thread] = true
		}
	}
	if difference := cmp.Diff([]string{sumOf(before), sumOf(after)}, got); difference != "" {
		t.Error(difference)
	}
	if len(threads) != 1 {
		t.Errorf("want one thread that writes before and after its exec, got %v", threads)
	}
}

// withoutProcessRead are the flags of a container that forbids process_vm_readv, as Docker's default did before version 22.
func withoutProcessRead(t *testing.T) []string {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile.json")
	rule := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["process_vm_readv"],"action":"SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--security-opt", "seccomp=" + profile}
}

// TestMemoryOfAProgramThatHasChangedItsUser: a thread that was seen as root, at an exec, belongs to somebody else when its memory is read.
func TestMemoryOfAProgramThatHasChangedItsUser(t *testing.T) {
	needDocker(t)
	plan := newPlan()
	plan.Record = &interpose.Record{Paths: []string{"/data/*"}, Operations: []interpose.Operation{interpose.Create, interpose.Write}, Sums: true}
	c := createContainer(t, plan, withoutProcessRead(t), "/target", "switch", "0", "switch", "1000", "sequence", "/data/file.txt", "3")
	c.start(plan)
	if event := c.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d", event.Code)
	}
	var got []string
	for _, event := range c.seen {
		switch event.Kind {
		case interpose.Op:
			got = append(got, string(event.Operation)+" "+event.Sum)
		case interpose.Failed, interpose.Coverage:
			t.Error(event.Message)
		}
	}
	want := []string{"create "}
	for line := range strings.Lines(lines(3)) {
		want = append(want, "write "+sumOf(line))
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Error(difference)
	}
}

func sumOf(text string) string {
	return strconv.FormatUint(uint64(crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli))), 16)
}
