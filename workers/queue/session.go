package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
	amqp "github.com/rabbitmq/amqp091-go"
)

// MaxInFlight bounds the messages of a session whose confirms were not waited
// for yet.
const MaxInFlight = 8192

// Session is one connection to the broker, with one channel to consume and
// acknowledge and one to publish.
type Session struct {
	connection *amqp.Connection
	in, out    *amqp.Channel
	durable    bool
	returned   chan amqp.Return
	inFlight   atomic.Int64
	rows       [][]chunk.Row // of the group that was sorted last

	// finishing ends with the session, and with nothing else: what was begun
	// is brought to an end after a request to stop.
	finishing context.Context
	end       context.CancelCauseFunc
}

func newSession(ctx context.Context, connection *amqp.Connection, in, out *amqp.Channel, durable bool) *Session {
	s := &Session{connection: connection, in: in, out: out, durable: durable}
	s.finishing, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	// The library blocks for ever on a full notification channel. One close a
	// channel and one return a message in flight is all that can come.
	s.returned = out.NotifyReturn(make(chan amqp.Return, MaxInFlight))
	for _, closed := range []chan *amqp.Error{
		connection.NotifyClose(make(chan *amqp.Error, 1)),
		in.NotifyClose(make(chan *amqp.Error, 1)),
		out.NotifyClose(make(chan *amqp.Error, 1)),
	} {
		go s.watch(closed)
	}
	return s
}

// watch ends the session with the reason for which a part of it was closed.
func (s *Session) watch(closed <-chan *amqp.Error) {
	if reason := <-closed; reason != nil {
		s.end(fmt.Errorf("%w: %v", ErrLost, reason))
		return
	}
	s.end(ErrLost)
}

// Lost is closed when the session is gone.
func (s *Session) Lost() <-chan struct{} { return s.finishing.Done() }

// Err is nil while the session lives, and then wraps ErrLost.
func (s *Session) Err() error { return context.Cause(s.finishing) }

// fail ends the session because of err, which does not have to be the
// connection's own.
func (s *Session) fail(format string, args ...any) error {
	s.end(fmt.Errorf("%w: %s", ErrLost, fmt.Sprintf(format, args...)))
	return s.Err()
}

func (s *Session) close() {
	_ = s.connection.CloseDeadline(time.Now().Add(closeTimeout))
	s.end(ErrLost)
}
