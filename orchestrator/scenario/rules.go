package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// The rules here look at several values at once: what the shape of each
// cannot say. They are silent about values that were refused before, which
// are zero.

// at refuses the value at a path; where it was not written, the nearest
// thing around it that was.
func (d *decoder) at(path, hint, format string, values ...any) {
	for {
		if node := d.values[path]; node != nil {
			d.refuse(node, hint, format, values...)
			return
		}
		if path == "" {
			d.refuseAt(Position{File: d.file, Line: 1, Column: 1}, hint, format, values...)
			return
		}
		path = around(path)
	}
}

// checkScenario applies every rule to a scenario that was just read.
func (d *decoder) checkScenario(s *Scenario) {
	d.checkTimes(s)
	d.checkDown(s)
	d.checkPoints(s)
	d.checkExpect(&s.Expect, "expect")
	if s.Facts != nil {
		d.checkFacts(s.Facts)
	}
}

// checkTimes refuses a scenario in which the run is over before what it
// plans can happen.
func (d *decoder) checkTimes(s *Scenario) {
	if s.Timeout == 0 {
		return
	}
	const hint = "raise timeout or shorten this"
	if s.Settle >= s.Timeout {
		d.at("settle", hint, "settle is %s, but the run ends after %s", s.Settle, s.Timeout)
	}
	var earliest Duration
	for i, fault := range s.Faults {
		path := fmt.Sprintf("faults[%d]", i)
		for _, part := range []struct {
			key   string
			value *Duration
		}{{"for", fault.For}, {"restart", fault.Restart}, {"by", fault.By}, {"restart-if-exited", fault.RestartIfExited}} {
			if part.value != nil && *part.value >= s.Timeout {
				d.at(join(path, part.key), hint, "%s is %s, but the run ends after %s", part.key, part.value, s.Timeout)
			}
		}
		if fault.When.After == nil {
			continue
		}
		before := earliest
		earliest += *fault.When.After * Duration(max(fault.Times, 1))
		if earliest >= s.Timeout && before < s.Timeout {
			d.at(path+".when.after", hint, "this fault fires %s after the system was up at the earliest, but the run ends after %s", earliest, s.Timeout)
		}
	}
}

// checkDown refuses a fault on a service that an earlier one took down for
// good. Only kill and stop without restart are sure to: other signals may be
// handled.
func (d *decoder) checkDown(s *Scenario) {
	down := map[string]int{}
	for i, fault := range s.Faults {
		path := fmt.Sprintf("faults[%d]", i)
		by, isDown := down[fault.Service]
		if isDown && fault.Service != "" {
			d.at(join(path, string(fault.Kind)), fmt.Sprintf("give faults[%d] a restart, or leave this out", by),
				"%s is down since faults[%d], which does not restart it", fault.Service, by)
			continue
		}
		if !fault.staysDown() || d.values[path+".restart"] != nil {
			continue
		}
		down[fault.Service] = i
		if fault.Times > 1 {
			d.at(path+".times", "add restart: 200ms", "%s stays down after the first of %d times", fault.Service, fault.Times)
		}
	}
}

// sigkill is the one signal that no program can handle.
const sigkill = "SIGKILL"

// staysDown says whether the service is down for good after the fault.
func (f Fault) staysDown() bool {
	return f.Restart == nil && (f.Kind == Stop || f.Kind == Kill && f.Signal == sigkill)
}

// checkExpect refuses expectations that contradict themselves or that hold
// whatever happens.
func (d *decoder) checkExpect(e *Expect, path string) {
	if e.Order == "sent" && e.Rows == "off" {
		d.at(path+".order", "leave out order, or turn rows on", "the order of rows cannot be judged when rows is off")
	}
	for i, entry := range e.Logs {
		d.checkLog(entry, fmt.Sprintf("%s.logs[%d]", path, i))
	}
}

func (d *decoder) checkLog(entry LogExpect, path string) {
	given := func(key string) bool { return d.values[join(path, key)] != nil }
	if d.values[path] != nil && !given("contains") && !given("matches") {
		d.at(path, "add contains: with a text, or matches: with a regular expression", "an entry of logs does not say which lines are meant")
	}
	if given("times") && (given("at-least") || given("at-most")) {
		d.at(path+".times", "keep times, or the bounds", "times cannot stand beside at-least and at-most")
	}
	if entry.AtLeast == nil {
		return
	}
	if entry.AtMost != nil && *entry.AtLeast > *entry.AtMost {
		d.at(path+".at-least", "swap them", "at-least is %d, more than at-most, which is %d", *entry.AtLeast, *entry.AtMost)
	}
	if *entry.AtLeast == 0 && !given("at-most") && !given("times") {
		d.at(path+".at-least", "at-least: 1 wants a line, times: 0 wants none", "at-least: 0 holds whatever happens")
	}
}

// checkFacts refuses facts that contradict themselves.
func (d *decoder) checkFacts(f *Facts) {
	if f.Broker != nil && f.Broker.Share && f.Broker.URLEnv == "" && d.values[factsKey+".broker.url_env"] == nil {
		d.at(factsKey+".broker.share", "add url_env: with the variable's name, or leave out share",
			"a broker can be shared only where url_env says how services are told their virtual host")
	}
	if done := d.values[factsKey+".done"]; f.Done != nil && done != nil && len(f.Done.Exited)+len(f.Done.Drained) == 0 && len(done.Content) == 0 {
		d.at(factsKey+".done", "add exited: with services, drained: with queues, or both", "done says nothing")
	}
	if v := f.Verdicts; v != nil && v.Success != "" && v.Success == v.Failure {
		d.at(factsKey+".verdicts.failure", "the two must match different lines", "failure and success are the same")
	}
	d.checkPartition(f.Rows)
	if f.Expect != nil {
		d.checkExpect(f.Expect, factsKey+".expect")
	}
}

// checkPartition refuses a partition column that the header does not have:
// rows are split by the header's names.
func (d *decoder) checkPartition(r *Rows) {
	if r == nil || r.Partition == nil || r.Partition.Column == "" {
		return
	}
	const path = factsKey + ".rows.partition.column"
	if r.Output.Header == "" {
		if d.values[factsKey+".rows.output"] != nil && d.values[factsKey+".rows.output.header"] == nil {
			d.at(path, "add header: to output", "a column is found by the header, and output gives none")
		}
		return
	}
	columns := strings.Split(r.Output.Header, ",")
	if !slices.Contains(columns, r.Partition.Column) {
		d.at(path, didYouMean(r.Partition.Column, columns, "its columns"), "the header %s has no column %s", quote(r.Output.Header), quote(r.Partition.Column))
	}
}
