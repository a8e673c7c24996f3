package main

import (
	"context"
	"sync"
	"time"
)

// outcome is what a drive did while it was timed.
type outcome struct {
	rows    int
	elapsed time.Duration
	groups  []int // chunks in each commit
	chunks  int   // committed in all, the first so many; also what was not timed
}

func (o outcome) rate() float64 { return float64(o.rows) / o.elapsed.Seconds() }

// drive keeps chunks on their way to a store: one goroutine takes the place of
// the broker and prepares them, another commits. With natural batching a
// commit takes all that is waiting when the last one has ended.
type drive struct {
	store    store
	data     *data
	rows     int // a chunk
	natural  bool
	inFlight int
	first    int           // number of the first chunk
	limit    int           // chunks at most
	time     time.Duration // 0 for no limit

	// The warm-up is not timed. It ends with the first of these.
	warmUp     time.Duration
	warmChunks int

	warm func() // called when it has ended; may be nil

	done func(chunks int) // called after each commit with the number so far; may be nil
}

// line is where chunks wait, with both ends' waiting.
type line struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []int // prepared slots
	free    []int
	ended   bool // no more chunks come
	stopped bool // nobody takes any more
}

func newLine(slots int) *line {
	l := &line{}
	l.changed.L = &l.mu
	for i := range slots {
		l.free = append(l.free, i)
	}
	return l
}

// slot waits for a free slot; ok is false when nobody takes any more.
func (l *line) slot() (slot int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) == 0 && !l.stopped {
		l.changed.Wait()
	}
	if l.stopped {
		return 0, false
	}
	slot = l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return slot, true
}

func (l *line) put(slot int) {
	l.mu.Lock()
	l.waiting = append(l.waiting, slot)
	if len(l.waiting) == 1 {
		l.changed.Broadcast()
	}
	l.mu.Unlock()
}

// take frees the slots of the last group and waits for another: all that wait,
// or the first. It is empty at the end.
func (l *line) take(group []int, all bool) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(group) > 0 {
		if len(l.free) == 0 {
			l.changed.Broadcast()
		}
		l.free = append(l.free, group...)
	}
	for len(l.waiting) == 0 && !l.ended {
		l.changed.Wait()
	}
	n := len(l.waiting)
	if !all {
		n = min(n, 1)
	}
	group = append(group[:0], l.waiting[:n]...)
	l.waiting = l.waiting[:copy(l.waiting, l.waiting[n:])]
	return group
}

func (l *line) end(stopped bool) {
	l.mu.Lock()
	l.ended = true
	l.stopped = l.stopped || stopped
	l.changed.Broadcast()
	l.mu.Unlock()
}

func (d drive) run(ctx context.Context) (outcome, error) {
	l := newLine(d.inFlight)
	var preparing sync.WaitGroup
	preparing.Go(func() {
		defer l.end(false)
		for n := d.first; n < d.first+d.limit; n++ {
			slot, ok := l.slot()
			if !ok {
				return
			}
			d.store.prepare(slot, d.data, d.data.chunk(n, d.rows))
			l.put(slot)
		}
	})
	defer preparing.Wait()
	defer l.end(true)

	var o outcome
	begin := time.Now()
	warm := d.warmUp <= 0
	var group []int
	for {
		group = l.take(group, d.natural)
		if len(group) == 0 || ctx.Err() != nil {
			return o, ctx.Err()
		}
		if _, err := d.store.commit(group); err != nil {
			return o, err
		}
		now := time.Now()
		o.chunks += len(group)
		if d.done != nil {
			d.done(o.chunks)
		}
		if !warm {
			if now.Sub(begin) >= d.warmUp || o.chunks >= min(d.warmChunks, d.limit/2) {
				warm, begin = true, now
				if d.warm != nil {
					d.warm()
				}
			}
			continue
		}
		o.groups = append(o.groups, len(group))
		o.rows += len(group) * d.rows
		o.elapsed = now.Sub(begin)
		if d.time > 0 && o.elapsed >= d.time {
			return o, nil
		}
	}
}
