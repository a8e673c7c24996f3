package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// clockSlack is by how much a timer may seem to have come early: a fault's
// time is written down a little after the moment from which the next counts.
const clockSlack = 100 * time.Millisecond

// plannedFault is one fault of a scenario, every repetition by itself.
type plannedFault struct {
	scenario.Fault
	number int // as events carry it, from 1
	repeat int // from 1
}

func plannedFaults(sc *scenario.Scenario) []plannedFault {
	var planned []plannedFault
	for _, fault := range sc.Faults {
		for repeat := 1; repeat <= max(1, fault.Times); repeat++ {
			planned = append(planned, plannedFault{fault, len(planned) + 1, repeat})
		}
	}
	return planned
}

func (p plannedFault) String() string {
	text := fmt.Sprintf("fault %d (%s)", p.number, p.Fault)
	if p.Times > 1 {
		text += fmt.Sprintf(", repetition %d,", p.repeat)
	}
	return text
}

// faultEvents is what a history says of one planned fault; an index is -1
// where there is no such event.
type faultEvents struct{ armed, fired, done, missed int }

// checkFaults asks that every planned fault came where and when it was
// planned, was done, and came before the work was over. It yields no
// findings: a fault that never came proves nothing about the system.
func checkFaults(seen *evidence) Result {
	planned := plannedFaults(seen.scenario)
	if len(planned) == 0 {
		return Result{Status: StatusPassed, Detail: "no fault was planned"}
	}
	events := make(map[int]faultEvents, len(planned))
	for index, event := range seen.history.Events {
		if event.Fault == 0 {
			continue
		}
		known, ok := events[event.Fault]
		if !ok {
			known = faultEvents{-1, -1, -1, -1}
		}
		switch event.Kind {
		case history.FaultArmed:
			known.armed = index
		case history.FaultFired:
			known.fired = index
		case history.FaultDone:
			known.done = index
		case history.FaultMissed:
			known.missed = index
		}
		events[event.Fault] = known
	}
	var reasons []string
	for i, fault := range planned {
		happened, ok := events[fault.number]
		if !ok {
			happened = faultEvents{-1, -1, -1, -1}
		}
		before := -1
		if i > 0 {
			if earlier, ok := events[planned[i-1].number]; ok {
				before = earlier.fired
			}
		}
		if reason := faultTrouble(seen, fault, happened, before); reason != "" {
			reasons = append(reasons, fault.String()+" "+reason)
		}
	}
	return conclude(nil, reasons, amount(len(planned), "fault")+" fired as planned")
}

// faultTrouble says what kept a planned fault from counting; "" when nothing
// did. before is the index of the event at which the fault before it fired.
func faultTrouble(seen *evidence, fault plannedFault, happened faultEvents, before int) string {
	events := seen.history.Events
	switch {
	case happened.fired < 0:
		return notFired(seen, fault, happened, before)
	case happened.done < 0 && happened.missed >= 0:
		return fmt.Sprintf("fired at %s but could not be done: %s", short(events[happened.fired].At), events[happened.missed].Text)
	case happened.done < 0:
		return fmt.Sprintf("fired at %s, and the run ended before it was done", short(events[happened.fired].At))
	}
	if reason := firedElsewhere(seen, fault, happened, before); reason != "" {
		return reason
	}
	if reason := exitTrouble(seen, fault, happened); reason != "" {
		return reason
	}
	return tooLate(seen, fault, happened)
}

// notFired says what did happen instead of a fault's trigger.
func notFired(seen *evidence, fault plannedFault, happened faultEvents, before int) string {
	text := "did not fire: " + triggerProgress(seen, fault, happened, before)
	if over, _, ok := workOver(seen); ok {
		text += fmt.Sprintf("; the work was done at %s", short(over))
	} else if count := len(seen.history.Events); count > 0 {
		text += fmt.Sprintf("; the run ended at %s", short(seen.history.Events[count-1].At))
	}
	if seen.first(history.Trouble) >= 0 || seen.first(history.Interrupted) >= 0 {
		return text // the run went wrong, not the scenario
	}
	if fault.number > 1 && before < 0 {
		return text // the fault before it is the one to look at
	}
	switch fault.When.Kind {
	case scenario.Log:
		return text + "; check the text and the occurrence, or give the system more work"
	case scenario.After:
		return text + "; slow the sender, choose a shorter time, or say idle: true if it may come after the work"
	}
	return text
}

func triggerProgress(seen *evidence, fault plannedFault, happened faultEvents, before int) string {
	if fault.number > 1 && before < 0 {
		return "the fault before it had not fired"
	}
	if happened.missed >= 0 && seen.history.Events[happened.missed].Text != "" {
		return seen.history.Events[happened.missed].Text
	}
	switch {
	case fault.When.Kind == scenario.Log:
		count, life := triggerMatches(seen.history, fault, len(seen.history.Events))
		return fmt.Sprintf("%d of %d lines of %s that say %q had come%s",
			count, max(1, fault.When.Occurrence), triggerService(fault), fault.When.Log, lifeWords(life))
	case fault.When.Kind == scenario.After && fault.When.After != nil:
		return fmt.Sprintf("%s had not passed", fault.When.After)
	}
	return "its trigger never came"
}

func triggerService(fault plannedFault) string {
	if fault.When.Service != "" {
		return fault.When.Service
	}
	return fault.Service
}

