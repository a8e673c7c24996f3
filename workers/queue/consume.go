package queue

import (
	"cmp"
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Delivery is a message that was taken from a queue.
type Delivery struct {
	Message
	Redelivered bool // it was handed out before, and not acknowledged

	headers     amqp.Table
	contentType string
	tag         uint64
}

func newDelivery(d amqp.Delivery) Delivery {
	client, _ := d.Headers[clientHeader].(string)
	return Delivery{
		Message:     Message{ID: d.MessageId, Client: client, Body: d.Body},
		Redelivered: d.Redelivered, headers: d.Headers, contentType: d.ContentType, tag: d.DeliveryTag,
	}
}

// Work handles a group of deliveries, oldest first. After it returns nil, and
// when what is left has come about, the group is acknowledged as a whole. An
// error ends the session without acknowledging the group, so that the broker
// delivers it again.
type Work func(group []Delivery) (Left, error)

// Left is what is left of a group when the work on it is done.
type Left struct {
	Arriving     []*Pending // messages that must have arrived before it is acknowledged
	Acknowledged func()     // called when it was; nil for nothing
}

// Each hands out the deliveries of a queue, in groups of what is waiting, at
// most maxGroup at a time: while one group is worked on, the messages of the
// one before arrive, and the next gathers. It returns nil once ctx has ended
// and the group in hand is finished. With groups of one, nothing overlaps, so
// that a run repeats exactly. ready is called once deliveries can come.
func (s *Session) Each(ctx context.Context, from string, maxGroup int, ready func(), work Work) error {
	prefetch := 3 * maxGroup
	if err := s.in.Qos(prefetch, 0, false); err != nil {
		return s.fail("limit deliveries of %s: %v", from, err)
	}
	cancelled := s.in.NotifyCancel(make(chan string, 1))
	arriving, err := s.in.Consume(from, "", false, false, false, false, nil)
	if err != nil {
		return s.fail("consume %s: %v", from, err)
	}
	ready()
	// As many as can be unacknowledged fit, so that gathering never blocks.
	waiting := make(chan Delivery, prefetch)
	go func() {
		defer close(waiting)
		for d := range arriving {
			waiting <- newDelivery(d)
		}
	}()
	var last *handled // not acknowledged yet
	for ctx.Err() == nil {
		if len(waiting) == 0 || maxGroup == 1 {
			if err := s.finish(last); err != nil {
				return err
			}
			last = nil
		}
		select {
		case <-ctx.Done():
		case <-cancelled:
			return s.fail("queue %s was deleted", from)
		case first, open := <-waiting:
			if !open {
				select {
				case <-cancelled:
					return s.fail("queue %s was deleted", from)
				case <-s.Lost():
					return s.Err()
				}
			}
			next, err := s.handle(gather(first, waiting, maxGroup), work)
			// What was done before is acknowledged also where this group failed.
			if err := cmp.Or(err, s.finish(last)); err != nil {
				return err
			}
			last = next
		}
	}
	return s.finish(last)
}

// Listen gives the messages of a queue until the session is lost. Each is
// acknowledged as it is sent, so it is for news that may be missed.
func (s *Session) Listen(to string) (<-chan Message, error) {
	cancelled := s.in.NotifyCancel(make(chan string, 1))
	arriving, err := s.in.Consume(to, "", true, false, false, false, nil)
	if err != nil {
		return nil, s.fail("consume %s: %v", to, err)
	}
	news := make(chan Message)
	go func() {
		for d := range arriving {
			select {
			case news <- newDelivery(d).Message:
			case <-s.Lost():
				return
			}
		}
		select {
		case <-cancelled:
			_ = s.fail("queue %s was deleted", to)
		case <-s.Lost():
		}
	}()
	return news, nil
}

// gather adds to the first delivery what is waiting behind it.
func gather(first Delivery, waiting <-chan Delivery, maxGroup int) []Delivery {
	group := []Delivery{first}
	for len(group) < maxGroup {
		select {
		case d, open := <-waiting:
			if !open {
				return group
			}
			group = append(group, d)
		default:
			return group
		}
	}
	return group
}

// handled is a group that was worked on.
type handled struct {
	left Left
	last uint64 // tag of its last delivery
}

// handle has a group worked on.
func (s *Session) handle(group []Delivery, work Work) (*handled, error) {
	left, err := work(group)
	if err != nil {
		return nil, fmt.Errorf("handle %d deliveries: %w", len(group), err)
	}
	return &handled{left, group[len(group)-1].tag}, nil
}

// finish acknowledges a group up to its last delivery at once, when its
// messages have arrived. Groups are finished one after the other, so that
// everything before it is finished too.
func (s *Session) finish(h *handled) error {
	if h == nil {
		return nil
	}
	if err := WaitAll(h.left.Arriving); err != nil {
		return err
	}
	if err := s.in.Ack(h.last, true); err != nil {
		return s.fail("acknowledge: %v", err)
	}
	if h.left.Acknowledged != nil {
		h.left.Acknowledged()
	}
	return nil
}
