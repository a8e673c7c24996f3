package explore

import (
	"context"
	"errors"
	"sync"
)

// Worker does the unit of work of a campaign: it runs items and gives their
// outcomes. The lanes of this machine are one, and a fleet is another: what a
// campaign makes of the outcomes is the same.
type Worker interface {
	// Work runs items until there are no more, or the context ends, and tells
	// each outcome as soon as it is known, one at a time. An item that it took
	// and tells nothing of was not run. It returns when nothing is told any
	// more; the error is trouble that keeps it from working on.
	Work(ctx context.Context, items <-chan Item, tell func(Item, Outcome)) error
}

// Lanes runs items side by side on this machine, one by each of its runners.
type Lanes struct {
	Runners []Runner
	Trials  *Trials
}

// maxBroken is after how many items in a row that are broken lanes give up: an
// engine that is gone does not come back by asking it ten thousand times.
const maxBroken = 10

var errBroken = errors.New("one trial after the other is broken")

// Work: see Worker.
func (l *Lanes) Work(ctx context.Context, items <-chan Item, tell func(Item, Outcome)) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var telling sync.Mutex
	broken := 0
	told := func(item Item, outcome Outcome) {
		telling.Lock()
		defer telling.Unlock()
		tell(item, outcome)
		if broken++; outcome.Status != Broken {
			broken = 0
		}
		if broken == maxBroken {
			giveUp(errors.Join(errBroken, errors.New(outcome.Reason)))
		}
	}
	pool := newPool(items, l.Trials.enough)
	var working sync.WaitGroup
	for _, runner := range l.Runners {
		working.Go(func() {
			for {
				item, more := pool.next(ctx)
				if !more {
					return
				}
				if err := l.do(ctx, runner, pool, item, told); err != nil {
					return
				}
			}
		})
	}
	working.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, errBroken) {
		return cause
	}
	return nil
}

// do runs an item, and others with it where it is of a chain that the runner
// can be led through. The error is that of the context.
func (l *Lanes) do(ctx context.Context, runner Runner, pool *pool, item Item, tell func(Item, Outcome)) error {
	if chained, can := runner.(ChainRunner); can && item.State != "" {
		return l.chain(ctx, chained, pool, item, tell)
	}
	return l.alone(ctx, runner, &link{item: item}, tell)
}

func next(ctx context.Context, items <-chan Item) (Item, bool) {
	if ctx.Err() != nil {
		return Item{}, false
	}
	select {
	case item, more := <-items:
		return item, more
	case <-ctx.Done():
		return Item{}, false
	}
}

// Close closes every runner.
func (l *Lanes) Close(ctx context.Context) error {
	var failed []error
	for _, runner := range l.Runners {
		failed = append(failed, runner.Close(ctx))
	}
	return errors.Join(failed...)
}
