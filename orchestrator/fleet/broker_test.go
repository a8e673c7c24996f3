package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// rabbitImage is the image that the project builds where no registry answers.
const rabbitImage = "killpoint/rabbitmq:local"

// rabbit is a real broker in a container, one for all tests of the package.
type rabbit struct {
	engine *engine.Engine
	id     string
	port   string
}

var theRabbit struct {
	sync.Once
	*rabbit
	err error
}

func (r *rabbit) Exec(ctx context.Context, command []string) (string, string, int, error) {
	result, err := r.engine.Exec(ctx, r.id, engine.ExecSpec{Command: command})
	return result.Stdout, result.Stderr, result.Code, err
}

func (r *rabbit) Stream(ctx context.Context, command []string) (broker.Stream, error) {
	return r.engine.ExecStream(ctx, r.id, engine.ExecSpec{Command: command})
}

// startRabbit publishes a port that stays the same when the broker starts
// again.
func startRabbit(ctx context.Context) (*rabbit, error) {
	e, err := engine.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (go test -short leaves out what needs an engine)", err)
	}
	if _, err := e.Image(ctx, rabbitImage); errors.Is(err, engine.ErrNoImage) {
		if out, err := exec.CommandContext(ctx, "../../compose/rabbitmq/build.sh", rabbitImage).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the broker's image (make images does it too): %w\n%s", err, out)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &rabbit{engine: e, port: strconv.Itoa(free.Addr().(*net.TCPAddr).Port)}
	if err := free.Close(); err != nil {
		return nil, err
	}
	r.id, err = e.Create(ctx, engine.ContainerSpec{
		Name: fmt.Sprintf("kpf-%d", os.Getpid()), Image: rabbitImage, Publish: true,
		Service: system.Service{
			NetworkMode: "bridge", Ports: []system.Port{{Target: 5672, Published: r.port, HostIP: "127.0.0.1"}},
			Environment: map[string]string{"RABBITMQ_DEFAULT_USER": "app", "RABBITMQ_DEFAULT_PASS": "secret"},
		},
	})
	if err != nil {
		return nil, err
	}
	return r, e.Start(ctx, r.id)
}

func (r *rabbit) url(virtualHost string) string {
	return "amqp://app:secret@127.0.0.1:" + r.port + "/" + virtualHost
}

// restart ends the broker and starts it again.
func (r *rabbit) restart(ctx context.Context) error {
	grace := 30 * time.Second
	if killed, err := r.engine.Stop(ctx, r.id, &grace); err != nil || killed {
		return fmt.Errorf("stop the broker: it was killed: %v, %w", killed, err)
	}
	return r.engine.Start(ctx, r.id)
}

// kill ends the broker by SIGKILL and starts it again.
func (r *rabbit) kill(ctx context.Context) error {
	if err := r.engine.Kill(ctx, r.id, "SIGKILL"); err != nil {
		return err
	}
	if _, err := r.engine.WaitStopped(ctx, r.id); err != nil {
		return err
	}
	return r.engine.Start(ctx, r.id)
}

// virtualHost gives the URL of a virtual host of the test's own.
func virtualHost(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	theRabbit.Do(func() {
		// Others use it when this test is over.
		theRabbit.rabbit, theRabbit.err = startRabbit(context.WithoutCancel(ctx))
	})
	if theRabbit.err != nil {
		t.Fatal(theRabbit.err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if lines, err := theRabbit.engine.Tail(context.Background(), theRabbit.id, 100); err == nil {
			t.Log("the broker says:\n" + strings.Join(lines, "\n"))
		}
	})
	asked := broker.Open(theRabbit.rabbit)
	t.Cleanup(func() { asked.Close() })
	name := fmt.Sprintf("fleet-%d", time.Now().UnixNano())
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := asked.CreateVirtualHost(ctx, name, "app")
		if err == nil {
			err = Check(ctx, theRabbit.url(name))
		}
		if err == nil {
			return theRabbit.url(name)
		}
		select {
		case <-ticker.C: // it boots
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func TestMain(m *testing.M) {
	if code, isChild := child(); isChild {
		os.Exit(code)
	}
	code := m.Run()
	if r := theRabbit.rabbit; r != nil {
		if err := r.engine.Remove(context.Background(), r.id); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
