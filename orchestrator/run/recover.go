package run

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// A service that was started again after a fault has to recover before its
// files say anything. Where a fault comes after the last unit of work, nothing
// else would wait for that.

// readyLine is the line by which a service says that it has come up.
type readyLine struct {
	service string
	text    string
	life    int // the newest that has said so
}

// readyLines are those that are known, one for each service: what a stable
// expectation says stands above the facts.
func (r *run) readyLines() []readyLine {
	var lines []readyLine
	add := func(service, text string) {
		known := slices.ContainsFunc(lines, func(line readyLine) bool { return line.service == service })
		if text != "" && !known {
			lines = append(lines, readyLine{service: service, text: text})
		}
	}
	for _, stable := range r.scenario.Expect.Stable {
		add(stable.Service, stable.Ready)
	}
	for service, text := range r.facts.Ready {
		add(service, text)
	}
	return lines
}

// seeReady takes a line in. It is called with the lock held.
func (p *progress) seeReady(event history.Event) {
	for i := range p.ready {
		line := &p.ready[i]
		if line.service == event.Service && strings.Contains(event.Text, line.text) {
			line.life = max(line.life, event.Incarnation)
		}
	}
}

// recovering are the services that a fault was done to and that live again.
func (r *run) recovering() []*service {
	var all []*service
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		s := r.services[name]
		if state := s.now(); s.faulted.Load() && state.running && state.incarnation > 1 {
			all = append(all, s)
		}
	}
	return all
}

// unready names the services that have not said yet that they have recovered,
// of those that say so.
func (r *run) unready() []string {
	var words []string
	for _, s := range r.recovering() {
		life := s.now().incarnation
		if said, says := r.progress.saidReady(s.spec.Name); says && said < life {
			words = append(words, s.spec.Name+" to be ready again")
		}
	}
	return words
}

// mayRecover says whether a service may still be recovering without a word
// about it: nothing but its silence tells when it has. One that is never
// silent is at work again.
func (r *run) mayRecover() bool {
	settle := time.Duration(r.scenario.Settle)
	return slices.ContainsFunc(r.recovering(), func(s *service) bool {
		if _, says := r.progress.saidReady(s.spec.Name); says {
			return false
		}
		life, now := r.progress.lifeOf(s.spec.Name), r.recorder.Now()
		return now-life.last < settle && now-life.began < longRecovery*settle
	})
}

// longRecovery is how many times the settle time a service is given to
// recover while it is never silent.
const longRecovery = 4

// lifeTime is when the newest life of a service began, and when it last did
// anything that is seen.
type lifeTime struct{ began, last time.Duration }

// seeLife takes an event in. It is called with the lock held.
func (p *progress) seeLife(event history.Event) {
	if event.Service == "" {
		return
	}
	life := p.lives[event.Service]
	if life.last = event.At; event.Kind == history.Started {
		life.began = event.At
	}
	p.lives[event.Service] = life
}

func (p *progress) lifeOf(service string) lifeTime {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lives[service]
}

// saidReady is the newest life of a service that has said that it has come up,
// and whether its lives say so.
func (p *progress) saidReady(service string) (life int, says bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.ready {
		if line.service == service {
			return line.life, true
		}
	}
	return 0, false
}
