package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// slow commits only when it is told to.
type slow struct {
	mu        sync.Mutex
	prepared  map[int]string
	changed   chan struct{}
	released  chan struct{}
	committed []string
	fails     error
}

func newSlow() *slow {
	return &slow{prepared: map[int]string{}, changed: make(chan struct{}, 1000), released: make(chan struct{}, 1000)}
}

func (s *slow) prepare(slot int, _ *data, c chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared[slot] = c.id
	s.changed <- struct{}{}
}

func (s *slow) commit(slots []int) (int, error) {
	<-s.released
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range slots {
		s.committed = append(s.committed, s.prepared[slot])
	}
	return 0, s.fails
}

func (s *slow) close() error { return nil }

// What waits while a commit runs goes into the next one, and no more is under
// way than was asked for.
func TestNaturalBatching(t *testing.T) {
	d := newData(64, seed)
	for name, test := range map[string]struct {
		natural bool
		second  int
	}{"natural": {true, 0}, "one chunk": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			s := newSlow()
			result := make(chan outcome)
			go func() {
				o, err := drive{store: s, data: d, rows: 2, natural: test.natural, inFlight: 5, limit: 20}.run(context.Background())
				if err != nil {
					t.Error(err)
				}
				result <- o
			}()
			for range 5 { // all slots are full, and nothing is committed yet
				<-s.changed
			}
			select {
			case <-s.changed:
				t.Error("a sixth chunk was prepared while five were under way")
			case <-time.After(20 * time.Millisecond):
			}
			for range 20 {
				s.released <- struct{}{}
			}
			o := <-result
			var want []string
			for n := range 20 {
				want = append(want, d.chunk(n, 2).id)
			}
			if !slices.Equal(s.committed, want) {
				t.Errorf("committed\n%q\nwant\n%q", s.committed, want)
			}
			sum := 0
			for _, n := range o.groups {
				sum += n
			}
			if sum != 20 || o.rows != 40 || o.chunks != 20 {
				t.Errorf("groups %v, %d rows, %d chunks", o.groups, o.rows, o.chunks)
			}
			// Before the first commit could end, the four that it did not take
			// were waiting, or it had taken some of them itself.
			if test.natural && o.groups[0]+o.groups[1] < 5 {
				t.Errorf("groups %v: what waited was not taken at once", o.groups)
			}
			if !test.natural && slices.Max(o.groups) != 1 {
				t.Errorf("groups %v, want one chunk each", o.groups)
			}
		})
	}
}

func TestDriveEndsWithAnError(t *testing.T) {
	s := newSlow()
	s.fails = errors.New("the disk is full")
	s.released <- struct{}{}
	_, err := drive{store: s, data: newData(64, seed), rows: 2, natural: true, inFlight: 5, limit: 20}.run(context.Background())
	if !errors.Is(err, s.fails) {
		t.Errorf("err = %v", err)
	}
}

// What comes before the warm-up ends is committed, and not counted.
func TestWarmUp(t *testing.T) {
	s := newSlow()
	for range 1000 {
		s.released <- struct{}{}
	}
	warm := 0
	o, err := drive{
		store: s, data: newData(64, seed), rows: 2, inFlight: 5, limit: 20, warmUp: time.Hour, warmChunks: 3,
		warm: func() { warm++ },
	}.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if o.chunks != 20 || o.rows != 34 || len(o.groups) != 17 || warm != 1 {
		t.Errorf("%d chunks, %d rows and %d groups counted, warm %d times; want 20, 34, 17, once", o.chunks, o.rows, len(o.groups), warm)
	}
}
