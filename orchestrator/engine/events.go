package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// Action is what happened to a container.
type Action string

// The actions that are reported; all others of the engine are left out.
const (
	ActionStart     Action = "start"
	ActionDie       Action = "die"
	ActionKill      Action = "kill" // a signal was sent
	ActionOOM       Action = "oom"
	ActionPause     Action = "pause"
	ActionUnpause   Action = "unpause"
	ActionDestroy   Action = "destroy"
	ActionHealthy   Action = "health_status: healthy"
	ActionUnhealthy Action = "health_status: unhealthy"
)

// Event is something that happened to a container.
type Event struct {
	ID       string // the container's
	Name     string // the container's
	Labels   map[string]string
	Action   Action
	ExitCode int    // of die
	Signal   string // of kill: a number or a name
	At       time.Time
}

// Events gives every event of the containers that bear all the labels (an
// empty value stands for any), from this moment on, in order, until the
// context ends; then it returns the context's error. Ready is called once
// when nothing that happens from then on can be missed. A connection that
// breaks is made again and goes on after the last event that was given.
func (e *Engine) Events(ctx context.Context, labels map[string]string, ready func(), each func(Event)) error {
	arguments := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)))
	for name, value := range labels {
		arguments.Add("label", joinNonEmpty("=", name, value))
	}
	for _, action := range []Action{ActionStart, ActionDie, ActionKill, ActionOOM, ActionPause, ActionUnpause, ActionDestroy, "health_status"} {
		arguments.Add("event", string(action))
	}
	since, err := e.now(ctx)
	if err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	if err := e.events(ctx, arguments, since, ready, func(message events.Message) bool {
		each(convertEvent(message))
		return true
	}); err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	return nil
}

func convertEvent(message events.Message) Event {
	event := Event{
		ID: message.Actor.ID, Name: message.Actor.Attributes["name"], Labels: message.Actor.Attributes,
		Action: Action(message.Action), Signal: message.Actor.Attributes["signal"], At: time.Unix(0, message.TimeNano),
	}
	if code, err := strconv.Atoi(message.Actor.Attributes["exitCode"]); err == nil {
		event.ExitCode = code
	}
	return event
}

// now is the engine's clock, which is the only one that its events know.
func (e *Engine) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	info, err := e.api.Info(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the engine's clock: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the engine's clock: %w", err)
	}
	return at, nil
}

const (
	reconnectPause = 50 * time.Millisecond
	// reconnectLimit is how long an engine may be away in the middle of a run.
	reconnectLimit = 30 * time.Second
)

// events gives each event from a time on, that one included, until the
// function returns false or the context ends. The engine keeps the latest
// events for a while: a new connection asks for those of that while again,
// which closes the gap since the last one, and each is given once. An event
// that happens at the moment of a connection may even come twice over that.
func (e *Engine) events(ctx context.Context, arguments filters.Args, from time.Time, ready func(), each func(events.Message) bool) error {
	var failingSince time.Time
	seen := &seenEvents{keys: map[eventKey]bool{}}
	for {
		streaming, cancel := context.WithCancel(ctx)
		messages, errs := e.api.Events(streaming, events.ListOptions{Since: eventTime(from), Filters: arguments})
		var broken error
		select {
		case broken = <-errs:
		default:
			if ready != nil {
				ready()
				ready = nil
			}
			broken = consume(messages, errs, func(message events.Message) bool {
				failingSince = time.Time{}
				return !seen.add(message) || each(message)
			})
		}
		cancel()
		switch {
		case broken == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case failingSince.IsZero():
			failingSince = time.Now()
		case time.Since(failingSince) > reconnectLimit:
			return broken
		}
		select {
		case <-time.After(reconnectPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eventKey tells events apart.
type eventKey struct {
	id     string
	action events.Action
	at     int64
}

// seenEvents remembers the latest events: more of them than an engine keeps,
// which is 256.
type seenEvents struct {
	keys  map[eventKey]bool
	order []eventKey
}

const seenLimit = 1024

// add says whether the event is new.
func (s *seenEvents) add(message events.Message) bool {
	key := eventKey{message.Actor.ID, message.Action, message.TimeNano}
	if s.keys[key] {
		return false
	}
	s.keys[key] = true
	s.order = append(s.order, key)
	if len(s.order) > seenLimit {
		delete(s.keys, s.order[0])
		s.order = s.order[1:]
	}
	return true
}

func consume(messages <-chan events.Message, errs <-chan error, each func(events.Message) bool) error {
	for {
		select {
		case message := <-messages:
			if !each(message) {
				return nil
			}
		case err := <-errs:
			if err == nil {
				err = errors.New("the engine ended the stream of events")
			}
			return err
		}
	}
}

func eventTime(at time.Time) string {
	return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
}

// death waits for the end of one life of a container.
type death struct {
	known  context.Context // done when the time of death, or the trouble, is known
	mu     sync.Mutex
	died   time.Time
	failed error
}

// watchDeath looks for the first death of a container after a time, from
// events that happened up to then and later.
func (e *Engine) watchDeath(ctx context.Context, id string, from, after time.Time) *death {
	known, tell := context.WithCancel(context.Background())
	d := &death{known: known}
	arguments := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("container", id),
		filters.Arg("event", string(ActionDie)), filters.Arg("event", string(ActionDestroy)))
	go func() {
		defer tell()
		err := e.events(ctx, arguments, from, nil, func(message events.Message) bool {
			at := time.Unix(0, message.TimeNano)
			if !at.After(after) || !strings.HasPrefix(message.Actor.ID, id) {
				return true
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if Action(message.Action) == ActionDestroy {
				d.failed = ErrNoContainer
				return false
			}
			d.died = at
			return false
		})
		if err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failed = err
		}
	}()
	return d
}

func (d *death) at() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.died, !d.died.IsZero()
}

// wait is for a life whose log has ended, so that its death is due.
func (d *death) wait(ctx context.Context) (time.Time, error) {
	timer := time.NewTimer(endOfLife)
	defer timer.Stop()
	select {
	case <-d.known.Done():
	case <-timer.C:
		return time.Time{}, errors.New("its log ended, but the engine reported no death")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.died, d.failed
}
