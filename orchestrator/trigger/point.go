package trigger

import (
	"context"
)

// Points is the interposer of a service, as a trigger sees it: it holds the
// program at crash points, which it knows by the number of their fault.
type Points interface {
	// Arm lets the program come to the point. One that the interposer was
	// started with is armed already.
	Arm(number int) error
	// Reached gives the match once the program is held at the point, or once
	// what was to be done there was done.
	Reached(number int) <-chan Match
	// Seen says in words how near the program has come to the point.
	Seen(number int) string
}

// crashPoint comes with an exact system call of the service: the program is
// held there until the fault was done. Unlike the other triggers it is never
// late.
type crashPoint struct {
	points Points
	number int
}

func armCrashPoint(points Points, number int) (*crashPoint, error) {
	if err := points.Arm(number); err != nil {
		return nil, err
	}
	return &crashPoint{points: points, number: number}, nil
}

func (c *crashPoint) Wait(ctx context.Context) (Match, error) {
	select {
	case match := <-c.points.Reached(c.number):
		return match, nil
	case <-ctx.Done():
		return Match{}, ctx.Err()
	}
}

func (c *crashPoint) Came() bool { return len(c.points.Reached(c.number)) > 0 }

func (c *crashPoint) Seen() string { return c.points.Seen(c.number) }

// Disarm has nothing to do: a point that was not reached by the end of the
// run is removed with its container.
func (c *crashPoint) Disarm() {}