// triggerMatches counts the lines that a log trigger looks for, in the
// incarnation that has most of them, among the events before an index.
func triggerMatches(h *history.History, fault plannedFault, until int) (count, incarnation int) {
	service := triggerService(fault)
	counts := map[int]int{}
	for _, event := range h.Events[:until] {
		if event.Kind != history.Log || event.Service != service || !strings.Contains(event.Text, fault.When.Log) {
			continue
		}
		if fault.When.Incarnation != 0 && event.Incarnation != fault.When.Incarnation {
			continue
		}
		counts[event.Incarnation]++
		if n := counts[event.Incarnation]; n > count {
			count, incarnation = n, event.Incarnation
		}
	}
	return count, incarnation
}

// firedElsewhere compares where and when a fault came with where and when it
// was planned. The history, not the trigger's own word, is what counts.
func firedElsewhere(seen *evidence, fault plannedFault, happened faultEvents, before int) string {
	fired := seen.history.Events[happened.fired]
	if fired.Service != "" && fired.Service != fault.Service {
		return fmt.Sprintf("was done to %s", fired.Service)
	}
	if fault.When.IsCrashPoint() {
		return metElsewhere(seen.history, fault)
	}
	switch fault.When.Kind {
	case scenario.Log:
		wanted := max(1, fault.When.Occurrence)
		if count, _ := triggerMatches(seen.history, fault, happened.fired); count < wanted {
			return fmt.Sprintf("fired at %s, before %s had logged a line with %q the %s time (it had %d)",
				short(fired.At), triggerService(fault), fault.When.Log, ordinal(wanted), count)
		}
	case scenario.After:
		if fault.When.After == nil {
			return ""
		}
		since, from := time.Duration(0), "the run began"
		if before >= 0 {
			since, from = seen.history.Events[before].At, "the fault before it fired"
		}
		if fired.At-since < time.Duration(*fault.When.After)-clockSlack {
			return fmt.Sprintf("fired at %s, sooner than %s after %s", short(fired.At), fault.When.After, from)
		}
	}
	return ""
}

// exitTrouble asks that what was killed died of the kill: a process that had
// exited by itself, or was killed for its memory, tells nothing of a crash at
// the place that was planned. Another signal than SIGKILL may be handled, so
// nothing follows from the exit then.
func exitTrouble(seen *evidence, fault plannedFault, happened faultEvents) string {
	if fault.Kind != scenario.Kill || !isKillSignal(fault.Signal) {
		return ""
	}
	events := seen.history.Events
	fired, done := events[happened.fired], events[happened.done]
	life := done.Incarnation
	if life == 0 {
		life = fired.Incarnation
	}
	for index, event := range events {
		if event.Kind != history.Exited || event.Service != fault.Service {
			continue
		}
		if life != 0 && event.Incarnation != 0 && event.Incarnation != life || (life == 0 || event.Incarnation == 0) && index < happened.fired {
			continue
		}
		switch {
		case strings.Contains(strings.ToLower(event.Text), "oom"):
			return fmt.Sprintf("did not kill %s: it was out of memory at %s", fault.Service, short(event.At))
		case event.At < fired.At:
			return fmt.Sprintf("came to nothing: %s had exited at %s%s", fault.Service, short(event.At), inBrackets(event.Text))
		case event.Code != nil && *event.Code != 137:
			return fmt.Sprintf("did not kill %s: it exited with code %d%s at %s, not by the signal", fault.Service, *event.Code, inBrackets(event.Text), short(event.At))
		}
		return ""
	}
	return fmt.Sprintf("fired at %s, and %s was not seen to exit", short(fired.At), fault.Service)
}

func isKillSignal(signal string) bool {
	switch strings.ToUpper(strings.TrimPrefix(strings.ToUpper(signal), "SIG")) {
	case "", "KILL", "9":
		return true
	}
	return false
}

// tooLate says that a fault came after the last unit of work was done. What
// counts for a kill, a pause and a lost network is when it took effect; the
// others ask the service to stop, and it may work on until it does.
func tooLate(seen *evidence, fault plannedFault, happened faultEvents) string {
	if seen.scenario.Idle {
		return ""
	}
	event := seen.history.Events[happened.fired]
	if takesEffectAtOnce(fault) {
		event = seen.history.Events[happened.done]
	}
	over, what, ok := workOver(seen)
	if !ok || event.At <= over {
		return ""
	}
	return fmt.Sprintf("came too late: it took effect at %s, and the work was done at %s (%s); slow the sender, trigger it earlier, or say idle: true if that is meant",
		short(event.At), short(over), what)
}

func takesEffectAtOnce(fault plannedFault) bool {
	if fault.When.IsCrashPoint() {
		return false // the program was held from the moment that the fault fired
	}
	switch fault.Kind {
	case scenario.Kill:
		return isKillSignal(fault.Signal)
	case scenario.Pause, scenario.Disconnect:
		return true
	}
	return false
}

// workOver says when the last unit of work was done: the last of the first
// successes, where a service reports them, otherwise the end of the run. It
// never was while a confirmed chunk has no success.
func workOver(seen *evidence) (at time.Duration, what string, ok bool) {
	if tally, err := seen.verdicts(); err == nil && len(tally.successes) > 0 {
		if sent, err := seen.sent(); err == nil {
			for chunk, id := range sent.ids {
				if _, judged := tally.firstSuccess[id]; !judged && sent.confirmed(chunk) {
					return 0, "", false
				}
			}
		}
		last := tally.successes[len(tally.successes)-1]
		return tally.firstSuccess[last], "the last first success, of " + last, true
	}
	for _, kind := range []history.Kind{history.AllDone, history.Settled} {
		if event, found := seen.last(kind); found {
			return event.At, "the end of the run", true
		}
	}
	return 0, "", false
}

func ordinal(n int) string {
	switch {
	case n%100 >= 11 && n%100 <= 13:
		return fmt.Sprintf("%dth", n)
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
