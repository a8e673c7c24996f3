package proof_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// How long the processes alone are measured, and how much work they do: as much
// as in the scenario that is explored.
const (
	bareTime     = 20 * time.Second
	bareChunks   = 20
	barePatience = 30 * time.Second // with one run
)

// bareRate is how often a minute this machine runs what a trial runs, with
// nothing around it: the pipeline once through, and worker-2 once more, as plain
// processes, as many runs at a time as there are cores, on a broker that is up.
// There are no containers, no crash at a point, nothing is put back, and nothing
// is judged but by worker-2's own verify.
func bareRate(t *testing.T) float64 {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "worker")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./workers")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the workers: %v\n%s", err, output)
	}
	url := bareBroker(t)
	var done atomic.Int64
	var lanes errgroup.Group
	began := time.Now()
	for lane := range runtime.NumCPU() {
		one := bareLane{binary: binary, dir: filepath.Join(t.TempDir(), "run"), env: []string{
			"RABBITMQ_URL=" + url, "MAX_GROUP=1", "FEED=one", "JOURNAL_BYTES=65536", "SEED=1", fmt.Sprintf("NUM_CHUNKS=%d", bareChunks),
			fmt.Sprintf("QUEUE_1_2=%d-1-2", lane), fmt.Sprintf("QUEUE_2_3=%d-2-3", lane), fmt.Sprintf("QUEUE_3_DONE=%d-3-done", lane),
		}}
		lanes.Go(func() error {
			for time.Since(began) < bareTime {
				if err := one.run(); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	if err := lanes.Wait(); err != nil {
		t.Fatal(err)
	}
	return float64(done.Load()) / time.Since(began).Minutes()
}

// bareBroker starts the broker that the example's compose file names, without
// its health checks, and gives its URL once it takes connections. The address is
// the container's own: there is no proxy.
func bareBroker(t *testing.T) string {
	t.Helper()
	sh := func(script string) string {
		t.Helper()
		command := exec.Command("sh", "-ec", script)
		command.Dir = root
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return strings.TrimSpace(string(output))
	}
	image := sh(`given=$BROKER_IMAGE; [ ! -f compose/.env ] || . ./compose/.env; echo "${given:-${BROKER_IMAGE:-rabbitmq:4.2-management}}"`)
	id := sh("docker run --detach --no-healthcheck --env RABBITMQ_DEFAULT_USER=killpoint --env RABBITMQ_DEFAULT_PASS=killpoint " + image)
	t.Cleanup(func() { sh("docker rm --force --volumes " + id) })
	sh("for i in $(seq 600); do docker exec " + id + " bash -c 'exec 3<>/dev/tcp/127.0.0.1/5672' 2>/dev/null && exit; sleep 0.1; done; exit 1")
	return "amqp://killpoint:killpoint@" + sh("docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "+id) + ":5672/"
}

// bareLane runs the pipeline's processes, one run after the other.
type bareLane struct {
	binary, dir string
	env         []string
}

func (l bareLane) run() error {
	if err := errors.Join(os.RemoveAll(l.dir), os.MkdirAll(l.dir, 0o755)); err != nil {
		return err
	}
	writer, err := l.start("worker-2", "Worker 2: Ready", 1)
	if err != nil {
		return err
	}
	defer writer.kill()
	verifier, err := l.start("worker-3", "SUCCESS [", bareChunks)
	if err != nil {
		return err
	}
	defer verifier.kill()
	if output, err := l.command("test-runner").CombinedOutput(); err != nil {
		return fmt.Errorf("test-runner: %w: %s", err, output)
	}
	if err := verifier.wait(); err != nil {
		return err
	}
	writer.kill()
	again, err := l.start("worker-2", "Worker 2: Ready", 1)
	if err != nil {
		return err
	}
	defer again.kill()
	if err := again.wait(); err != nil {
		return err
	}
	again.kill()
	if output, err := l.command("verify").CombinedOutput(); err != nil {
		return fmt.Errorf("verify: %w: %s", err, output)
	}
	return nil
}

func (l bareLane) command(name string) *exec.Cmd {
	command := exec.Command(l.binary, name)
	command.Env = append(append(os.Environ(), l.env...), "DATA_DIR="+l.dir, "SENT_FILE="+filepath.Join(l.dir, "sent.jsonl"))
	return command
}

// bareProcess is one that runs until it is killed.
type bareProcess struct {
	command *exec.Cmd
	said    chan error // what it was to say has come, or its output has ended
}

func (l bareLane) start(name, line string, times int) (*bareProcess, error) {
	p := &bareProcess{command: l.command(name), said: make(chan error, 1)}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewScanner(output); times > 0 && lines.Scan(); {
			if strings.Contains(lines.Text(), line) {
				times--
			}
		}
		if times > 0 {
			p.said <- fmt.Errorf("%s ended before it had said %q", name, line)
			return
		}
		p.said <- nil
		_, _ = io.Copy(io.Discard, output)
	}()
	return p, nil
}

func (p *bareProcess) wait() error {
	select {
	case err := <-p.said:
		return err
	case <-time.After(barePatience):
		return fmt.Errorf("%s says nothing for %v", p.command.Args[1], barePatience)
	}
}

func (p *bareProcess) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	}
}
