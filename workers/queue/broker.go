// Package queue is the workers' connection to RabbitMQ: it connects, and
// connects again when the broker went away; declares queues; publishes with
// confirms; and hands out what waits in a queue in groups that are acknowledged
// by hand. What is in a message, and what to do twice after a connection was
// lost, is left to the workers.
//
// A session is one connection, and it dies as a whole. The client library can
// recover connections by itself, but then an acknowledgement for a delivery of
// the old connection is taken for one of the new connection's; so it is not
// used, and whatever was unfinished is redone from a fresh session.
package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second
	dialTimeout  = 3 * time.Second
	// heartbeat bounds how long a connection whose other side fell silent is
	// taken for alive: three of them on this side, two on the broker's.
	heartbeat    = 2 * time.Second
	closeTimeout = 2 * time.Second
)

// ErrLost means that the session is gone and that whether its last messages
// arrived is unknown; a fresh session has to do them again.
var ErrLost = errors.New("connection to the broker lost")

// Options say which broker and how.
type Options struct {
	URL     string               // amqp://user:password@host:5672/vhost
	Name    string               // shown in the broker's list of connections
	Durable bool                 // queues and messages survive a restart of the broker
	Log     func(string, ...any) // one line; nil for none
}

// Broker makes sessions, one after the other.
type Broker struct {
	options Options
	address string // URL without user and password, for messages
	host    string // without the virtual host too, which may be another in each run
}

// New connects to nothing yet.
func New(options Options) *Broker {
	if options.Log == nil {
		options.Log = func(string, ...any) {}
	}
	address, host := "the broker", "the broker"
	if parsed, err := url.Parse(options.URL); err == nil {
		address, host = parsed.Host, parsed.Host
		if parsed.Path != "" && parsed.Path != "/" {
			address += parsed.Path
		}
	}
	return &Broker{options: options, address: address, host: host}
}

// Run gives work a session in which the named queues are there, and a fresh
// one whenever a session was lost, with growing pauses between attempts. It
// returns what work returned, if that was not ErrLost; ctx's error when ctx
// ended before work had a session; or why the broker will never take this
// worker.
func (b *Broker) Run(ctx context.Context, queues []string, work func(*Session) error) error {
	pause, refused := firstBackoff, 0
	for {
		session, err := b.open(ctx, queues)
		if err == nil {
			b.options.Log("Connected to %s", b.host)
			pause = firstBackoff
			err = work(session)
			session.close()
		}
		if refused++; !errors.Is(err, errRefused) {
			refused = 0
		}
		if err == nil || !errors.Is(err, ErrLost) && (refused == 0 || refused == refusals) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.options.Log("%v; trying again in %v", err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, lastBackoff)
	}
}

// Stopped is nil when err, from Run, says no more than that ctx has ended.
func Stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ErrLost)) {
		return nil
	}
	return err
}

// open makes one attempt. Its error is ErrLost unless trying again is of no use.
func (b *Broker) open(ctx context.Context, queues []string) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(b.options.Name)
	connection, err := amqp.DialConfig(b.options.URL, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial:       amqp.DefaultDial(dialTimeout),
	})
	if err != nil {
		return nil, b.explainDial(err)
	}
	session, err := b.start(ctx, connection, queues)
	if err != nil {
		_ = connection.CloseDeadline(time.Now().Add(closeTimeout))
		return nil, err
	}
	return session, nil
}

func (b *Broker) start(ctx context.Context, connection *amqp.Connection, queues []string) (*Session, error) {
	in, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %v: %w", err, ErrLost)
	}
	out, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %v: %w", err, ErrLost)
	}
	for _, name := range queues {
		if _, err := out.QueueDeclare(name, b.options.Durable, false, false, false, nil); err != nil {
			return nil, b.explainDeclare(name, err)
		}
	}
	if err := out.Confirm(false); err != nil {
		return nil, fmt.Errorf("turn publisher confirms on: %v: %w", err, ErrLost)
	}
	return newSession(ctx, connection, in, out, b.options.Durable), nil
}
