package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/killpoint/killpoint/orchestrator/broker"
)

// How long the broker is waited for, and when it is tried again.
const (
	dialTime    = 10 * time.Second
	confirmTime = 30 * time.Second
	firstPause  = 100 * time.Millisecond
	longPause   = 5 * time.Second
)

// link is one connection to the broker. It does not recover by itself: after a
// recovery, the acknowledgement of an old delivery could be that of another
// one. When it is lost, a new one is made.
type link struct {
	connection *amqp.Connection
	channel    *amqp.Channel
	returns    chan amqp.Return
	lost       chan *amqp.Error
}

func dial(ctx context.Context, url, name string) (*link, error) {
	if _, err := broker.ParseURL(url); err != nil {
		return nil, final{err}
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("killpoint " + name)
	connection, err := amqp.DialConfig(url, amqp.Config{
		Properties: properties, Locale: "en_US",
		Dial: func(network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: dialTime}
			connection, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return connection, connection.SetDeadline(time.Now().Add(dialTime)) // of the handshake
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	l := &link{connection: connection, returns: make(chan amqp.Return, 1), lost: make(chan *amqp.Error, 1)}
	if l.channel, err = connection.Channel(); err == nil {
		err = l.channel.Confirm(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the broker: %w", err), connection.Close())
	}
	l.channel.NotifyReturn(l.returns)
	l.channel.NotifyClose(l.lost)
	if err := l.channel.ExchangeDeclare(campaigns, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("declare exchange %s: %w", campaigns, err), connection.Close())
	}
	return l, nil
}

// close ends the link; what it holds unacknowledged is delivered again.
func (l *link) close() { _ = l.connection.CloseDeadline(time.Now().Add(time.Second)) } // it may be lost already

// lostError says why a link is lost.
func lostError(reason *amqp.Error) error {
	if reason == nil {
		return errors.New("the connection to the broker was closed")
	}
	return fmt.Errorf("the connection to the broker was lost: %w", reason)
}

// declare makes the queues of a campaign, which outlive broker and clients.
func (l *link) declare(q queues) error {
	plain := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, amqp.QueueTTLArg: expiry.Milliseconds()}
	for _, queue := range []struct {
		name      string
		arguments amqp.Table
	}{{q.answers, plain}, {q.dead, plain}, {q.batches, amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum, amqp.QueueTTLArg: expiry.Milliseconds(),
		"x-delivery-limit": deliveryLimit, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": q.dead,
		// Not the strategy at-least-once, with which a queue may be without a
		// leader after the broker was restarted (rabbitmq-server#16652): a batch
		// that is lost with the broker is published again.
	}}} {
		if _, err := l.channel.QueueDeclare(queue.name, true, false, false, false, queue.arguments); err != nil {
			return fmt.Errorf("declare queue %s: %w", queue.name, err)
		}
	}
	return nil
}

// publish sends a message and waits until the broker has it. It is not routed
// where no queue takes it.
func (l *link) publish(ctx context.Context, exchange, key string, message any) (routed bool, err error) {
	body, err := encode(message)
	if err != nil {
		return false, err
	}
	return l.publishBody(ctx, exchange, key, body, nil)
}

func (l *link) publishBody(ctx context.Context, exchange, key string, body []byte, headers amqp.Table) (routed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	confirmation, err := l.channel.PublishWithDeferredConfirmWithContext(ctx, exchange, key, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/json", ContentEncoding: "gzip", Headers: headers, Body: body,
	})
	if err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	taken, err := confirmation.WaitContext(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("publish: the broker did not confirm: %w", err)
	case !taken:
		return false, errors.New("publish: the broker did not take the message")
	}
	select {
	case <-l.returns: // comes before the confirmation
		return false, nil
	default:
		return true, nil
	}
}

// isMissing says that there is no such queue.
func isMissing(err error) bool {
	var reason *amqp.Error
	return errors.As(err, &reason) && reason.Code == amqp.NotFound
}

// isInternal says that the broker itself failed.
func isInternal(err error) bool {
	var reason *amqp.Error
	return errors.As(err, &reason) && reason.Code == amqp.InternalError
}

// final is an error that trying again does not help against.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// refusals is how often in a row a first connection must be refused before it
// is believed: to the client library a broker that dies in the middle of a
// login looks like one that refuses the password.
const refusals = 3

// isRefused says that the broker knows the user or the virtual host not.
func isRefused(err error) bool {
	var reason *amqp.Error
	return errors.As(err, &reason) && (reason.Code == amqp.AccessRefused || reason.Code == amqp.NotAllowed)
}

// connected calls a session with a link, and again with a new one when the
// link is lost, until the session ends without an error, or with a final one.
func connected(ctx context.Context, url, name string, note func(string), session func(*link) error) error {
	was, said, pause, refused := false, "", firstPause, 0
	for {
		began := time.Now()
		l, err := dial(ctx, url, name)
		kind := "down" // whatever it says of ports and closed sockets
		if refused++; was || !isRefused(err) {
			refused = 0
		}
		if err == nil {
			was = true
			if err = session(l); err != nil {
				kind = err.Error()
			}
			l.close()
		}
		var never final
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &never):
			return never.error
		case refused == refusals:
			return err
		}
		if time.Since(began) > dialTime { // it went well for a while
			said, pause = "", firstPause
		}
		if kind != said {
			note(err.Error() + "; trying again")
			said = kind
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, longPause)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Check says what is wrong with a broker before anything is built on it. No
// error names the password in its URL.
func Check(ctx context.Context, url string) error {
	l, err := dial(ctx, url, "check")
	if err != nil {
		return err
	}
	l.close()
	return nil
}
