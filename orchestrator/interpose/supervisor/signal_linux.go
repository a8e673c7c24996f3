package supervisor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// caughtSignals is the set of signals that a process has handlers for, bit 0 for signal 1.
func caughtSignals(process int) (uint64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(process) + "/status")
	if err != nil {
		return 0, fmt.Errorf("read signal handlers: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if mask, found := strings.CutPrefix(line, "SigCgt:"); found {
			return strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		}
	}
	return 0, fmt.Errorf("read signal handlers of process %d: no SigCgt in its status", process)
}
