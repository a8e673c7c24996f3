package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
	"github.com/killpoint/killpoint/orchestrator/trigger"
)

// interposer is the interposer in one service's container: the plan that each
// life is started with, and the link to it while the life lasts. It is what
// the triggers of crash points see.
type interposer struct {
	service *service
	points  []*pointState // of this service, in the order of the scenario
	// record is set where every operation of the service is to be recorded.
	record *Recording
	// holds is how many of its messages the service is held before, one after
	// the other, until it is let go on; see chain.
	holds int
	// stays is set on a bed: nothing is started with the container, and every
	// kind of point may be planned later.
	stays bool

	mu     sync.Mutex
	client *interpose.Client
	life   int  // that the plan is of
	over   bool // the run has ended: points are passed by
	before int  // the message that it is held before or was last, from 1
	free   bool // it is held before no further message
	linked sync.WaitGroup
}

// pointState is one planned crash point and how far it has come.
type pointState struct {
	planned *plannedFault
	follows bool // the fault just before it is a crash point of this service too
	point   interpose.Point
	armed   bool // the interposer of this life lets it fire
	wanted  bool // it may fire: the fault before it has fired
	fired   bool
	at      *history.Point // as it was met
	seen    int            // matching calls in the life that came furthest
	passed  int            // the life in which the call had been made when the point was armed; 0: none
	matches chan trigger.Match
}

// Recording asks for every operation of a service to be in the history, as
// events of the kind history.Operation.
type Recording struct {
	Service string
	// PowerLoss follows what is not synced too: Point.Pending is counted.
	PowerLoss bool
}

// interpose gives services that crash points are planned for, or that are to
// be recorded, an interposer.
func (r *run) interpose() error {
	if r.record != nil {
		target := r.services[r.record.Service]
		if target == nil || target.shared {
			return fmt.Errorf("record %s: it is no service of this run's own", r.record.Service)
		}
		target.interposer = &interposer{service: target, record: r.record}
	}
	before := ""
	for _, p := range r.planned {
		if !p.planned.When.IsCrashPoint() {
			before = ""
			continue
		}
		if p.target.interposer == nil {
			p.target.interposer = &interposer{service: p.target}
			if r.options.Record {
				p.target.interposer.record = &Recording{Service: p.planned.Service, PowerLoss: p.planned.LoseUnsynced != ""}
			}
		}
		point, err := planPoint(p)
		if err != nil {
			return err
		}
		i := p.target.interposer
		i.points = append(i.points, &pointState{
			planned: p, point: point, follows: before == p.planned.Service, matches: make(chan trigger.Match, 1),
		})
		before = p.planned.Service
	}
	return nil
}

// planPoint says a planned fault in the interposer's terms.
func planPoint(p *plannedFault) (interpose.Point, error) {
	when := p.planned.When
	point := interpose.Point{
		ID: strconv.Itoa(p.number), Operation: interpose.Operation(when.Kind), Path: when.Path, Queue: when.Queue,
		Occurrence: p.occurrence(), Incarnation: when.Incarnation, Timing: interpose.Timing(when.Timing),
	}
	if when.Kind == scenario.AMQP {
		point.Operation = interpose.Operation(when.Method)
	}
	if point.Timing == "" {
		point.Timing = interpose.Before
	}
	if when.Keep != "" {
		keep, err := interpose.ParseKeep(when.Keep)
		if err != nil {
			return point, err
		}
		point.Timing, point.Keep = interpose.During, keep
	}
	switch p.planned.Kind {
	case scenario.Fail:
		point.Action, point.Errno = interpose.Fail, p.planned.Errno
	case scenario.Short:
		point.Action, point.Bytes = interpose.Short, int64(*p.planned.Bytes)
	case scenario.Delay:
		point.Action, point.Wait = interpose.Delay, time.Duration(*p.planned.By)
	default:
		point.Action = interpose.Hold
	}
	point.Sum = point.Operation == interpose.Write
	if p.planned.LoseUnsynced != "" {
		lose, err := planLoss(p.planned.LoseUnsynced)
		if err != nil {
			return point, err
		}
		point.Lose = lose
	}
	return point, nil
}

