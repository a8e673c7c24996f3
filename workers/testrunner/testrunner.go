// Package testrunner sends chunks into the pipeline, with publisher confirms,
// and keeps a record of what it attempted and what was confirmed. What became
// of the chunks is judged by others.
package testrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/queue"
)

// runner is the state that outlives a session.
type runner struct {
	config Config
	plan   *plan
	record *record
	before past
	log    func(string, ...any)

	flights   []flight // on their way, oldest first
	exhausted bool     // the plan has no more
	nextSlot  time.Time
	room      int // messages that may be sent before the queue is looked at again
	chunks    int // different ones confirmed, in this life or before
	rows      int
}

// flight is a message on its way: it is not confirmed yet, or is waited for
// until it was judged. pending is nil when it was never published in this
// session.
type flight struct {
	item      item
	pending   *queue.Pending
	confirmed bool // in this session or an earlier one
	arrived   bool // in this session
	judged    bool
}

// Run sends everything and returns nil once all of it is confirmed. log gets
// one line at a time.
func Run(ctx context.Context, c Config, log func(string, ...any)) (err error) {
	log("Test runner: SEED=%d", c.Seed)
	plan, err := newPlan(c)
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrBad, err)
	}
	record, before, err := openRecord(c.SentFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.close()) }()

	r := &runner{config: c, plan: plan, record: record, before: before, log: log}
	c.Broker.Log = func(format string, args ...any) { log("Test runner: "+format, args...) }
	queues := []string{c.Queue}
	if c.Done != "" {
		queues = append(queues, c.Done)
	}
	if err := queue.New(c.Broker).Run(ctx, queues, func(s *queue.Session) error { return r.send(ctx, s) }); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before everything was confirmed: %d of %d chunks were", r.chunks, plan.chunks)
		}
		return err
	}
	if err := record.add(line{Done: true, Chunks: r.chunks}); err != nil {
		return err
	}
	log("Test runner: Sent %d chunks, %d rows", r.chunks, r.rows)
	return nil
}

// send goes on, in a fresh session, where the last one ended. Whether what was
// on its way then has arrived is unknown, so all of it is sent again.
func (r *runner) send(ctx context.Context, s *queue.Session) error {
	r.room = 0
	var judged <-chan queue.Message
	if r.config.Done != "" {
		var err error
		if judged, err = s.Listen(r.config.Done); err != nil {
			return err
		}
	}
	for i := range r.flights {
		r.flights[i].arrived = false
		r.flights[i].item.again = r.flights[i].item.reason == ""
		if err := r.publish(s, &r.flights[i]); err != nil {
			return err
		}
	}
	for {
		var oldest <-chan struct{}
		if len(r.flights) > 0 && !r.flights[0].arrived {
			oldest = r.flights[0].pending.Done()
		}
		var slot <-chan time.Time
		if !r.exhausted && len(r.flights) < r.config.Window {
			slot = time.After(time.Until(r.nextSlot))
		}
		if len(r.flights) == 0 && slot == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Lost():
			return s.Err()
		case <-oldest:
			if err := r.confirm(); err != nil {
				return err
			}
		case m := <-judged:
			r.judge(m.ID)
		case <-slot:
			if room, err := r.hasRoom(s); err != nil {
				return err
			} else if !room {
				continue
			}
			if err := r.sendNext(s); err != nil {
				return err
			}
		}
	}
}

// lookAgain is when a full queue is looked at again.
const lookAgain = 10 * time.Millisecond

// hasRoom says whether one more message keeps to the window, so that a
// consumer that is down or slow holds the sender up. What was sent since the
// last look counts as still there, so the broker is asked once a window.
func (r *runner) hasRoom(s *queue.Session) (bool, error) {
	if r.room > 0 || r.config.Done != "" { // what is waited for has left the queue
		return true, nil
	}
	waiting, err := s.Waiting(r.config.Queue)
	if err != nil {
		return false, err
	}
	if r.room = r.config.Window - waiting - len(r.flights); r.room <= 0 {
		r.nextSlot = latest(r.nextSlot, time.Now().Add(lookAgain))
		return false, nil
	}
	return true, nil
}

// sendNext publishes the next message that an earlier life did not bring to an
// end, if there is one.
func (r *runner) sendNext(s *queue.Session) error {
	next, err := r.plan.next()
	for err == nil && next.rows != nil && r.before.confirmed[next.message.ID] {
		r.chunks, r.rows = r.chunks+1, r.rows+len(next.rows)
		next, err = r.plan.next()
	}
	if errors.Is(err, io.EOF) {
		r.exhausted = true
		return nil
	}
	if err != nil {
		return err
	}
	if r.config.Rate > 0 {
		r.nextSlot = latest(r.nextSlot, time.Now()).Add(time.Duration(float64(time.Second) / r.config.Rate))
	}
	r.room--
	r.flights = append(r.flights, flight{item: next})
	return r.publish(s, &r.flights[len(r.flights)-1])
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// publish records the attempt and makes it.
func (r *runner) publish(s *queue.Session, f *flight) error {
	if err := r.record.add(r.attempt(f.item)); err != nil {
		return err
	}
	pending, err := s.Publish(r.config.Queue, f.item.message)
	if err != nil {
		return err
	}
	f.pending = pending
	return nil
}

func (r *runner) attempt(i item) line {
	id := i.message.ID
	if i.reason != "" {
		return line{Malformed: &id, Reason: i.reason}
	}
	l := line{Chunk: id, Client: i.message.Client, Partitions: r.config.Partitions}
	if i.again || r.before.attempted[id] {
		l.Again = true
	} else {
		l.Rows = i.rows
	}
	return l
}

// confirm records that the oldest message has arrived. When a session was lost
// while it was waited for, it may do so a second time.
func (r *runner) confirm() error {
	oldest := &r.flights[0]
	if err := oldest.pending.Wait(); err != nil {
		return err
	}
	defer r.land()
	oldest.arrived = true
	if oldest.confirmed {
		return nil
	}
	oldest.confirmed = true
	id := oldest.item.message.ID
	if oldest.item.reason != "" {
		r.log("Test runner: Sent malformed message %q: %s", id, oldest.item.reason)
		return nil
	}
	if err := r.record.add(line{Confirmed: id}); err != nil {
		return err
	}
	if oldest.item.rows == nil {
		r.log("Sent chunk %s again", id)
		return nil
	}
	r.chunks, r.rows = r.chunks+1, r.rows+len(oldest.item.rows)
	r.log("Sent chunk %s", id)
	return nil
}

// judge takes note that a chunk was judged. Others than the one on its way were
// judged twice, because a worker died.
func (r *runner) judge(id string) {
	if len(r.flights) > 0 && r.flights[0].item.message.ID == id {
		r.flights[0].judged = true
		r.land()
	}
}

// land takes the oldest message off those on their way, once that is so. A
// malformed one is not waited for: nobody judges it.
func (r *runner) land() {
	if oldest := r.flights[0]; oldest.arrived && (r.config.Done == "" || oldest.judged || oldest.item.reason != "") {
		r.flights = slices.Delete(r.flights, 0, 1)
	}
}
