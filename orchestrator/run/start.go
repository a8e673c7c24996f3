package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// prepare makes everything that the run needs, with nothing started but a
// shared broker.
func (r *run) prepare(ctx context.Context) (err error) {
	r.phase("preparing")
	for _, warning := range r.system.Warnings {
		r.warn("%s", warning)
	}
	if r.unswept != nil {
		r.warn("leftovers of earlier runs could not be removed: %v", r.unswept)
	}
	if externals := r.system.Externals(); len(externals) > 0 && !r.options.AllowExternal {
		return fmt.Errorf("the compose file uses what other systems may use too: %s (give --allow-external if a run may)", strings.Join(externals, ", "))
	}
	if r.progress, err = r.newProgress(); err != nil {
		return err
	}
	// It is never stopped: the recorder ends with the run.
	r.recorder.Watch(r.progress.see)
	r.depths = map[string]broker.Depth{}

	share := r.mayShare()
	var own []*service
	for _, spec := range r.participants() {
		s := newService(r.group, spec)
		r.services[spec.Name] = s
		if share && spec.Name == r.facts.Broker.Service {
			s.shared, s.home = true, fixture{}
			continue
		}
		own = append(own, s)
	}
	if err := r.plan(); err != nil {
		return err
	}
	if err := r.interpose(); err != nil {
		return err
	}
	if r.chain != nil {
		if err := r.prepareChain(ctx); err != nil {
			return err
		}
	}
	if r.bed != nil {
		return r.occupy(ctx)
	}
	if r.facts.Broker == nil {
		return r.create(ctx, own)
	}
	return r.prepareBroker(ctx, own, share)
}

// participants are the services of this run.
func (r *run) participants() []system.Service {
	if r.bed != nil {
		return r.bed.services()
	}
	return r.system.Services
}

// prepareBroker makes the containers while the shared broker boots, or makes
// the broker's container with the others.
func (r *run) prepareBroker(ctx context.Context, own []*service, share bool) error {
	address, err := r.address()
	if err != nil {
		return err
	}
	r.broker = &brokerLink{service: r.services[r.facts.Broker.Service], user: address.User, virtualHost: address.VirtualHost}
	if !share {
		r.broker.broker = broker.Open(shell{r.broker.service})
		return r.create(ctx, own)
	}
	r.broker.virtualHost = "kp-" + r.id
	for _, s := range own {
		if s.environment, err = r.withVirtualHost(s.spec, r.broker.virtualHost); err != nil {
			return err
		}
	}
	making, making2 := errgroup.WithContext(ctx)
	making.Go(safely("create containers", func() error { return r.create(making2, own) }))
	making.Go(safely("boot the shared broker", func() error {
		shared, err := r.brokers.get(making2, r.system, r.broker.service.spec, r.recorder)
		if err != nil {
			return fmt.Errorf("boot the shared broker: %w", err)
		}
		r.broker.shared, r.broker.broker = shared, shared.broker
		defer r.recorder.Span(history.SpanContainers, "virtual host")()
		return shared.broker.CreateVirtualHost(making2, r.broker.virtualHost, r.broker.user)
	}))
	if err := making.Wait(); err != nil {
		return err
	}
	return r.joinBroker(ctx)
}

// joinBroker connects the shared broker to this run's networks, under the
// names that the compose file gives it.
func (r *run) joinBroker(ctx context.Context) error {
	defer r.recorder.Span(history.SpanContainers, "connect the broker")()
	placeholder := r.broker.service
	for _, attachment := range placeholder.spec.Networks {
		r.group.mu.Lock()
		id := r.networks[attachment.Network]
		r.group.mu.Unlock()
		if id == "" {
			continue // nobody else is on it
		}
		attachment.Network = id
		if err := r.engine.Connect(ctx, r.broker.shared.main.id, attachment); err != nil {
			return fmt.Errorf("connect the shared broker: %w", err)
		}
	}
	placeholder.see(engine.Event{Action: engine.ActionStart})
	placeholder.see(engine.Event{Action: engine.ActionHealthy})
	return nil
}

