package draft

import (
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// choice says whether something is known or guessed.
type choice bool

const (
	known   choice = false
	guessed choice = true
)

// remark stands behind a line of the scenario.
func (c choice) remark() string {
	if c == guessed {
		return " # guessed"
	}
	return ""
}

// words stand before what a note says.
func (c choice) words() string {
	if c == guessed {
		return "guessed: "
	}
	return ""
}

// victim is the service to hurt: the one that was asked for, else the one
// whose files are checked, else the one that looks most like a worker.
func (l *looked) victim(wanted string) (*system.Service, choice, error) {
	if wanted != "" {
		service, found := l.Service(wanted)
		if !found {
			return nil, known, ErrService{wanted, fmt.Sprintf("the system has no such service; it has %s", and(l.ServiceNames()))}
		}
		return service, known, nil
	}
	if l.facts.Rows != nil {
		if service, found := l.Service(l.facts.Rows.Output.Service); found {
			return service, known, nil
		}
	}
	var best *system.Service
	for i := range l.Services {
		if service := &l.Services[i]; best == nil || l.suits(service) > l.suits(best) {
			best = service
		}
	}
	return best, choice(len(l.Services) > 1), nil
}

// How services are called that take work in, and those that do not.
var (
	works    = regexp.MustCompile(`(?i)worker|consumer|processor|handler|writer|subscriber|listener|ledger|sink|ingest`)
	doesNot  = regexp.MustCompile(`(?i)producer|publisher|sender|generator|migrat|web|front|gateway|proxy|nginx|client|monitor|exporter|prometheus|grafana|admin|adminer|init`)
	database = regexp.MustCompile(`(?i)^(postgres|mysql|mariadb|mongo|redis|valkey|memcached|elasticsearch|minio|zookeeper|etcd)`)
)

// suits says how much a service looks like a worker whose crash is worth
// trying.
func (l *looked) suits(service *system.Service) int {
	points := 0
	if works.MatchString(service.Name) {
		points += 4
	}
	if doesNot.MatchString(service.Name) || database.MatchString(path.Base(service.Image)) {
		points -= 4
	}
	if slices.Contains(l.senders, service.Name) || l.isAwaited(service.Name) {
		points -= 8
	}
	if l.broker != nil && service.Name == l.broker.Name {
		points -= 16
	}
	if l.usesBroker(service) {
		points += 2
	}
	if folder := dataFolder(service); folder != "" {
		points++
	}
	for _, other := range l.Services {
		if slices.ContainsFunc(other.DependsOn, func(d system.Dependency) bool { return d.Service == service.Name }) {
			points++
			break
		}
	}
	return points
}

// dataFolder is the first volume that the service can write to.
func dataFolder(service *system.Service) string {
	for _, mount := range service.Mounts {
		if !mount.ReadOnly && !mount.File && mount.Kind != system.MountTmpfs {
			return mount.Target
		}
	}
	return ""
}

// moment is when the service is hurt.
type moment struct {
	yaml  string // the trigger
	words string // in the words of the description
	why   string // the comment beside it
}

// moment takes the most telling crash point that the system is known to come
// to.
func (l *looked) moment(victim *system.Service) moment {
	folder := dataFolder(victim)
	switch rows := l.facts.Rows; {
	case rows != nil && rows.Output.Service == victim.Name:
		return moment{
			yaml:  fmt.Sprintf("{write: %s, occurrence: 2}", Scalar(rows.Output.Files)),
			words: "before its second write to a file of rows",
			why:   "try keep: half, or timing: after",
		}
	case l.usesBroker(victim):
		return moment{
			yaml:  "{amqp: ack, occurrence: 1, timing: before}",
			words: "before it acknowledges its first message",
			why:   "the work is done, and the broker does not know it",
		}
	case folder != "":
		return moment{
			yaml:  fmt.Sprintf("{write: %s, occurrence: 1}", Scalar(path.Join(folder, "**"))),
			words: "before its first write to " + folder,
			why:   "guessed: it writes there; try keep: half, or timing: after",
		}
	}
	return moment{
		yaml:  "{after: 1s}",
		words: "after a second",
		why:   "a guess about speed; a log line or a crash point is exact",
	}
}
