package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// broker is a RabbitMQ container of these tests.
type broker struct {
	name string
	port int
}

const bootTime = 90 * time.Second

var imageLine = regexp.MustCompile(`(?m)^BROKER_IMAGE=(.+)$`)

// brokerImage is the one that the compose file uses.
func brokerImage() string {
	if image := os.Getenv("BROKER_IMAGE"); image != "" {
		return image
	}
	if text, err := os.ReadFile("../compose/.env"); err == nil {
		if match := imageLine.FindSubmatch(text); match != nil {
			return string(match[1])
		}
	}
	return "rabbitmq:4.2-management"
}

// startBroker runs a broker until remove is called. The port is chosen before,
// because a port that Docker chooses changes when the broker is restarted.
func startBroker() (b *broker, remove func(), err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	b = &broker{port: free.Addr().(*net.TCPAddr).Port}
	b.name = fmt.Sprintf("kpw-broker-%d-%d", os.Getpid(), b.port)
	if err := free.Close(); err != nil {
		return nil, nil, err
	}
	remove = func() { _ = exec.Command("docker", "rm", "--force", "--volumes", b.name).Run() }
	err = docker("run", "--detach", "--name", b.name, "--publish", fmt.Sprintf("127.0.0.1:%d:5672", b.port),
		"--env", "RABBITMQ_DEFAULT_USER=kp", "--env", "RABBITMQ_DEFAULT_PASS=kp", brokerImage())
	if err == nil {
		err = b.ready()
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("start a broker from %s (make images makes it): %w", brokerImage(), err)
	}
	return b, remove, nil
}

func docker(args ...string) error {
	if output, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w: %s", args[0], err, output)
	}
	return nil
}

func (b *broker) url() string { return fmt.Sprintf("amqp://kp:kp@127.0.0.1:%d/", b.port) }

// ready waits until the broker speaks AMQP.
func (b *broker) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	for {
		connection, err := amqp.Dial(b.url())
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// channel is a connection of the test's own.
func (b *broker) channel(t *testing.T) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(b.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// drain takes all messages out of a queue.
func (b *broker) drain(t *testing.T, queue string) []amqp.Delivery {
	t.Helper()
	channel := b.channel(t)
	var messages []amqp.Delivery
	for {
		message, there, err := channel.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			return messages
		}
		messages = append(messages, message)
	}
}

// shared is one broker for all tests that do not hurt it; each has queues of
// its own.
var shared *broker

func TestMain(m *testing.M) {
	if command := os.Getenv(commandVariable); command != "" {
		os.Exit(runWorker(strings.Fields(command)))
	}
	os.Exit(testAll(m))
}

func testAll(m *testing.M) int {
	if short() {
		return m.Run()
	}
	var remove func()
	var err error
	if shared, remove, err = startBroker(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	return m.Run()
}