// occurrence is which of the matching calls a repetition of a fault is for.
// A fault that is done to calls takes one after the other. One that ends the
// life begins to count anew; one that does not goes on where it was.
func (p *plannedFault) occurrence() int {
	first := max(p.planned.When.Occurrence, 1)
	switch {
	case p.planned.Kind.OnCall():
		return first + p.repetition
	case p.planned.Kind == scenario.Pause || p.planned.Kind == scenario.Disconnect:
		return first * (p.repetition + 1)
	}
	return first
}

// planLoss says which un-synced changes a power cut takes: lose-unsynced says
// what is lost, the interposer asks what survives.
func planLoss(text string) (*interpose.Lose, error) {
	loss, err := scenario.ParseLoss(text)
	if err != nil {
		return nil, fmt.Errorf("lose-unsynced: %w", err)
	}
	switch loss.Kind {
	case scenario.LoseAll:
		return &interpose.Lose{Survive: "none"}, nil
	case scenario.LoseNone:
		return &interpose.Lose{Survive: "all"}, nil
	case scenario.LoseSeed:
		return &interpose.Lose{Survive: "seed", Seed: uint64(loss.Number)}, nil
	case scenario.LosePrefix:
		return &interpose.Lose{Survive: "prefix", Count: loss.Number}, nil
	}
	return &interpose.Lose{Survive: string(loss.Kind), Index: loss.Number}, nil // drop, keep
}

// planID names the interposer's socket; containers that share a network may
// meet there.
func (i *interposer) planID() string {
	id := i.service.group.id + "-" + fileName(i.service.spec.Name)
	return id[:min(len(id), 64)]
}

// plan is what the next life is started with: the points that may fire now,
// those that follow them without a fault of another service between, and, to
// be counted from its start, those that are armed later.
func (i *interposer) plan(incarnation int) interpose.Plan {
	i.mu.Lock()
	defer i.mu.Unlock()
	plan := interpose.Plan{
		ID: i.planID(), Incarnation: incarnation, AwaitClient: true,
		Init: i.service.spec.Init != nil && *i.service.spec.Init,
	}
	if i.stays {
		plan.Stay, plan.Idle = true, true
		return plan
	}
	if i.record != nil {
		plan.Record = &interpose.Record{Operations: interpose.Operations, Sums: true}
		if i.record.PowerLoss {
			plan.PowerLoss = &interpose.PowerLoss{Paths: dataPaths(i.service.spec)}
		}
	}
	if i.over {
		return plan
	}
	i.life = incarnation
	for number := range i.holds {
		plan.Points = append(plan.Points, interpose.Point{
			ID: holdID + strconv.Itoa(number+1), Operation: interpose.Publish, Occurrence: number + 1, Timing: interpose.Before, Action: interpose.Hold,
		})
	}
	ready := false
	for _, p := range i.points {
		if p.armed, p.passed = false, 0; p.fired {
			ready = true // for the point behind it, though nobody may have armed that yet
			continue
		}
		ready = p.wanted || ready && p.follows
		p.armed = ready
		point := p.point
		point.Later = !ready
		plan.Points = append(plan.Points, point)
		if point.Lose != nil {
			plan.PowerLoss = &interpose.PowerLoss{Paths: dataPaths(i.service.spec)}
		}
	}
	return plan
}

// dataPaths are the files whose durability counts in a power loss: all that
// is mounted, since the rest of a container's files does not outlive it.
func dataPaths(spec system.Service) []string {
	var paths []string
	for _, mount := range spec.Mounts {
		if mount.Kind != system.MountTmpfs && !mount.ReadOnly {
			paths = append(paths, path.Join(mount.Target, "**"))
		}
	}
	if len(paths) == 0 {
		return []string{"/**"}
	}
	return paths
}

// install puts the interposer into a container that was just created.
func (i *interposer) install(ctx context.Context) error {
	binary, err := interpose.Binary(i.service.engine.Info().Arch)
	if err != nil {
		return err
	}
	upload, err := interpose.Install(binary, i.plan(1), i.service.spec.ReadOnly)
	if err != nil {
		return err
	}
	return i.put(ctx, upload)
}

// update gives the next life its plan.
func (i *interposer) update(ctx context.Context, incarnation int) error {
	upload, err := interpose.Update(i.plan(incarnation), i.service.spec.ReadOnly)
	if err != nil {
		return err
	}
	return i.put(ctx, upload)
}

