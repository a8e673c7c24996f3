// Package worker3 checks that the rows of every forwarded chunk are in the
// right partition files, and says SUCCESS or FAILURE for each. It only reads.
package worker3

import (
	"context"
	"sync"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/queue"
)

// Config says what to check where.
type Config struct {
	Broker     queue.Options
	From       string
	Done       string // where to say which chunks were judged; empty to say it nowhere
	MaxGroup   int
	Dir        string
	Partitions int
	Timeout    time.Duration // how long rows may take to show up
}

// ReadConfig reads the settings; r keeps the problems.
func ReadConfig(r *config.Reader) Config {
	c := Config{
		Broker:     config.Broker(r, "worker-3"),
		From:       config.Queue23(r),
		MaxGroup:   config.MaxGroup(r),
		Dir:        config.PartitionsDir(r),
		Partitions: config.Partitions(r),
		Timeout:    r.Duration("VERIFY_TIMEOUT", 2*time.Second, time.Millisecond, time.Hour),
	}
	if config.FeedsOne(r) {
		c.Done = config.QueueDone(r)
	}
	return c
}

// Run checks until ctx ends, and returns nil. log gets one line at a time.
func Run(ctx context.Context, c Config, log func(string, ...any)) error {
	c.Broker.Log = func(format string, args ...any) { log("Worker 3: "+format, args...) }
	w := &worker{config: c, log: log, verifier: NewVerifier(c.Dir, c.Partitions, c.Timeout, c.Broker.Log)}
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	queues := []string{c.From, queue.Rejected(c.From)}
	if c.Done != "" {
		queues = append(queues, c.Done) // and nothing changes between two chunks that are fed one by one
	} else {
		watching.Go(func() { stop(w.watch(ctx)) })
	}
	err := queue.New(c.Broker).Run(ctx, queues, func(s *queue.Session) error {
		ready := func() { c.Broker.Log("Ready") }
		return s.Each(ctx, c.From, c.MaxGroup, ready, func(group []queue.Delivery) (queue.Left, error) {
			return w.handle(ctx, s, group)
		})
	})
	stop(nil)
	watching.Wait()
	if cause := context.Cause(ctx); err == nil && cause != context.Canceled {
		err = cause
	}
	if err = queue.Stopped(ctx, err); err == nil {
		c.Broker.Log("Stopped")
	}
	return err
}

type worker struct {
	config Config
	log    func(string, ...any)

	mu       sync.Mutex
	verifier *Verifier
}

// watchEvery is how often files are looked at while no chunk comes.
const watchEvery = 250 * time.Millisecond

// watch notices what happens to files between two chunks, until ctx ends.
func (w *worker) watch(ctx context.Context) error {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			if err := w.afterthoughts(); err != nil {
				return err
			}
		}
	}
}

func (w *worker) afterthoughts() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	verdicts, err := w.verifier.Afterthoughts()
	if err != nil {
		return err
	}
	w.sayAll(verdicts)
	return nil
}

func (w *worker) sayAll(verdicts []Verdict) {
	for _, v := range verdicts {
		w.say(v)
	}
}

// say prints a verdict: bare, for programs, and the reason of a failure before
// it, for people.
func (w *worker) say(v Verdict) {
	if v.Problem == "" {
		w.log("SUCCESS [%s]", v.ID)
		return
	}
	w.log("Worker 3: Chunk %s: %s", v.ID, v.Problem)
	w.log("FAILURE [%s]", v.ID)
}

// handle gives a verdict on each chunk of the group. All of them have the same
// time to show up, so that one that is missing does not hold up the others.
func (w *worker) handle(ctx context.Context, s *queue.Session, group []queue.Delivery) (left queue.Left, err error) {
	chunks, sent, err := s.Sort(w.config.From, group, func(id, reason string) {
		w.log("Worker 3: Rejected message %s: %s", id, reason)
	})
	if err != nil {
		return left, err
	}
	deadline := time.Now().Add(w.config.Timeout)
	wanted := make([]chunk.Chunk, len(chunks))
	for i, d := range chunks {
		wanted[i] = d.Chunk
	}
	there, err := w.look(wanted...)
	if err != nil {
		return left, err
	}
	for i, d := range chunks {
		verdict := Verdict{ID: d.ID}
		if !there[i] {
			if verdict, err = w.judge(ctx, d.Chunk, deadline); err != nil {
				return left, err
			}
		}
		w.say(verdict)
	}
	w.mu.Lock()
	w.sayAll(w.verifier.Gone())
	w.mu.Unlock()
	if w.config.Done != "" {
		// Before the acknowledgement: after a death in between, it is said again.
		for _, d := range chunks {
			pending, err := s.Publish(w.config.Done, queue.Message{ID: d.ID, Client: d.Client})
			if err != nil {
				return left, err
			}
			sent = append(sent, pending)
		}
	}
	return queue.Left{Arriving: sent}, nil
}

const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// judge looks for a chunk until it is found or the deadline has passed.
func (w *worker) judge(ctx context.Context, c chunk.Chunk, deadline time.Time) (Verdict, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		there, err := w.look(c)
		if err != nil || there[0] {
			return Verdict{ID: c.ID}, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.verifier.GiveUp(c)
		}
		select {
		case <-ctx.Done():
			return Verdict{}, ctx.Err()
		case <-time.After(min(pause, left)):
		}
	}
}

func (w *worker) look(chunks ...chunk.Chunk) (there []bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.verifier.Look(chunks...)
}
