package interpose

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// MaxPoints bounds the points of one plan: which of them a path matches is kept as one bit each.
const MaxPoints = 64

// Plan is what the interposer does during one incarnation of a container.
type Plan struct {
	// ID names the control socket. It must be unique among all containers that share a network namespace.
	ID string `json:"id"`
	// Incarnation is the number of the life that starts with this plan, from 1.
	Incarnation int `json:"incarnation"`
	// Points fire in the order given: each can fire only when the one before it has, those of Later apart, but all of them count from the start of the incarnation.
	Points []Point `json:"points,omitempty"`
	// Record, if set, reports every operation that it covers.
	Record *Record `json:"record,omitempty"`
	// PowerLoss, if set, keeps track of what would not survive a power cut.
	PowerLoss *PowerLoss `json:"power_loss,omitempty"`
	// AwaitClient starts the program only when a client has attached, so that no event can be missed however short the program's life is.
	AwaitClient bool `json:"await_client,omitempty"`
	// Stay keeps the interposer, and with it the container, alive when the program ends, for Client.Start.
	Stay bool `json:"stay,omitempty"`
	// Idle, with Stay, starts nothing until Client.Start. The plan that Start is given replaces this one.
	Idle bool `json:"idle,omitempty"`
	// Lines, with Stay, reports each line that the program writes to stdout and stderr as an event, in place of passing it on to the container's own: a life's lines are then complete when its end is reported.
	Lines bool `json:"lines,omitempty"`
	// Originals, with Stay, keeps what files were before the program first changed them, for Client.PutBack.
	Originals *Originals `json:"originals,omitempty"`
	// Fresh, with Stay, takes away at each Client.Start what a container's death would have: files in memory and memory shared by name. It is for containers only, which have these for themselves.
	Fresh bool `json:"fresh,omitempty"`
	// Init says that the container was to run with an init process of the engine's (`init: true`): then every signal is passed on, while a program that is itself the first process never gets one that it has no handler for.
	Init bool `json:"init,omitempty"`
	// NoQuiesce leaves the other threads running at a point. It exists to show that stopping them is needed: with it, kills are not exact.
	NoQuiesce bool `json:"no_quiesce,omitempty"`
	// QuiesceTimeout bounds the wait for the other threads to stop; 5 s when zero.
	QuiesceTimeout time.Duration `json:"quiesce_timeout,omitempty"`
}

// Point is one crash point and what to do there.
type Point struct {
	ID        string    `json:"id"`
	Operation Operation `json:"operation"`
	// Path is a literal path or a doublestar glob, absolute, as the program's root sees it.
	Path string `json:"path,omitempty"`
	// Queue limits Publish to a routing key or queue name and Ack to the queue consumed from; any when empty.
	Queue string `json:"queue,omitempty"`
	// Occurrence counts matching calls from 1, over all processes and, for a glob, over all paths.
	Occurrence int `json:"occurrence"`
	// Incarnation in which the point can fire; 0 means any.
	Incarnation int    `json:"incarnation,omitempty"`
	Timing      Timing `json:"timing,omitempty"`
	// Keep belongs to Timing During.
	Keep   Keep   `json:"keep"`
	Action Action `json:"action"`
	// Errno is the name of the error for Fail, such as ENOSPC.
	Errno string `json:"errno,omitempty"`
	// Bytes is how much a Short call moves; 0 is allowed for reads only, where it means end of file.
	Bytes int64 `json:"bytes,omitempty"`
	// Wait is how long a Delay lasts.
	Wait time.Duration `json:"wait,omitempty"`
	// Times is how many consecutive matches, from Occurrence on, get the action; 1 when zero. It does not apply to Hold.
	Times int `json:"times,omitempty"`
	// Sum adds a checksum of the bytes that the write at the point carries, at the price of reading them.
	Sum bool `json:"sum,omitempty"`
	// Later says that the point counts like any other, and cannot fire before Client.Arm names it.
	Later bool `json:"later,omitempty"`
	// Lose says what a power cut at this point takes; nothing when nil. It needs Plan.PowerLoss and Action Hold.
	Lose *Lose `json:"lose,omitempty"`
}

// Record chooses the operations that are reported one by one.
type Record struct {
	Operations []Operation `json:"operations"`
	// Paths are globs; all files when empty.
	Paths []string `json:"paths,omitempty"`
	// Sums adds a checksum of the bytes that each write carries, at the price of reading them.
	Sums bool `json:"sums,omitempty"`
}

// Originals chooses the files whose original state is kept: all but those that match Except, which somebody else puts back.
type Originals struct {
	Except []string `json:"except,omitempty"`
}

// PowerLoss chooses the files whose durability is tracked.
type PowerLoss struct {
	// Paths are globs of the files and directories that belong to the data.
	Paths []string `json:"paths"`
	// Limit bounds the bytes of un-synced history that are kept in memory; 256 MiB when zero.
	Limit int64 `json:"limit,omitempty"`
}

// Lose chooses which un-synced changes survive a power cut.
type Lose struct {
	// Survive is "none", "all", "only" (those of IDs), "except" (all but IDs), "keep" (only the Index-th), "drop" (all but the Index-th), "prefix" (the first Count), or "seed" (a subset drawn by Seed). An Index or a Count beyond the changes that there are makes the point inexact, and nothing is lost.
	Survive string  `json:"survive"`
	IDs     []int64 `json:"ids,omitempty"`
	// Index is a place in Event.Unsynced, from 1.
	Index int    `json:"index,omitempty"`
	Count int    `json:"count,omitempty"`
	Seed  uint64 `json:"seed,omitempty"`
}

