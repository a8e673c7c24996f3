package proof_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/proof"
)

var fleetOfTwo = flag.Bool("fleet", false, "compare a fleet of two engines on this machine with one engine")

// brokerImage is what make images builds where no registry answers.
const brokerImage = "killpoint/rabbitmq:local"

// A fleet of two engines, of which one agent is killed in the middle of its
// work and another started in its place, and of which the broker is restarted,
// comes to what one engine comes to: point by point, on the correct worker and
// on a broken one.
func TestFleetOfTwoEngines(t *testing.T) {
	if !*fleetOfTwo {
		t.Skip("starts a second engine, as root; make fleet runs it")
	}
	all, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	broken := all[slices.IndexFunc(all, func(v proof.Variant) bool { return v.Name == "forgets-after-restart" })]
	b := newBench(t)
	b.build(t, []proof.Variant{proof.Correct(), broken})
	second := startEngine(t)
	brokers := startBroker(t)
	var rates []string
	for _, test := range []struct {
		name string
		code int
	}{{proof.Correct().Name, 0}, {broken.Name, 1}} {
		second.load(t, brokerImage, workerImage, b.images[test.name])
		arguments := []string{
			"explore", "scenarios/normal.yaml", "--target", "worker-2", "--env", "NUM_CHUNKS=3", "--env", "VERIFY_TIMEOUT=5s", "--env", "WORKER_2_IMAGE=" + b.images[test.name],
			"--max", "60", "--seed", "7", "--confirm", "0",
		}
		alone := t.TempDir()
		if code, output := command(t, append(slices.Clone(arguments), "--report", alone)...); code != test.code {
			t.Fatalf("%s on one engine: exit code %d, want %d:\n%s", test.name, code, test.code, output)
		}
		want := outcomes(t, alone)
		if failed := strings.Contains(want, "failed"); strings.Count(want, "\n") != 60 || failed != (test.code == 1) {
			t.Fatalf("%s on one engine:\n%s", test.name, want)
		}
		first := startAgent(t, brokers.url, "")
		doomed := startAgent(t, brokers.url, second.host)
		together := t.TempDir()
		coordinator := startKillpoint(t, []string{"KILLPOINT_FLEET=" + brokers.url}, append(slices.Clone(arguments), "--report", together)...)
		journaled(t, coordinator, together, 10)
		doomed.kill()
		t.Log("an agent is killed, and another one started")
		replacement := startAgent(t, brokers.url, second.host)
		journaled(t, coordinator, together, 30)
		t.Log("the broker is restarted")
		brokers.restart(t)
		<-coordinator.ended
		if code := coordinator.ProcessState.ExitCode(); code != test.code {
			t.Fatalf("%s on a fleet: exit code %d, want %d:\n%s", test.name, code, test.code, coordinator.output())
		}
		if difference := cmp.Diff(want, outcomes(t, together)); difference != "" {
			t.Errorf("%s: one engine (-) and the fleet (+) differ:\n%s", test.name, difference)
		}
		for _, agent := range []*ranKillpoint{first, replacement} {
			agent.interrupt(t)
			if !strings.Contains(agent.output(), "taking part in worker-2 of normal") {
				t.Errorf("%s: an agent did nothing:\n%s", test.name, agent.output())
			}
		}
		rates = append(rates, fmt.Sprintf("%-24s one engine %4.0f points a minute, a fleet of two %4.0f; outcomes of %d points equal: %v",
			test.name, rate(t, alone), rate(t, together), strings.Count(want, "\n"), want == outcomes(t, together)))
	}
	fmt.Println(strings.Join(rates, "\n"))
	fmt.Println("both engines share the cores of this machine, and the fleet lost an agent, a broker and the time to start: it shows what is found, not what is gained")
}

func rate(t *testing.T, folder string) float64 {
	t.Helper()
	campaign, err := report.LoadCampaign(folder)
	if err != nil {
		t.Fatal(err)
	}
	return campaign.Rate
}

// ranKillpoint is killpoint as a process of its own.
type ranKillpoint struct {
	*exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	text  bytes.Buffer
}

func (p *ranKillpoint) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *ranKillpoint) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func startKillpoint(t *testing.T, environment []string, arguments ...string) *ranKillpoint {
	t.Helper()
	p := &ranKillpoint{Cmd: exec.Command(killpoint(t), arguments...), ended: make(chan struct{})}
	p.Dir, p.Stdout, p.Stderr = root, p, p
	p.Env = append(os.Environ(), append(environment, "TMPDIR="+t.TempDir(), interpose.BinaryVariable+"="+interposer(t))...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // its exit code is looked at
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Signal(os.Interrupt) // it removes its containers
		select {
		case <-p.ended:
		case <-time.After(time.Minute):
			p.kill()
		}
		if t.Failed() {
			t.Logf("killpoint %s:\n%s", strings.Join(arguments, " "), p.output())
		}
	})
	return p
}

