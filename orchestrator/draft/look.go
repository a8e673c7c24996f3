package draft

import (
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// looked is what a system shows of itself.
type looked struct {
	*system.System
	facts   scenario.Facts
	broker  *system.Service
	urlEnv  string   // the variable with the broker's amqp:// URL
	queues  []string // that variables name
	senders []string // services that hand in the work and exit
}

func look(sys *system.System) *looked {
	seen := &looked{System: sys}
	if sys.Facts != nil {
		seen.facts = *sys.Facts
	}
	seen.findBroker()
	seen.findURL()
	seen.findQueues()
	seen.findSenders()
	return seen
}

func (l *looked) findBroker() {
	if l.facts.Broker != nil {
		l.broker, _ = l.Service(l.facts.Broker.Service)
		return
	}
	for i := range l.Services {
		if isRabbitMQ(&l.Services[i]) {
			l.broker = &l.Services[i]
			return
		}
	}
}

// isRabbitMQ goes by the image's name, by the variables that RabbitMQ's image
// takes, and by the service's own name.
func isRabbitMQ(service *system.Service) bool {
	image, _, _ := strings.Cut(path.Base(service.Image), ":")
	if strings.Contains(image, "rabbitmq") {
		return true
	}
	for name := range service.Environment {
		if strings.HasPrefix(name, "RABBITMQ_DEFAULT_") || name == "RABBITMQ_NODENAME" || name == "RABBITMQ_ERLANG_COOKIE" {
			return true
		}
	}
	return service.Name == "rabbitmq" || service.Name == "rabbit"
}

// findURL looks for the variable in which most services have the broker's
// URL; the first by name of several.
func (l *looked) findURL() {
	if l.facts.Broker != nil {
		l.urlEnv = l.facts.Broker.URLEnv
		return
	}
	if l.broker == nil {
		return
	}
	count := map[string]int{}
	for _, service := range l.Services {
		for name, value := range service.Environment {
			if address, err := url.Parse(value); err == nil && (address.Scheme == "amqp" || address.Scheme == "amqps") && l.isBrokerHost(address.Hostname()) {
				count[name]++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if count[name] > count[l.urlEnv] {
			l.urlEnv = name
		}
	}
}

func (l *looked) isBrokerHost(host string) bool {
	if host == l.broker.Name || host == l.broker.ContainerName || host == l.broker.Hostname {
		return host != ""
	}
	return slices.ContainsFunc(l.broker.Networks, func(a system.Attachment) bool { return slices.Contains(a.Aliases, host) })
}

// usesBroker says whether a service talks to the broker: a variable names its
// host, or the service waits for it.
func (l *looked) usesBroker(service *system.Service) bool {
	if l.broker == nil || service.Name == l.broker.Name {
		return false
	}
	for _, value := range service.Environment {
		address, err := url.Parse(value)
		if err == nil && address.Host != "" && l.isBrokerHost(address.Hostname()) {
			return true
		}
		host, _, _ := strings.Cut(value, ":")
		if l.isBrokerHost(host) {
			return true
		}
	}
	return slices.ContainsFunc(service.DependsOn, func(d system.Dependency) bool { return d.Service == l.broker.Name })
}

// queueVariable is a variable that holds the name of a queue, or several:
// QUEUE, ORDERS_QUEUE, QUEUE_NAME, INPUT_QUEUES; not QUEUE_DURABLE.
var queueVariable = regexp.MustCompile(`(?i)^(.*_)?QUEUES?(_(NAMES?|IN|OUT|INPUT|OUTPUT|SOURCE|TARGET))?$`)

var queueName = regexp.MustCompile(`^[A-Za-z][\w.:/-]*$`)

// findQueues reads the queues that services are told in variables.
func (l *looked) findQueues() {
	if l.broker == nil {
		return
	}
	for i := range l.Services {
		if !l.usesBroker(&l.Services[i]) {
			continue
		}
		for name, value := range l.Services[i].Environment {
			if !queueVariable.MatchString(name) {
				continue
			}
			for _, queue := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
				if queueName.MatchString(queue) && !otherwise.MatchString(queue) && !strings.Contains(queue, "://") && !slices.Contains(l.queues, queue) {
					l.queues = append(l.queues, queue)
				}
			}
		}
	}
	slices.Sort(l.queues)
}

// sends is a name, or a part of one, of what hands in work and is then done.
// What may as well go on for ever, a producer, is not among them: a run that
// waits for its exit would never end.
var sends = regexp.MustCompile(`(?i)(^|[-_])(test|tests|runner|seed|seeder|feed|feeder|loader|import|importer|once|oneshot|fixture|fixtures)([-_]|$)`)

// findSenders takes services for senders that are named so and do not look
// as if they went on for ever.
func (l *looked) findSenders() {
	if l.facts.Done != nil {
		l.senders = l.facts.Done.Exited
		return
	}
	for i := range l.Services {
		service := &l.Services[i]
		goesOn := service.Restart.Active() || service.Healthcheck != nil || len(service.Ports) > 0
		if sends.MatchString(service.Name) && !goesOn && !l.isAwaited(service.Name) && (l.broker == nil || l.usesBroker(service)) {
			l.senders = append(l.senders, service.Name)
		}
	}
}

// isAwaited says whether others begin only when the service has exited: then
// it prepares the work and does not hand it in.
func (l *looked) isAwaited(name string) bool {
	return slices.ContainsFunc(l.Services, func(service system.Service) bool {
		return slices.ContainsFunc(service.DependsOn, func(d system.Dependency) bool {
			return d.Service == name && d.Condition == system.Completed
		})
	})
}
