package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// inPlace is a fault that the interposer does by itself, at the very system
// call, before anybody here hears of it: a call that fails, moves fewer bytes
// or comes late. The service goes on, unless it cannot stand the fault.
type inPlace struct {
	done    string
	restart *scenario.Duration // when it exits
}

func newInPlace(planned scenario.Fault) *inPlace {
	one := &inPlace{restart: planned.RestartIfExited}
	switch planned.Kind {
	case scenario.Fail:
		one.done = "the call failed with " + planned.Errno
	case scenario.Short:
		one.done = fmt.Sprintf("the call moved %d bytes", *planned.Bytes)
	case scenario.Delay:
		one.done = fmt.Sprintf("the call was delayed by %s", *planned.By)
	}
	return one
}

func (i *inPlace) Inject(context.Context, Target) (string, error) { return i.done, nil }

// Heal has the service started again should it exit; it does not wait for
// that, since a service that can stand the fault never exits.
func (i *inPlace) Heal(_ context.Context, target Target) (string, error) {
	if i.restart != nil {
		target.RestartIfExited(time.Duration(*i.restart))
	}
	return "", nil
}