func (i *interposer) put(ctx context.Context, upload interpose.Upload) error {
	if err := i.service.engine.CopyTo(ctx, i.service.id, upload.Path, bytes.NewReader(upload.Tar)); err != nil {
		return fmt.Errorf("put the interposer into %s: %w", i.service.spec.Name, err)
	}
	return nil
}

// withRoom raises a limit on the processes of the container's user by what
// the interposer takes.
func withRoom(limits []system.Ulimit) []system.Ulimit {
	limits = slices.Clone(limits)
	for index := range limits {
		if limit := &limits[index]; limit.Name == "nproc" && limit.Soft >= 0 && limit.Hard >= 0 {
			limit.Soft += interpose.Tasks
			limit.Hard += interpose.Tasks
		}
	}
	return limits
}

// errNoRoom says what to do where the interposer could not start its threads.
var errNoRoom = fmt.Errorf("the interposer cannot start its threads: raise the service's limit on processes (ulimits: nproc, which counts every process and thread of the container's user on this machine, or the engine's default for it, or pids_limit) by %d", interpose.Tasks)

// link connects to the interposer of the life that has just begun; its
// program starts when the link stands. The connection lasts as long as the
// life.
func (i *interposer) link(ctx context.Context) error {
	stream, err := i.service.engine.ExecStream(context.WithoutCancel(ctx), i.service.id, engine.ExecSpec{Command: interpose.ControlCommand(i.planID())})
	if err != nil {
		return fmt.Errorf("reach the interposer in %s: %w", i.service.spec.Name, err)
	}
	client, err := interpose.NewClient(stream, 0)
	if err != nil {
		return fmt.Errorf("reach the interposer in %s: %w", i.service.spec.Name, err)
	}
	hello := make(chan error, 1)
	i.mu.Lock()
	i.client = client
	i.mu.Unlock()
	i.linked.Go(func() {
		defer i.service.guard("hear the interposer of " + i.service.spec.Name)
		i.hear(client, hello)
		client.Close()
	})
	select {
	case err := <-hello:
		if err != nil && interpose.NoRoom(stream.Stderr()) {
			return errNoRoom
		}
		if err != nil {
			return err
		}
	case <-ctx.Done():
		client.Close()
		return ctx.Err()
	}
	return i.armWanted(ctx)
}

// hear takes the interposer's events in until its life ends.
func (i *interposer) hear(client *interpose.Client, hello chan<- error) {
	said := false
	answer := func(err error) {
		if !said {
			said = true
			hello <- err
		}
	}
	for event := range client.Events() {
		switch event.Kind {
		case interpose.Hello, interpose.Started:
			answer(nil)
		case interpose.Op, interpose.Reached:
			i.take(event)
		case interpose.Coverage:
			i.service.cover(event)
		case interpose.Failed:
			err := fmt.Errorf("the interposer of %s cannot go on: %s", i.service.spec.Name, event.Message)
			answer(err)
			i.service.abort(err)
		case interpose.Exited:
			i.count(event)
		}
	}
	answer(fmt.Errorf("reach the interposer in %s: %w", i.service.spec.Name, errors.Join(client.Err())))
}

// cover warns of what the interposer cannot see.
func (s *service) cover(event interpose.Event) {
	s.warn("coverage of %s is incomplete: %s", s.spec.Name, event.Message)
}

// take takes in what the program came to.
func (i *interposer) take(event interpose.Event) {
	switch event.Kind {
	case interpose.Op:
		i.recorded(event)
	case interpose.Reached:
		i.reached(event)
	}
}

// linkedTo says by what client the life that has begun is reached.
func (i *interposer) linkedTo(ctx context.Context, client *interpose.Client) error {
	i.mu.Lock()
	i.client = client
	i.mu.Unlock()
	return i.armWanted(ctx)
}

// unlinked says that a life is over whose client goes on.
func (i *interposer) unlinked() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.client = nil
}