// ParsePlan reads and validates a plan.
func ParsePlan(data []byte) (Plan, error) {
	var plan Plan
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&plan); err != nil {
		return Plan{}, fmt.Errorf("parse plan: %w", err)
	}
	return plan, plan.Validate()
}

// Validate reports everything that is wrong with the plan, joined.
func (p Plan) Validate() error {
	var problems []error
	add := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf("validate plan: "+format, arguments...))
	}
	if p.ID == "" || len(p.ID) > 64 {
		add("id %q: want 1 to 64 characters", p.ID)
	}
	if p.Incarnation < 1 {
		add("incarnation %d: incarnations count from 1", p.Incarnation)
	}
	if len(p.Points) > MaxPoints {
		add("%d points: at most %d fit in one plan", len(p.Points), MaxPoints)
	}
	for _, point := range p.Points {
		if err := point.validate(); err != nil {
			add("point %q: %w", point.ID, err)
		}
		if point.Lose != nil && p.PowerLoss == nil {
			add("point %q: lose needs power_loss with the paths of the data", point.ID)
		}
	}
	if p.Record != nil {
		for _, operation := range p.Record.Operations {
			if !operation.Known() {
				add("record: unknown operation %q", operation)
			}
		}
		for _, pattern := range p.Record.Paths {
			if err := validatePattern(pattern); err != nil {
				add("record: %w", err)
			}
		}
	}
	if !p.Stay && (p.Idle || p.Lines || p.Fresh || p.Originals != nil) {
		add("idle, lines, fresh and originals need stay")
	}
	if p.Originals != nil {
		for _, pattern := range p.Originals.Except {
			if err := validatePattern(pattern); err != nil {
				add("originals: %w", err)
			}
		}
	}
	if p.PowerLoss != nil {
		for _, pattern := range p.PowerLoss.Paths {
			if err := validatePattern(pattern); err != nil {
				add("power_loss: %w", err)
			}
		}
		if p.NoQuiesce {
			add("power_loss needs quiescing: no_quiesce cannot be set with it")
		}
	}
	return errors.Join(problems...)
}

func (p Point) validate() error {
	if !p.Operation.Known() {
		return fmt.Errorf("unknown operation %q", p.Operation)
	}
	if p.Occurrence < 1 {
		return fmt.Errorf("occurrence %d: occurrences count from 1", p.Occurrence)
	}
	if p.Operation.AMQP() {
		if p.Path != "" {
			return fmt.Errorf("%s takes a queue, not a path", p.Operation)
		}
	} else if err := validatePattern(p.Path); err != nil {
		return err
	}
	if err := p.validateAction(); err != nil {
		return err
	}
	return p.validateTiming()
}

func (p Point) validateTiming() error {
	switch p.Timing {
	case Before, After:
	case During:
		if p.Operation != Write {
			return fmt.Errorf("timing during: only a write can be torn, not %s", p.Operation)
		}
	case "":
		if p.Action == Hold {
			return errors.New("hold needs a timing: before, during or after")
		}
	default:
		return fmt.Errorf("unknown timing %q", p.Timing)
	}
	if p.Action != Hold && p.Timing != "" && p.Timing != Before {
		return fmt.Errorf("%s acts before the call: timing %s cannot be set", p.Action, p.Timing)
	}
	return nil
}

func (p Point) validateAction() error {
	switch p.Action {
	case Hold, Pass:
	case Fail:
		if _, known := Errnos[p.Errno]; !known {
			return fmt.Errorf("unknown errno %q", p.Errno)
		}
	case Short:
		if p.Operation != Write && p.Operation != Read {
			return fmt.Errorf("short: only a read or a write can be short, not %s", p.Operation)
		}
		if p.Bytes < 0 || p.Bytes == 0 && p.Operation == Write {
			return fmt.Errorf("short: bytes %d: want at least 1 for a write, 0 for a read", p.Bytes)
		}
	case Delay:
		if p.Wait <= 0 {
			return fmt.Errorf("delay: wait %v: want a positive duration", p.Wait)
		}
	default:
		return fmt.Errorf("unknown action %q", p.Action)
	}
	if p.Lose != nil && p.Action != Hold {
		return errors.New("lose belongs to a hold that ends in a kill")
	}
	if p.Lose != nil && p.Lose.Index < 1 && (p.Lose.Survive == "keep" || p.Lose.Survive == "drop") {
		return fmt.Errorf("lose: %s without an index, which counts from 1", p.Lose.Survive)
	}
	if p.Times < 0 || p.Times > 1 && p.Action == Hold {
		return fmt.Errorf("times %d: a hold happens once, other actions at least once", p.Times)
	}
	return nil
}

func validatePattern(pattern string) error {
	if !path.IsAbs(pattern) {
		return fmt.Errorf("path %q: want an absolute path or glob", pattern)
	}
	if !doublestar.ValidatePattern(pattern) {
		return fmt.Errorf("path %q: not a valid glob", pattern)
	}
	return nil
}