// leaveBroker takes the run's traces off the shared broker.
func (r *run) leaveBroker(ctx context.Context) {
	if r.broker == nil || r.broker.broker == nil {
		return
	}
	if r.broker.shared == nil {
		r.broker.broker.Close()
		return
	}
	if r.options.Keep {
		return
	}
	r.group.mu.Lock()
	networks := r.made.Networks
	r.group.mu.Unlock()
	for _, network := range networks {
		if err := r.engine.Disconnect(ctx, r.broker.shared.main.id, network.Name); err != nil {
			r.warn("the shared broker could not be disconnected: %v", err)
		}
	}
	if err := r.broker.broker.DeleteVirtualHost(ctx, r.broker.virtualHost); err != nil {
		r.warn("%v", err)
	}
}

// startAll starts the containers. It returns when every service has been
// started, which depends_on may make wait for others to be healthy.
func (r *run) startAll(ctx context.Context) error {
	r.phase("starting")
	ctx, cancel := context.WithTimeoutCause(ctx, r.startLimit, fmt.Errorf("not everything was up after %s", r.startLimit))
	defer cancel()
	if r.bed == nil {
		if err := r.watch(ctx); err != nil {
			return err
		}
	}
	var own []*service
	for _, spec := range r.participants() {
		if s := r.services[spec.Name]; !s.shared {
			own = append(own, s)
		}
	}
	bootSpan := func() {}
	if r.bed == nil && r.broker != nil && r.broker.shared == nil {
		bootSpan = r.spanOfBoot(ctx)
	}
	defer bootSpan()
	if err := r.start(ctx, own); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: %s", context.Cause(ctx), strings.Join(r.notUp(own), "; "))
		}
		return err
	}
	return nil
}

// notUp says of each service that was not started what it waits for.
func (r *run) notUp(own []*service) []string {
	var words []string
	for _, s := range own {
		if s.now().incarnation > 0 {
			continue
		}
		waits := []string{}
		for _, dependency := range s.spec.DependsOn {
			other := r.services[dependency.Service]
			if other == nil {
				continue
			}
			if met, err := dependencyMet(other, dependency)(other.now()); !met || err != nil {
				waits = append(waits, fmt.Sprintf("%s (%s)", dependency.Service, dependency.Condition))
			}
		}
		words = append(words, fmt.Sprintf("%s waits for %s", s.spec.Name, strings.Join(waits, ", ")))
	}
	return words
}

// spanOfBoot measures how long the run's own broker takes to be healthy.
func (r *run) spanOfBoot(ctx context.Context) (end func()) {
	booting, cancel := context.WithCancel(ctx)
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		s := r.broker.service
		if s.await(booting, func(state serviceState) (bool, error) { return state.incarnation > 0, nil }) != nil {
			return
		}
		end := r.recorder.Span(history.SpanBroker, s.spec.Name)
		if s.awaitHealthy(booting) == nil {
			end()
		}
	}()
	return func() {
		cancel()
		<-measured
	}
}

// removeAfter removes the run's containers, or says how to look at them.
func (r *run) removeAfter(ctx context.Context) {
	if r.bed != nil {
		defer r.recorder.Span(history.SpanRemoval, "")()
		r.phase("removing")
		r.bed.vacate(ctx)
		return
	}
	ctx, cancel := removalContext(ctx)
	defer cancel()
	if r.options.Keep {
		for _, s := range r.services {
			s.stopFollowing()
		}
		r.watching()
		r.recorder.Add(history.Event{Kind: history.Warning, Text: fmt.Sprintf("containers are kept: docker ps -a --filter label=%s=%s lists them, docker logs %s shows one's log, killpoint clean removes them", labelRun, r.id, r.exampleContainer())})
		return
	}
	defer r.recorder.Span(history.SpanRemoval, "")()
	r.phase("removing")
	r.leaveBroker(ctx)
	r.remove(ctx)
}

func (r *run) exampleContainer() string {
	for _, spec := range r.system.Services {
		if !r.services[spec.Name].shared {
			return r.name(spec.Name)
		}
	}
	return r.name("SERVICE")
}

func hasHealthcheck(spec system.Service, image engine.Image) bool {
	return healthcheck(spec, image) != nil
}

// healthcheck is the health check that the engine would make; nil for none.
func healthcheck(spec system.Service, image engine.Image) *system.Healthcheck {
	check := spec.Healthcheck
	if check == nil || len(check.Test) == 0 {
		check = image.Healthcheck
	}
	if check == nil || len(check.Test) == 0 || check.Test[0] == "NONE" {
		return nil
	}
	return check
}
