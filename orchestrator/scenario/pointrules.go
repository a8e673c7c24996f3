package scenario

import "fmt"

// The rules for crash points and what is done there. Like those in rules.go
// they are silent about values that were refused before, which are zero.

// checkPoints applies them to every fault.
func (d *decoder) checkPoints(s *Scenario) {
	for i, fault := range s.Faults {
		rules := pointRules{decoder: d, Fault: fault, path: fmt.Sprintf("faults[%d]", i)}
		rules.checkPlace()
		rules.checkCall()
		rules.checkShort()
		rules.checkLoss()
		rules.checkTimes()
	}
}

// pointRules is one fault that is looked at.
type pointRules struct {
	*decoder
	Fault
	path string
}

// given says whether a key stands in the fault, or when.key in its trigger.
func (r pointRules) given(key string) bool { return r.values[join(r.path, key)] != nil }

func (r pointRules) refuseAt(key, hint, format string, values ...any) {
	r.at(join(r.path, key), hint, format, values...)
}

// checkPlace refuses a point that is at two places of its call.
func (r pointRules) checkPlace() {
	if r.When.Kind == Write && r.given("when.keep") && r.given("when.timing") {
		r.refuseAt("when.timing", "keep one of them", "keep is in the middle of the write, timing before or after it")
	}
}

// checkCall refuses what cannot be done to one call before it is done.
func (r pointRules) checkCall() {
	if !r.Kind.OnCall() || r.When.Kind == "" {
		return
	}
	if !r.When.IsCrashPoint() {
		r.refuseAt("when", "write when: {write: /data/*, occurrence: 3}, or another of "+conjoin(pointNames(), "or"),
			"%s is done to one call: it needs a crash point, and %s is none", r.Kind, r.When.Kind)
		return
	}
	if r.When.Timing == TimingAfter {
		r.refuseAt("when.timing", "leave timing out", "%s is done before the call: afterwards it is too late", r.Kind)
	}
	if r.When.Keep != "" {
		hint := "leave keep out"
		if r.Kind == Short {
			hint = "leave keep out: bytes says how much is done"
		}
		r.refuseAt("when.keep", hint, "%s is done before the call, keep is in the middle of it", r.Kind)
	}
}

// checkShort refuses to shorten what has no length, and a write to nothing,
// which no kernel answers with and programs try again for ever.
func (r pointRules) checkShort() {
	if r.Kind != Short || !r.When.IsCrashPoint() {
		return
	}
	if r.When.Kind != Write && r.When.Kind != Read {
		r.refuseAt("when."+string(r.When.Kind), "write fail or delay instead of short", "only a read or a write can be short, not %s", r.When.Kind)
	}
	if r.When.Kind == Write && r.Bytes != nil && *r.Bytes == 0 {
		r.refuseAt("bytes", "give 1 at least, or let it fail with an errno", "a write cannot move 0 bytes")
	}
}

// checkLoss refuses a power loss where it cannot be told what was synced, and
// one that a program could handle.
func (r pointRules) checkLoss() {
	if !r.given("lose-unsynced") || r.Kind != Kill {
		return
	}
	if r.When.Kind != "" && !r.When.IsCrashPoint() {
		r.refuseAt("lose-unsynced", "give it a crash point, such as when: {fsync: /data/*}",
			"what is not synced is known at a crash point only, and %s is none", r.When.Kind)
	}
	if r.Signal != "" && r.Signal != sigkill {
		r.refuseAt("signal", "leave out signal", "a power loss sends no %s", r.Signal)
	}
}

// checkTimes refuses a repetition that never comes: what ends a life is
// repeated in the next one, where the point is at the same occurrence again.
func (r pointRules) checkTimes() {
	livesOn := r.Kind.OnCall() || r.Kind == Pause || r.Kind == Disconnect
	if r.Times > 1 && r.When.IsCrashPoint() && r.When.Incarnation > 0 && !livesOn {
		r.refuseAt("times", "leave out incarnation, or write one fault for each",
			"this point comes once in incarnation %d, not %d times", r.When.Incarnation, r.Times)
	}
}

// pointNames is the key of every crash point.
func pointNames() []string {
	var names []string
	for _, kind := range CrashPoints {
		names = append(names, string(kind))
	}
	return names
}
