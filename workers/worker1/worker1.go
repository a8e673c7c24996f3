// Package worker1 forwards chunks from queue-0-1 to queue-1-2. It changes
// nothing in them; it parks what is no chunk.
package worker1

import (
	"context"

	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/queue"
)

// Config says between which queues.
type Config struct {
	Broker   queue.Options
	From, To string
	MaxGroup int // chunks that are under way at once
}

// ReadConfig reads the settings; r keeps the problems.
func ReadConfig(r *config.Reader) Config {
	return Config{
		Broker: config.Broker(r, "worker-1"),
		From:   config.Queue01(r), To: config.Queue12(r),
		MaxGroup: config.MaxGroup(r),
	}
}

// Run forwards until ctx ends, finishes what it has in hand, and returns nil.
func Run(ctx context.Context, c Config, log func(string, ...any)) error {
	c.Broker.Log = func(format string, args ...any) { log("Worker 1: "+format, args...) }
	queues := []string{c.From, c.To, queue.Rejected(c.From)}
	err := queue.New(c.Broker).Run(ctx, queues, func(s *queue.Session) error {
		ready := func() { log("Worker 1: Ready") }
		return s.Each(ctx, c.From, c.MaxGroup, ready, func(group []queue.Delivery) (queue.Left, error) {
			return forward(s, c, group, log)
		})
	})
	if err = queue.Stopped(ctx, err); err == nil {
		log("Worker 1: Stopped")
	}
	return err
}

func forward(s *queue.Session, c Config, group []queue.Delivery, log func(string, ...any)) (left queue.Left, err error) {
	chunks, sent, err := s.Sort(c.From, group, func(id, reason string) {
		log("Worker 1: Rejected message %s: %s", id, reason)
	})
	if err != nil {
		return left, err
	}
	for _, d := range chunks {
		pending, err := s.Publish(c.To, d.Message)
		if err != nil {
			return left, err
		}
		sent = append(sent, pending)
	}
	return queue.Left{Arriving: sent, Acknowledged: func() {
		for _, d := range chunks {
			log("Worker 1: Forwarded chunk %s", d.ID)
		}
	}}, nil
}
