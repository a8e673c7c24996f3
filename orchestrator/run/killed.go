package run

import (
	"context"
	"sync/atomic"
)

// killedTarget is a target whose containers are killed for real on a bed where
// everybody else stays: each trial gives it a fresh container, on the bed's
// networks and volumes. The resident of the target runs no program then; it
// only puts the volumes back.
type killedTarget struct {
	bed    *Bed
	tenant atomic.Pointer[service] // of the trial under way
}

// make makes the container of a trial.
func (k *killedTarget) make(ctx context.Context, r *run, s *service) error {
	r.group.id += trialSuffix
	r.group.mu.Lock()
	r.group.networks, r.group.copies = k.bed.group.networks, k.bed.group.copies
	r.group.volumes = k.bed.group.id
	r.group.mu.Unlock()
	// The environment tells it of the bed's place on the broker.
	s.environment = k.bed.residents[s.spec.Name].made.environment
	k.tenant.Store(s)
	return s.create(ctx)
}

// trialSuffix tells the target's container from the resident's.
const trialSuffix = "-trial"
