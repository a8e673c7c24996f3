package cli

import "github.com/killpoint/killpoint/orchestrator/report"

// The exit codes of every command. They are a contract: scripts and CI rely
// on them, so they are never changed, and new ones get new numbers. (Make
// turns any of them into its own 2.)
const (
	exitPassed       = 0   // every scenario passed; or the command did what it was asked to
	exitFailed       = 1   // a fault fired as planned, and a check has findings
	exitUsage        = 2   // bad usage or a bad scenario: nothing was started
	exitBroken       = 3   // trouble with Docker, the broker, an image or the disk; never the system's fault
	exitInconclusive = 4   // a planned fault did not fire, or came too late, or a check could not be computed
	exitInterrupted  = 130 // Ctrl-C or SIGTERM came before the end
)

// severity is which exit code wins over several scenarios: the first that
// occurred. Bad usage is not among them, since it comes before anything starts.
var severity = []int{exitInterrupted, exitBroken, exitFailed, exitInconclusive}

// exitCodeOf is the exit code of a single run.
func exitCodeOf(outcome report.Outcome) int {
	switch outcome {
	case report.Passed:
		return exitPassed
	case report.Failed:
		return exitFailed
	case report.Inconclusive:
		return exitInconclusive
	case report.Interrupted:
		return exitInterrupted
	case report.NotRun:
		// Some other run is why this one was left out, and that one's code
		// says so.
		return exitPassed
	default:
		return exitBroken
	}
}

// worst is the exit code of several.
func worst(codes ...int) int {
	for _, code := range severity {
		for _, occurred := range codes {
			if occurred == code {
				return code
			}
		}
	}
	return exitPassed
}
