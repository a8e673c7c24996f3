package killpointtest

import (
	"sync"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// watcher shows each run in the output of its own subtest.
type watcher struct {
	test     *testing.T // of all subtests
	keeps    bool       // the artifact directories stay
	mu       sync.Mutex
	consoles map[string]*report.Console
}

func (w *watcher) attach(name string, console *report.Console) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.consoles[name] = console
}

// detach waits until everything is written: the output of a subtest that has
// ended takes no more.
func (w *watcher) detach(name string) {
	w.mu.Lock()
	console := w.consoles[name]
	delete(w.consoles, name)
	w.mu.Unlock()
	console.Close()
}

// of is the console of a run; nil when its subtest has ended.
func (w *watcher) of(name string) *report.Console {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.consoles[name]
}

func (w *watcher) Begin(name string, sc *scenario.Scenario) {
	if console := w.of(name); console != nil {
		console.Begin(name, sc)
	}
}

func (w *watcher) Event(name string, event history.Event) {
	if console := w.of(name); console != nil {
		console.Event(name, event)
	}
}

func (w *watcher) End(result report.Result) {
	if !w.keeps {
		result.Report = "" // it is gone before anybody can look at it
	}
	if console := w.of(result.Name); console != nil {
		console.End(result)
	}
}

func (w *watcher) Note(text string) { w.test.Log(text) }