// reached tells the trigger of a point, and records it as the interposer saw
// it.
func (i *interposer) reached(event interpose.Event) {
	if number, is := strings.CutPrefix(event.Point, holdID); is {
		i.heldAt(number)
		return
	}
	number, err := strconv.Atoi(event.Point)
	if err != nil {
		return // a point that is no fault's
	}
	p := i.find(number)
	if p == nil {
		return
	}
	point := historyPoint(event)
	recorded := i.service.recorder.Add(history.Event{
		Kind: history.PointReached, Service: i.service.spec.Name, Incarnation: event.Incarnation,
		Fault: number, Text: point.String(), Point: point,
	})
	i.mu.Lock()
	p.fired, p.at = true, point
	over := i.over
	i.mu.Unlock()
	if over && event.Held {
		// Nobody waits for it any more; the answer comes as an event.
		go i.release(context.Background())
	}
	select {
	case p.matches <- trigger.Match{At: recorded.At, Service: i.service.spec.Name, Incarnation: event.Incarnation, Text: point.String()}:
	default: // a fault that is done several times in a row fires once
	}
}

// holdID and a number, from 1, name the point before a message of the service.
const holdID = "message-"

// heldAt takes in that the service is held before a message.
func (i *interposer) heldAt(number string) {
	i.mu.Lock()
	i.before, _ = strconv.Atoi(number)
	free := i.over || i.free
	i.mu.Unlock()
	if free {
		go i.release(context.Background())
	}
	i.service.onRead()
}

// heldBefore is the message that the service is held before, or was last, from
// 1; 0 where it came to none.
func (i *interposer) heldBefore() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.before
}

// letGo holds the service before no message any more.
func (i *interposer) letGo(ctx context.Context) error {
	i.mu.Lock()
	i.free = true
	i.mu.Unlock()
	return i.release(ctx)
}

// find gives the point of a fault; nil where there is none.
func (i *interposer) find(number int) *pointState {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.points {
		if p.planned.number == number {
			return p
		}
	}
	return nil
}

// add plans one more point, for a life that has not begun; it is armed later.
func (i *interposer) add(planned *plannedFault) error {
	point, err := planPoint(planned)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.points = append(i.points, &pointState{planned: planned, point: point, matches: make(chan trigger.Match, 1)})
	return nil
}

// remove takes back a point that was never armed.
func (i *interposer) remove(planned *plannedFault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.points = slices.DeleteFunc(i.points, func(p *pointState) bool { return p.planned == planned })
}

// recorded takes an operation into the history. What is traced for a point
// that is armed later is nobody's recording.
func (i *interposer) recorded(event interpose.Event) {
	if i.record == nil {
		return
	}
	i.service.recorder.Add(history.Event{
		Kind: history.Operation, Service: i.service.spec.Name, Incarnation: event.Incarnation, Point: historyPoint(event),
	})
}

func historyPoint(event interpose.Event) *history.Point {
	point := &history.Point{
		Operation: string(event.Operation), Call: event.Call, Path: event.Path, Other: event.Other, Queue: event.Queue,
		Occurrence: event.Occurrence, Timing: string(event.Timing), Size: event.Size, Offset: event.Offset, Kept: event.Kept,
		Action: string(event.Action), Sum: event.Sum, Pending: event.Pending, Inexact: event.Inexact, Quiesce: event.Quiesce,
	}
	lost := map[int64]bool{}
	for _, id := range event.Lost {
		lost[id] = true
	}
	for _, change := range event.Unsynced {
		point.Unsynced = append(point.Unsynced, history.Unsynced{
			Operation: string(change.Operation), Path: change.Path, Other: change.Other,
			Offset: change.Offset, Size: change.Size, Lost: lost[change.ID],
		})
	}
	return point
}

// count takes in how many calls a life, which has ended, had for each point.
func (i *interposer) count(event interpose.Event) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.points {
		if p.in(event.Incarnation) {
			p.seen = max(p.seen, event.Counts[p.point.ID])
		}
	}
}

// Arm lets the program come to the point: in this life, when it has begun,
// and else in the next.
func (i *interposer) Arm(number int) error {
	i.mu.Lock()
	known := false
	for _, p := range i.points {
		if p.planned.number == number {
			p.wanted, known = true, true
		}
	}
	i.mu.Unlock()
	if !known {
		return fmt.Errorf("arm crash point of fault %d: %s has no such point", number, i.service.spec.Name)
	}
	return i.armWanted(context.Background())
}

