package queue

import (
	"fmt"
	"maps"

	"github.com/killpoint/killpoint/workers/chunk"
	amqp "github.com/rabbitmq/amqp091-go"
)

// The headers that messages carry.
const (
	clientHeader = "client_id"
	reasonHeader = "reason"
)

// Message is what is sent.
type Message struct {
	ID     string // AMQP message-id; the same whenever the message is sent again
	Client string // header client_id
	Body   []byte
}

// Pending is a message on its way.
type Pending struct {
	session *Session
	confirm *amqp.DeferredConfirmation
}

// Publish sends a message to a queue. It has arrived when Wait says so. Several
// can be under way, up to MaxInFlight.
func (s *Session) Publish(to string, m Message) (*Pending, error) {
	return s.publish(to, amqp.Publishing{
		MessageId: m.ID, ContentType: chunk.ContentType, Body: m.Body,
		Headers: amqp.Table{clientHeader: m.Client},
	})
}

// Park sends a delivery, as it came, to the queue of rejected messages that
// belongs to the queue it came from, with the reason.
func (s *Session) Park(from string, d Delivery, reason string) (*Pending, error) {
	headers := amqp.Table{reasonHeader: reason}
	maps.Copy(headers, d.headers)
	headers[reasonHeader] = reason
	return s.publish(Rejected(from), amqp.Publishing{
		MessageId: d.ID, ContentType: d.contentType, Body: d.Body, Headers: headers,
	})
}

// Waiting asks the broker how many messages are in a queue that nobody has
// been handed yet. What was handed out and not acknowledged does not count.
func (s *Session) Waiting(queue string) (int, error) {
	state, err := s.out.QueueDeclarePassive(queue, s.durable, false, false, false, nil)
	if err != nil {
		return 0, s.fail("ask for the messages in %s: %v", queue, err)
	}
	return state.Messages, nil
}

// Rejected is the queue in which a queue's malformed messages are parked.
func Rejected(queue string) string { return queue + ".rejected" }

func (s *Session) publish(to string, p amqp.Publishing) (*Pending, error) {
	if s.inFlight.Load() >= MaxInFlight {
		return nil, fmt.Errorf("publish to %s: %d messages are under way already", to, MaxInFlight)
	}
	p.DeliveryMode = amqp.Transient
	if s.durable {
		p.DeliveryMode = amqp.Persistent
	}
	// Mandatory: a queue that was deleted must not swallow messages silently.
	confirm, err := s.out.PublishWithDeferredConfirm("", to, true, false, p)
	if err != nil {
		return nil, s.fail("publish to %s: %v", to, err)
	}
	s.inFlight.Add(1)
	return &Pending{session: s, confirm: confirm}, nil
}

// Done is closed when Wait would not block.
func (p *Pending) Done() <-chan struct{} { return p.confirm.Done() }

// Wait returns nil when the broker has taken the message over. Otherwise the
// session is over: a refusal leaves as much unknown as a lost connection.
// It is to be called once.
func (p *Pending) Wait() error {
	s := p.session
	select {
	case <-p.confirm.Done():
	case <-s.Lost():
		return s.Err()
	}
	s.inFlight.Add(-1)
	if !p.confirm.Acked() {
		return s.fail("the broker did not take a message over")
	}
	// The broker returns a message before it confirms it.
	select {
	case back := <-s.returned:
		return s.fail("queue %s is gone (%s)", back.RoutingKey, back.ReplyText)
	default:
		return nil
	}
}
