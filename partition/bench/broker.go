package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/system"
)

const (
	bootTime    = 90 * time.Second
	brokerUser  = "bench"
	brokerImage = "rabbitmq:4.2-management" // what the compose file names
)

var imageLine = regexp.MustCompile(`(?m)^BROKER_IMAGE=(.+)$`)

// imageOf is the broker's image as the compose file has it.
func imageOf(root string) string {
	if image := os.Getenv("BROKER_IMAGE"); image != "" {
		return image
	}
	if text, err := os.ReadFile(root + "/compose/.env"); err == nil {
		if match := imageLine.FindSubmatch(text); match != nil {
			return string(match[1])
		}
	}
	return brokerImage
}

// startBroker runs a RabbitMQ container until remove is called. Its address is
// the container's own, so that no proxy is measured.
func startBroker(ctx context.Context, image string) (url string, remove func() error, err error) {
	e, err := engine.Connect(ctx)
	if err != nil {
		return "", nil, err
	}
	id, err := e.Create(ctx, engine.ContainerSpec{
		Name: fmt.Sprintf("killpoint-bench-broker-%d", os.Getpid()), Image: image,
		Service:     system.Service{Name: "rabbitmq", NetworkMode: "bridge"},
		Environment: map[string]string{"RABBITMQ_DEFAULT_USER": brokerUser, "RABBITMQ_DEFAULT_PASS": brokerUser},
	})
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("broker from %s (make images makes it): %w", image, err), e.Close())
	}
	remove = func() error {
		// Also when ctx has ended.
		return errors.Join(e.Remove(context.WithoutCancel(ctx), id), e.Close())
	}
	if url, err = bootBroker(ctx, e, id); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return url, remove, nil
}

// bootBroker starts the container and waits until it speaks AMQP.
func bootBroker(ctx context.Context, e *engine.Engine, id string) (url string, err error) {
	if err := e.Start(ctx, id); err != nil {
		return "", err
	}
	state, err := e.Inspect(ctx, id)
	if err != nil {
		return "", err
	}
	for _, address := range state.Addresses {
		url = fmt.Sprintf("amqp://%s:%s@%s:5672/", brokerUser, brokerUser, address)
	}
	if url == "" {
		return "", errors.New("the broker's container has no address")
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	for {
		connection, err := amqp.Dial(url)
		if err == nil {
			return url, connection.Close()
		}
		select {
		case <-ctx.Done():
			lines, _ := e.Tail(context.WithoutCancel(ctx), id, 20)
			return "", fmt.Errorf("the broker does not answer: %w; it printed last:\n%s", err, strings.Join(lines, "\n"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
