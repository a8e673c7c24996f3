package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// rabbitImage is the image that the project builds where no registry answers.
const rabbitImage = "killpoint/rabbitmq:local"

// rabbit is a real broker in a container.
type rabbit struct {
	engine *engine.Engine
	id     string
}

func (r *rabbit) Exec(ctx context.Context, command []string) (string, string, int, error) {
	result, err := r.engine.Exec(ctx, r.id, engine.ExecSpec{Command: command})
	return result.Stdout, result.Stderr, result.Code, err
}

func (r *rabbit) Stream(ctx context.Context, command []string) (Stream, error) {
	return r.engine.ExecStream(ctx, r.id, engine.ExecSpec{Command: command})
}

// probeless is a broker in whose container no probe can run.
type probeless struct{ *rabbit }

func (p probeless) Stream(ctx context.Context, _ []string) (Stream, error) {
	return p.rabbit.Stream(ctx, []string{"false"})
}

func startRabbit(t *testing.T, ctx context.Context) *rabbit {
	t.Helper()
	e, err := engine.Connect(ctx)
	if err != nil {
		t.Fatalf("%v (go test -short leaves out what needs an engine)", err)
	}
	t.Cleanup(func() { e.Close() })
	if _, err := e.Image(ctx, rabbitImage); errors.Is(err, engine.ErrNoImage) {
		if out, err := exec.CommandContext(ctx, "../../compose/rabbitmq/build.sh", rabbitImage).CombinedOutput(); err != nil {
			t.Fatalf("build the broker's image (make images does it too): %v\n%s", err, out)
		}
	}
	id, err := e.Create(ctx, engine.ContainerSpec{
		Name: fmt.Sprintf("kpb-%d", os.Getpid()), Image: rabbitImage, Publish: true,
		Service: system.Service{
			NetworkMode: "bridge", Ports: []system.Port{{Target: 5672, HostIP: "127.0.0.1"}},
			Environment: map[string]string{"RABBITMQ_DEFAULT_USER": "app", "RABBITMQ_DEFAULT_PASS": "secret"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	if err := e.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	return &rabbit{engine: e, id: id}
}

// channel connects to a virtual host as a worker would, which waits for a
// broker that boots.
func (r *rabbit) channel(t *testing.T, ctx context.Context, virtualHost string) *amqp.Channel {
	t.Helper()
	state, err := r.engine.Inspect(ctx, r.id)
	if err != nil {
		t.Fatal(err)
	}
	url, err := WithVirtualHost("amqp://app:secret@127.0.0.1:"+state.Ports["5672/tcp"], virtualHost)
	if err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	connection, err := amqp.Dial(url)
	for err != nil {
		select {
		case <-ticker.C:
			connection, err = amqp.Dial(url)
		case <-ctx.Done():
			t.Fatalf("connect to virtual host %s: %v", virtualHost, err)
		}
	}
	t.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return channel
}

func publish(t *testing.T, ctx context.Context, channel *amqp.Channel, queue string, messages int) {
	t.Helper()
	if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for range messages {
		confirm, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("row")})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirm.WaitContext(ctx); !ok || err != nil {
			t.Fatalf("the message was not confirmed: %v", err)
		}
	}
}

// until asks for depths until they are as wanted. A broker that boots gives
// errors; one that runs may take a moment to see what a client has done.
func until(t *testing.T, ctx context.Context, b *Broker, virtualHost string, want []Depth) (failures int) {
	t.Helper()
	queues := make([]string, len(want))
	for index, depth := range want {
		queues[index] = depth.Queue
	}
	var last []Depth
	var trouble error
	for {
		got, err := b.Depths(ctx, virtualHost, queues)
		switch {
		case ctx.Err() != nil:
			t.Fatalf("depths of %s: %+v, last trouble %v; want %+v", virtualHost, last, trouble, want)
		case err != nil:
			trouble = err
			failures++
		case slices.Equal(got, want):
			return failures
		default:
			last = got
		}
	}
}

// odd is a queue whose name has what a protocol could trip over.
const odd = `grüße; "a"\n {b}`

func TestRealBroker(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	broker := startRabbit(t, ctx)
	probing := Open(broker)
	t.Cleanup(func() { probing.Close() })
	// A definition reaches the disk a while after the broker has answered: the
	// queue that must outlive the kill is made first.
	publish(t, ctx, broker.channel(t, ctx, "/"), "kept", 3)

	for name, b := range map[string]*Broker{"probe": probing, "rabbitmqctl": Open(probeless{broker})} {
		t.Run(name, func(t *testing.T) { testVirtualHost(t, ctx, broker, b, "kp-"+name) })
	}
	if probing.probe == nil || probing.failures != 0 {
		t.Errorf("the answers came from rabbitmqctl (%d failures of the probe), want the probe", probing.failures)
	}
	t.Run("restart", func(t *testing.T) { testRestart(t, ctx, broker, probing) })
}

func testVirtualHost(t *testing.T, ctx context.Context, broker *rabbit, b *Broker, virtualHost string) {
	// Twice: a run that is tried again finds what its first try made.
	for range 2 {
		if err := b.CreateVirtualHost(ctx, virtualHost, "app"); err != nil {
			t.Fatal(err)
		}
	}
	channel := broker.channel(t, ctx, virtualHost)
	publish(t, ctx, channel, "q", 3)
	publish(t, ctx, channel, odd, 1)
	publish(t, ctx, channel, "not asked for", 5)
	if _, ok, err := channel.Get("q", false); !ok || err != nil {
		t.Fatalf("get a message: %v, %v", ok, err)
	}
	until(t, ctx, b, virtualHost, []Depth{{"q", 2, 1, true}, {Queue: "nobody declared it"}, {odd, 1, 0, true}})

	if err := b.DeleteVirtualHost(ctx, virtualHost); err != nil {
		t.Fatal(err)
	}
	listed, _, _, err := broker.Exec(ctx, []string{"rabbitmqctl", "--quiet", "list_vhosts"})
	if err != nil || strings.Contains(listed, virtualHost) {
		t.Errorf("virtual hosts after the removal: %q, %v", listed, err)
	}
	if err := b.DeleteVirtualHost(ctx, virtualHost); err != nil {
		t.Errorf("delete it once more: %v", err)
	}
}

// testRestart kills a broker under an open probe.
func testRestart(t *testing.T, ctx context.Context, broker *rabbit, b *Broker) {
	want := []Depth{{"kept", 3, 0, true}}
	until(t, ctx, b, "/", want)
	if err := broker.engine.Kill(ctx, broker.id, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.engine.WaitStopped(ctx, broker.id); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Depths(ctx, "/", []string{"kept"}); err == nil {
		t.Errorf("a dead broker says %+v", got)
	}
	if err := broker.engine.Start(ctx, broker.id); err != nil {
		t.Fatal(err)
	}
	failures := until(t, ctx, b, "/", want)
	t.Logf("%d calls failed while the broker booted", failures)
	// The broker may have come up between the last probe and rabbitmqctl.
	until(t, ctx, b, "/", want)
	if b.probe == nil {
		t.Error("the probe was given up for a broker that only booted")
	}
}
