package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// checkServices refuses every service that the system does not have.
func (b *binder) checkServices() {
	for i, fault := range b.Faults {
		path := fmt.Sprintf("faults[%d]", i)
		b.needService(join(path, string(fault.Kind)), fault.Service)
		// A trigger that names none watches the service of its fault, which
		// is refused already.
		if fault.When.Service != fault.Service {
			b.needService(path+".when.service", fault.When.Service)
		}
	}
	for i, entry := range b.Expect.Logs {
		b.needService(fmt.Sprintf("expect.logs[%d].service", i), entry.Service)
	}
	for i, entry := range b.Expect.Run {
		b.needService(fmt.Sprintf("expect.run[%d].service", i), entry.Service)
	}
	for i, entry := range b.Expect.Stable {
		b.needService(fmt.Sprintf("expect.stable[%d].service", i), entry.Service)
	}
	for _, service := range slices.Sorted(maps.Keys(b.Expect.Exits)) {
		b.needService("expect.exits."+service, service)
	}
	b.checkFactServices(b.Scenario.Facts)
}

// checkFactServices is checkServices for the facts.
func (b *binder) checkFactServices(f *Facts) {
	if f == nil {
		return
	}
	if f.Broker != nil {
		b.needService(factsKey+".broker.service", f.Broker.Service)
		b.checkAddress(f.Broker)
	}
	if f.Done != nil {
		for i, service := range f.Done.Exited {
			b.needService(fmt.Sprintf("%s.done.exited[%d]", factsKey, i), service)
		}
		for i, service := range f.Done.Needs {
			b.needService(fmt.Sprintf("%s.done.needs[%d]", factsKey, i), service)
		}
		if len(f.Done.Drained) > 0 && f.Broker == nil {
			b.refuse(factsKey+".done.drained", "add broker: {service: …} to x-killpoint", "queues are named, but no broker that has them")
		}
	}
	for _, service := range slices.Sorted(maps.Keys(f.Ready)) {
		b.needService(factsKey+".ready."+service, service)
	}
	if f.Explore != nil {
		b.checkWithout(f)
	}
	if f.Verdicts != nil {
		b.needService(factsKey+".verdicts.service", f.Verdicts.Service)
	}
	if f.Rows != nil {
		b.needService(factsKey+".rows.sent.service", f.Rows.Sent.Service)
		b.needService(factsKey+".rows.output.service", f.Rows.Output.Service)
	}
}

// checkWithout refuses to leave out of trials what they are judged by.
func (b *binder) checkWithout(f *Facts) {
	for i, service := range f.Explore.Without {
		path := fmt.Sprintf("%s.explore.without[%d]", factsKey, i)
		b.needService(path, service)
		needed := f.Done != nil && slices.Contains(slices.Concat(f.Done.Exited, f.Done.Needs), service) ||
			f.Broker != nil && f.Broker.Service == service ||
			f.Verdicts != nil && f.Verdicts.Service == service ||
			f.Rows != nil && (f.Rows.Sent.Service == service || f.Rows.Output.Service == service)
		if needed {
			b.refuse(path, "leave it in", "service %s takes part: x-killpoint judges by it", service)
		}
	}
}

// needService refuses a service that the system does not have. An empty name
// was refused before.
func (b *binder) needService(path, service string) {
	if service == "" || slices.Contains(b.Services, service) {
		return
	}
	services := slices.Sorted(slices.Values(b.Services))
	b.refuse(path, didYouMean(service, services, "the system's services"), "unknown service %q", service)
}

// checkAddress refuses a url_env that no service has: then nobody would be
// told the run's virtual host.
func (b *binder) checkAddress(broker *Broker) {
	if broker.URLEnv == "" || b.Variable == nil {
		return
	}
	for _, service := range b.Services {
		if _, given := b.Variable(service, broker.URLEnv); given {
			return
		}
	}
	b.refuse(factsKey+".broker.url_env", "set it under environment of each service that uses the broker",
		"no service has a variable %s", broker.URLEnv)
}

// countPartitions makes Partition.Modulo a number.
func (b *binder) countPartitions() {
	if b.Scenario.Facts == nil || b.Scenario.Facts.Rows == nil || b.Scenario.Facts.Rows.Partition == nil {
		return
	}
	rows := b.Scenario.Facts.Rows
	modulo, service := rows.Partition.Modulo, rows.Output.Service
	const path = factsKey + ".rows.partition.modulo"
	if !variableName.MatchString(modulo) {
		// What is neither a name nor a number was refused before.
		rows.Partition.Count, _ = strconv.Atoi(modulo)
		return
	}
	if !slices.Contains(b.Services, service) {
		return
	}
	var text string
	given := false
	if b.Variable != nil {
		text, given = b.Variable(service, modulo)
	}
	if !given {
		b.refuse(path, "set it under environment of the service, or give a number here", "service %s has no variable %s", service, modulo)
		return
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 || count > countLimit {
		b.refuse(path, "it is the number of partitions, from 1 up", "variable %s of service %s is %q, which is not a count", modulo, service, text)
		return
	}
	rows.Partition.Count = count
}

// checkFactsFor refuses what is expected in so many words and cannot be
// judged by the facts: a check that does not run must not look passed.
func (b *binder) checkFactsFor(explicit Expect) {
	facts := b.Scenario.Facts
	if facts == nil {
		facts = &Facts{}
	}
	const hint = "add %s to x-killpoint in the compose file, or here, or leave this out"
	if facts.Rows == nil {
		need := fmt.Sprintf(hint, "rows:")
		if explicit.Rows != "" && explicit.Rows != "off" {
			b.refuse("expect.rows", need, "rows: %s cannot be judged: x-killpoint does not say what was sent", explicit.Rows)
		}
		if explicit.Order == "sent" {
			b.refuse("expect.order", need, "order: sent cannot be judged: x-killpoint does not say what was sent")
		}
	}
	if explicit.Verdicts == "all" && facts.Verdicts == nil {
		b.refuse("expect.verdicts", fmt.Sprintf(hint, "verdicts:"), "verdicts: all cannot be judged: x-killpoint does not say whose log holds them")
	}
	if explicit.Drained == "all" && (facts.Done == nil || len(facts.Done.Drained) == 0) {
		b.refuse("expect.drained", fmt.Sprintf(hint, "done: {drained: […]}"), "drained: all cannot be judged: x-killpoint names no queues")
	}
	// Parse refuses the two in one file; here they come from two.
	if explicit.Order == "sent" && explicit.Rows == "off" && (b.written.expect.Rows == "" || b.written.expect.Order == "") {
		b.refuse("expect.order", "leave out order, or turn rows on", "the order of rows cannot be judged when rows is off")
	}
}