// armWanted arms, in a life that has begun, the points that may fire and that
// its plan had for later.
func (i *interposer) armWanted(ctx context.Context) error {
	for {
		i.mu.Lock()
		client, life := i.client, i.life
		next := slices.IndexFunc(i.points, func(p *pointState) bool { return p.wanted && !p.armed && !p.fired })
		if next < 0 || client == nil || client.Err() != nil {
			i.mu.Unlock()
			return nil // what a life that is over has not armed is in the next one's plan
		}
		p := i.points[next]
		p.armed = true
		i.mu.Unlock()
		asking, cancel := context.WithTimeout(ctx, armTime)
		counts, err := client.Arm(asking, p.point.ID)
		cancel()
		over := errors.Is(err, interpose.ErrDetached) || errors.Is(err, interpose.ErrNoProgram)
		if err != nil && !over {
			return fmt.Errorf("arm crash point of fault %d: %w", p.planned.number, err)
		}
		i.mu.Lock()
		if over {
			p.armed = false
			over = i.client == client
		} else if p.seen = max(p.seen, counts[p.point.ID]); counts[p.point.ID] >= p.point.Occurrence && p.in(life) {
			p.passed = life
		}
		i.mu.Unlock()
		if over {
			return nil
		}
	}
}

// in says whether the point can be reached in a life.
func (p *pointState) in(life int) bool {
	return p.point.Incarnation == 0 || p.point.Incarnation == life
}

// armTime is the longest that an interposer may take to answer.
const armTime = 10 * time.Second

// Reached: see trigger.Points.
func (i *interposer) Reached(number int) <-chan trigger.Match {
	if p := i.find(number); p != nil {
		return p.matches
	}
	return nil
}

// Seen: see trigger.Points.
func (i *interposer) Seen(number int) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.points {
		if p.planned.number == number {
			switch {
			case p.seen == 0:
				return "its crash point was not reached"
			case p.passed > 0:
				return fmt.Sprintf("matching call %d of incarnation %d had come before the fault was armed", p.point.Occurrence, p.passed)
			}
			return fmt.Sprintf("its crash point was not reached: %d of %d matching calls had come in one life", p.seen, p.point.Occurrence)
		}
	}
	return ""
}

// met is the crash point of a fault as the program came to it.
func (i *interposer) met(number int) *history.Point {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.points {
		if p.planned.number == number {
			return p.at
		}
	}
	return nil
}

// pass lets the program pass by every point from now on.
func (i *interposer) pass() {
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}

// release lets a held program go on; a fault that leaves it alive needs it.
func (i *interposer) release(ctx context.Context) error {
	i.mu.Lock()
	client := i.client
	i.mu.Unlock()
	if client == nil {
		return nil
	}
	err := client.Release(ctx)
	if errors.Is(err, interpose.ErrDetached) {
		return nil // it is dead
	}
	return err
}

// capabilities are what the container must be given on top of its own:
// another process's sockets, and what a short read left in a file, can only
// be reached through a copy of its descriptor.
func (i *interposer) capabilities() []string {
	if i.stays {
		return []string{"SYS_PTRACE"}
	}
	if i.record != nil {
		i.service.warn("%s was given the capability SYS_PTRACE: to record its calls on sockets needs it", i.service.spec.Name)
		return []string{"SYS_PTRACE"}
	}
	if i.holds > 0 {
		i.service.warn("%s was given the capability SYS_PTRACE: to be held before its messages needs it", i.service.spec.Name)
		return []string{"SYS_PTRACE"}
	}
	for _, p := range i.points {
		if p.point.Operation.AMQP() || p.point.Operation == interpose.Read && p.point.Action == interpose.Short {
			i.service.warn("%s was given the capability SYS_PTRACE: its crash points on sockets and short reads need it", i.service.spec.Name)
			return []string{"SYS_PTRACE"}
		}
	}
	return nil
}

// command is what the container runs in place of its own: the interposer,
// with the entrypoint and command of the compose file, else of the image.
func (i *interposer) command(image engine.Image) ([]string, error) {
	spec := i.service.spec
	entrypoint, command := spec.Entrypoint, spec.Command
	if entrypoint == nil {
		entrypoint = image.Entrypoint
		if command == nil {
			command = image.Command
		}
	}
	if len(entrypoint)+len(command) == 0 {
		return nil, fmt.Errorf("put the interposer before the command of %s: neither its image nor the compose file says what it runs", spec.Name)
	}
	return interpose.Command(entrypoint, command), nil
}
