package explore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Model is a failure model.
type Model string

// The failure models.
const (
	ProcessCrash Model = "process-crash" // SIGKILL: what was written survives in the page cache
	PowerLoss    Model = "power-loss"    // what was not synced is gone
)

// EveryVariant takes every way of losing what is not synced at a point.
const EveryVariant = 0

// Rules say which points are made of a recording.
type Rules struct {
	Service string
	Model   Model
	Seed    int
	// Variants is how many ways of losing what is not synced are taken at a
	// point; EveryVariant takes all.
	Variants int
	// Changed are files that the service is known to change, besides those
	// that it changes in the recording.
	Changed map[string]bool
	// Collected are globs of files that the checks are computed from: a read
	// of one is a point, whoever writes it.
	Collected []string
}

// ErrNoPoints says that there is nothing to crash at: a campaign of no points
// proves nothing.
var ErrNoPoints = errors.New("no crash points")

// Plan is the crash points of one recording. It is kept small, since there may
// be very many of them.
type Plan struct {
	Rules
	// Before is the crashes that come first, where the recording is of a
	// recovery.
	Before []Step
	// Recording is everything that was recorded, points or not.
	Recording
	// Skipped counts operations that are no points, by why.
	Skipped map[string]int
	// Possible is how many points there would be with every variant.
	Possible int

	points []planned
}

// planned is one point, in the fewest bytes.
type planned struct {
	operation int32
	timing    uint8
	kept      int64
	loss      scenario.Loss
}

var timings = [...]string{before, during, after}

// Why an operation is no point.
const (
	skipRead    = "reads of files that the service does not change and no check collects"
	skipDevice  = "calls on files of the kernel, such as those in /proc"
	skipDeleted = "calls on files without a name"
	skipResting = "calls while no unit of work is handled"
)

// NewPlan makes every operation of a recording into crash points, from its
// From on and at most so many operations (0: all): before it, after it, and in
// the middle of a write: after 1 byte, half, and all but 1.
func NewPlan(rules Rules, first []Step, recording Recording, most int) (*Plan, error) {
	p := &Plan{Rules: rules, Before: first, Recording: recording, Skipped: map[string]int{}}
	operations := recording.Operations
	end := len(operations)
	if most > 0 {
		end = min(end, recording.From+most)
	}
	changed := changedFiles(operations)
	for i := recording.From; i < end; i++ {
		if why := p.skips(&operations[i], changed); why != "" {
			p.Skipped[why]++
			continue
		}
		p.enumerate(i)
	}
	if len(p.points) == 0 {
		return nil, fmt.Errorf("%w: %s made %s, none of which changes a file, reads one that is changed or checked, talks to the broker or writes to stdout",
			ErrNoPoints, rules.Service, plural(end-recording.From, "operation"))
	}
	return p, nil
}

// changedFiles are the names that the service gives contents, takes or makes.
func changedFiles(operations []Operation) map[string]bool {
	changed := map[string]bool{}
	for i := range operations {
		switch o := &operations[i]; o.Operation {
		case "write", "truncate", "create", "rename", "unlink":
			changed[o.Path] = true
			if o.Other != "" {
				changed[o.Other] = true
			}
		}
	}
	return changed
}

// Matters says which operations of some recordings can be points: those that
// are one by what any of them changes.
func (r Rules) Matters(recordings []Recording) func(*Operation) bool {
	changed := map[string]bool{}
	for i := range recordings {
		maps.Copy(changed, changedFiles(recordings[i].Operations))
	}
	return func(o *Operation) bool { return r.skips(o, changed) == "" }
}

// skips says why an operation is no point; "" when it is one.
func (p *Rules) skips(o *Operation, changed map[string]bool) string {
	switch {
	case o.Resting:
		return skipResting
	case o.isAMQP():
		return ""
	case isDevice(o.Path):
		return skipDevice
	case strings.HasSuffix(o.Path, " (deleted)"):
		return skipDeleted
	case o.Operation == opRead && !changed[o.Path] && !p.Changed[o.Path] && !p.collects(o.Path):
		return skipRead
	}
	return ""
}

