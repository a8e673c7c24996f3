package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// killedTarget is a target whose container dies for real on a bed: a SIGKILL
// of its program is one of the container, by the engine, which starts the same
// container again for the next life. What a trial leaves is put back as
// elsewhere on the bed. The volumes are put back by the resident of the target,
// in which no program runs: the container that is killed would forget what was
// in them. For the same reason, what a killed life has changed in the
// container's own files cannot be put back, and the container is replaced
// after the trial. The resident has the networks, too, and the container that is
// killed uses its: to set up networks takes an engine as long as all the rest.
type killedTarget struct {
	bed   *Bed
	group *group                   // of the container
	place atomic.Pointer[resident] // in the container; nil: there is none
	made  int                      // containers so far
}

// ready gives the place, in a container that runs.
func (k *killedTarget) ready(ctx context.Context) (*resident, error) {
	place := k.place.Load()
	if place == nil {
		var err error
		if place, err = k.make(ctx); err != nil {
			return nil, err
		}
	}
	return place, place.wake(ctx)
}

// make makes the container, on the bed's networks and volumes.
func (k *killedTarget) make(ctx context.Context) (*resident, error) {
	b := k.bed
	beside := b.residents[b.choice.Target]
	k.made++
	g := b.newGroup(fmt.Sprintf("%s-%d", b.group.id, k.made), b.group.labels[labelScenario], b.system, b.group.recorder)
	b.group.mu.Lock()
	g.copies, g.volumes = b.group.copies, b.group.id
	b.group.mu.Unlock()
	s := newService(g, beside.spec)
	s.spec.DependsOn, s.spec.Restart = nil, system.RestartPolicy{}
	s.spec.Healthcheck = &system.Healthcheck{Test: []string{"NONE"}}
	joinNetworks(&s.spec, beside.made.id)
	s.environment = beside.made.environment // which tells it of the bed's place on the broker
	s.interposer = &interposer{service: s, stays: true}
	place := newResident(b, s)
	place.spec, place.image, place.dies = beside.spec, beside.image, true
	for _, mount := range s.spec.Mounts {
		if mount.Source != "" && slices.Contains(beside.volumes, mount.Target) {
			place.volumes = append(place.volumes, mount.Target) // others are of one container alone
		}
	}
	k.group = g
	k.place.Store(place)
	if err := s.create(ctx); err != nil {
		removing, cancel := removalContext(ctx)
		defer cancel()
		k.remove(removing)
		return nil, err
	}
	s.stopFollowing() // lines come from the interposer
	return place, nil
}

// joinNetworks has a container use the networks of another, with everything that
// belongs to them.
func joinNetworks(spec *system.Service, id string) {
	spec.Networks, spec.NetworkMode = nil, "container:"+id
	spec.Hostname, spec.DomainName, spec.ExtraHosts, spec.Ports = "", "", nil, nil
	spec.DNS, spec.DNSOptions, spec.DNSSearch = nil, nil, nil
	spec.Sysctls = maps.Clone(spec.Sysctls)
	maps.DeleteFunc(spec.Sysctls, func(name, _ string) bool { return strings.HasPrefix(name, "net.") })
}

// reset ends what runs in the container and forgets the trial. A container
// that is not what it was is removed.
func (k *killedTarget) reset(ctx context.Context) error {
	place := k.place.Load()
	if place == nil {
		return nil
	}
	place.tenant.Store(nil)
	if place.isSpent() {
		k.remove(ctx)
		return nil
	}
	return place.reset(ctx)
}

// putBack puts the container's own files back. One that is down has none to
// put back: what a killed life had changed has spent it.
func (k *killedTarget) putBack(ctx context.Context) error {
	place := k.place.Load()
	if place == nil || place.down() {
		return nil
	}
	return place.putBack(ctx)
}

func (k *killedTarget) remove(ctx context.Context) {
	place := k.place.Swap(nil)
	if place == nil {
		return
	}
	place.leave()
	k.group.remove(ctx)
}

// wake starts the container where it is down, and connects to the interposer
// in it.
func (r *resident) wake(ctx context.Context) error {
	if !r.down() {
		return nil
	}
	if err := r.bed.engine.Start(ctx, r.made.id); err != nil {
		return r.made.withTail(ctx, fmt.Errorf("start %s: %w", r.spec.Name, err))
	}
	return r.open(ctx)
}

// dieWithContainer has the engine kill the container. The program is stopped
// first, so that what it has written to its log is known.
func (r *resident) dieWithContainer(ctx context.Context) error {
	select {
	case <-r.frozen: // of a kill that was given up
	default:
	}
	r.mu.Lock()
	client, gone := r.client, r.gone
	r.mu.Unlock()
	err := client.Freeze(ctx)
	if errors.Is(err, interpose.ErrNoProgram) {
		return nil // it had just ended by itself
	}
	if err != nil {
		return err
	}
	// Nothing that the trial waits for ends it halfway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), residentPatience)
	defer cancel()
	var frozen interpose.Event
	select {
	case frozen = <-r.frozen:
	case <-gone:
		return cmp.Or(r.bed.Err(), errDown)
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	r.dying = true
	r.spent = r.spent || frozen.Changed
	r.mu.Unlock()
	if err := r.bed.engine.Kill(ctx, r.made.id, "SIGKILL"); err != nil {
		return err
	}
	code, err := r.bed.engine.WaitStopped(ctx, r.made.id)
	if err != nil {
		return err
	}
	r.leave()
	if s := r.tenant.Load(); s != nil {
		end := frozen
		if end.Kind = interpose.Killed; code != killedCode {
			end.Kind, end.Code = interpose.Exited, code // of something else, which counts for no crash
		}
		r.tell(s, end)
	}
	r.set(false)
	return nil
}

// killedCode is the exit code of what SIGKILL ended.
const killedCode = 137

// leave ends the connection to an interposer that is gone, or is about to be.
func (r *resident) leave() {
	r.mu.Lock()
	client, gone := r.client, r.gone
	r.dying, r.client = true, nil
	r.mu.Unlock()
	if client != nil {
		client.Close()
		<-gone
	}
}

// down says that the container is, as it may be where it dies.
func (r *resident) down() bool { return r.link() == nil }

func (r *resident) isSpent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spent
}

// errDown says that nobody is there to ask.
var errDown = fmt.Errorf("its container is down: %w", engine.ErrNotRunning)