// startAgent starts an agent on an engine; "" is the usual one.
func startAgent(t *testing.T, broker, host string) *ranKillpoint {
	t.Helper()
	environment := []string{"KILLPOINT_FLEET=" + broker}
	if host != "" {
		environment = append(environment, "DOCKER_HOST="+host)
	}
	return startKillpoint(t, environment, "agent", "--parallel", "2")
}

func (p *ranKillpoint) kill() {
	_ = p.Process.Kill() // it may have ended
	<-p.ended
}

func (p *ranKillpoint) interrupt(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	select {
	case <-p.ended:
		if code := p.ProcessState.ExitCode(); code != 130 {
			t.Errorf("an interrupted agent ends with %d", code)
		}
	case <-time.After(time.Minute):
		t.Error("an interrupted agent goes on")
	}
}

// journaled waits until so many points of a campaign have an outcome.
func journaled(t *testing.T, coordinator *ranKillpoint, folder string, points int) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(3 * time.Minute)
	for {
		text, err := os.ReadFile(filepath.Join(folder, "journal.jsonl"))
		if err == nil && bytes.Count(text, []byte(`{"outcome":`)) >= points {
			return
		}
		select {
		case <-ticker.C:
		case <-coordinator.ended:
			t.Fatalf("the campaign ended before %d points were run:\n%s", points, coordinator.output())
		case <-deadline:
			t.Fatalf("%d points were not run in time", points)
		}
	}
}

// docker runs the docker command, on an engine ("" is the usual one).
func docker(t *testing.T, host string, input io.Reader, arguments ...string) string {
	t.Helper()
	command := exec.Command("docker", arguments...)
	command.Stdin = input
	if host != "" {
		command.Env = append(os.Environ(), "DOCKER_HOST="+host)
	}
	output, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(arguments, " "), err)
	}
	return strings.TrimSpace(string(output))
}

// fleetBroker is a RabbitMQ whose port stays the same when it is restarted.
type fleetBroker struct{ name, url string }

func startBroker(t *testing.T) *fleetBroker {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	b := &fleetBroker{name: fmt.Sprintf("kp-fleet-%d", os.Getpid()), url: "amqp://fleet:secret@" + address + "/"}
	docker(t, "", nil, "run", "--detach", "--name", b.name, "--publish", address+":5672",
		"--env", "RABBITMQ_DEFAULT_USER=fleet", "--env", "RABBITMQ_DEFAULT_PASS=secret", brokerImage)
	t.Cleanup(func() { docker(t, "", nil, "rm", "--force", "--volumes", b.name) })
	return b
}

func (b *fleetBroker) restart(t *testing.T) { docker(t, "", nil, "restart", "--time", "10", b.name) }

// engineProcess is a second Docker Engine on this machine, with a disk and a
// network of its own.
type engineProcess struct{ host string }

// startEngine starts it in a network namespace of its own: in the usual one it
// would take the first engine's bridge away.
func startEngine(t *testing.T) *engineProcess {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a second engine can be started by root alone")
	}
	name := fmt.Sprintf("kp-fleet-%d", os.Getpid())
	folder, err := os.MkdirTemp("", name+"-")
	if err != nil {
		t.Fatal(err)
	}
	must := func(arguments ...string) {
		t.Helper()
		if output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(arguments, " "), err, output)
		}
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	must("ip", "netns", "add", name)
	t.Cleanup(func() { must("ip", "netns", "delete", name) })
	must("ip", "-n", name, "link", "set", "lo", "up")
	config := filepath.Join(folder, "config.json")
	if err := os.WriteFile(config, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := &engineProcess{host: "unix://" + filepath.Join(folder, "s")}
	// Not ip netns exec, which hides the cgroups.
	daemon := exec.Command("nsenter", "--net=/var/run/netns/"+name, "dockerd", "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"),
		"--host", e.host, "--pidfile", filepath.Join(folder, "pid"), "--config-file", config, "--storage-driver", "overlay2")
	var log bytes.Buffer
	daemon.Stdout, daemon.Stderr = &log, &log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = daemon.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM) // its containers end with it
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := exec.CommandContext(ctx, "docker", "--host", e.host, "info").Run()
		cancel()
		if err == nil {
			return e
		}
		select {
		case <-ticker.C:
		case <-ended:
			t.Fatalf("the second engine ended:\n%s", log.String())
		case <-deadline:
			t.Fatal("the second engine did not answer")
		}
	}
}

// load brings images of the usual engine.
func (e *engineProcess) load(t *testing.T, images ...string) {
	t.Helper()
	save := exec.Command("docker", append([]string{"save"}, images...)...)
	archive, err := save.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := save.Start(); err != nil {
		t.Fatal(err)
	}
	docker(t, e.host, archive, "load", "--quiet")
	if err := save.Wait(); err != nil {
		t.Fatalf("docker save: %v", err)
	}
}