func (p *Rules) collects(file string) bool {
	return slices.ContainsFunc(p.Collected, func(glob string) bool { return doublestar.MatchUnvalidated(glob, file) })
}

// isDevice says whether a path is the kernel's rather than a file's. What the
// program prints is no device: it is seen by others.
func isDevice(file string) bool {
	if file == "/dev/stdout" || file == "/dev/stderr" || strings.HasPrefix(file, "/dev/shm/") {
		return false
	}
	return !strings.HasPrefix(file, "/") || strings.HasPrefix(file, "/proc/") || strings.HasPrefix(file, "/sys/") || strings.HasPrefix(file, "/dev/")
}

// enumerate makes the points of one operation.
func (p *Plan) enumerate(i int) {
	o := &p.Operations[i]
	p.add(i, before, 0)
	if o.Operation == opWrite {
		torn := []int64{1, o.Size / 2, o.Size - 1}
		slices.Sort(torn)
		for _, kept := range slices.Compact(torn) {
			if kept > 0 && kept < o.Size {
				p.add(i, during, kept)
			}
		}
	}
	if o.Operation != opRead || !isTransfer(o.Call) {
		p.add(i, after, 0)
	}
}

// isTransfer says whether a call moves data from one descriptor to another:
// as a read it can only be held before it is made.
func isTransfer(call string) bool {
	return call == "sendfile" || call == "splice" || call == "copy_file_range"
}

// add adds a point, under power loss in each of its variants.
func (p *Plan) add(i int, timing string, kept int64) {
	one := planned{operation: int32(i), timing: uint8(slices.Index(timings[:], timing)), kept: kept}
	if p.Model != PowerLoss {
		p.Possible++
		p.points = append(p.points, one)
		return
	}
	step := Step{Operation: p.Operations[i], Timing: timing, Kept: kept}
	all := losses(p.pending(i, timing), p.Seed)
	p.Possible += len(all)
	for _, loss := range draw(all, p.Variants, p.Seed, step.Point(p.Service).String()) {
		one.loss = loss
		p.points = append(p.points, one)
	}
}

// pending is how many changes are not synced at a point; -1 where it is not
// known. Behind an operation there are as many as before the next one of the
// life; a torn write leaves as many as a whole one.
func (p *Plan) pending(i int, timing string) int {
	if timing == before {
		return p.Operations[i].Pending
	}
	if i+1 < len(p.Operations) && p.Operations[i+1].Incarnation == p.Operations[i].Incarnation {
		return p.Operations[i+1].Pending
	}
	return -1
}

// Len is how many points there are.
func (p *Plan) Len() int { return len(p.points) }

// Item is the point of that number, from 0, in the order of the recording.
func (p *Plan) Item(number int) Item {
	steps := make([]Step, 0, len(p.Before)+1)
	steps = append(steps, p.Before...)
	item := Item{Steps: append(steps, p.step(number))}
	if unit := item.unit(); len(p.Before) == 0 && unit <= len(p.States) {
		item.State = p.States[unit-1]
	}
	return item
}

func (p *Plan) step(number int) Step {
	one := p.points[number]
	step := Step{Operation: p.Operations[one.operation], Timing: timings[one.timing], Kept: one.kept}
	if p.Model == PowerLoss {
		step.Lose = one.loss.String()
	}
	return step
}

// Text is the text form of the point of that number.
func (p *Plan) Text(number int) string {
	item := p.Item(number)
	return item.Text(p.Service)
}

// Kinds counts the points by operation.
func (p *Plan) Kinds() map[string]int {
	kinds := map[string]int{}
	for _, one := range p.points {
		kinds[p.Operations[one.operation].Operation]++
	}
	return kinds
}

// Left says what was recorded and is no point; empty where everything is one.
func (p *Plan) Left() []string {
	var left []string
	for _, why := range slices.Sorted(maps.Keys(p.Skipped)) {
		left = append(left, fmt.Sprintf("%s left out: %s", plural(p.Skipped[why], "operation"), why))
	}
	return left
}
