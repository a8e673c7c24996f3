package scenario

import (
	"errors"
	"fmt"
	"strings"
)

// Chain has the work handed in one unit at a time. The service that sends it is
// held before each of its messages until everything that came before has been
// handled, and another service is then stopped and started again: each unit is
// handled by a life that began at rest.
type Chain struct {
	// Service is started again between units.
	Service string `json:"service"`
	// Units is how many units, counted by the messages of the sender, are handed
	// in so; then the work goes on as it likes. 0: all.
	Units int `json:"units,omitempty"`
}

// CanChain says why the scenario's work cannot be handed in one unit at a time,
// with that service started again in between; nil where it can.
func (s *Scenario) CanChain(service string) error {
	facts := s.Facts
	if facts == nil {
		facts = &Facts{}
	}
	var lacks []string
	if facts.Rows == nil {
		lacks = append(lacks, "rows.sent, by which it is known who sends the work")
	}
	if facts.Done == nil || len(facts.Done.Drained) == 0 {
		lacks = append(lacks, "done.drained, by which it is known when a unit has been handled")
	}
	if len(lacks) > 0 {
		return fmt.Errorf("chain crashes of %s: x-killpoint has no %s", service, strings.Join(lacks, " and no "))
	}
	if facts.Rows.Sent.Service == service {
		return fmt.Errorf("chain crashes of %s: it sends the work, and is held while others handle it", service)
	}
	if len(s.Expect.Logs) > 0 {
		return errors.New("chain crashes: what is expected of log lines is about a whole run")
	}
	return nil
}
