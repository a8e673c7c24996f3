package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
)

// outputs is where results are written besides the console.
type outputs struct {
	json, junit string
	// root is the folder of reports, a folder a run. Without --report it is a
	// temporary one, in which only runs that did not pass stay.
	root      string
	temporary bool
	// running is where histories grow before they get their place in root.
	running string
}

// newOutputs makes the folders, and sees that every file can be written,
// before anything is started: a run of minutes must not end with a typing
// mistake in --json.
func newOutputs(o *runOptions) (*outputs, error) {
	out := &outputs{json: o.json, junit: o.junit, root: o.report, temporary: o.report == ""}
	for _, file := range []string{o.json, o.junit} {
		if file == "" || file == "-" {
			continue
		}
		opened, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("write results: %w", err)
		}
		if err := opened.Close(); err != nil {
			return nil, fmt.Errorf("write results: %w", err)
		}
	}
	var err error
	if out.temporary {
		out.root, err = os.MkdirTemp("", "killpoint-")
	} else {
		err = os.MkdirAll(out.root, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("create folder for reports: %w", err)
	}
	if out.running, err = os.MkdirTemp(out.root, ".running-"); err != nil {
		return nil, fmt.Errorf("create folder for reports: %w", err)
	}
	return out, nil
}

// removeTemporary leaves nothing behind that no result names.
func (out *outputs) removeTemporary() {
	os.RemoveAll(out.running)
	if out.temporary {
		os.Remove(out.root) // it stays when a run's report is in it
	}
}

// save gives a run its folder and sets where that is. A run that passed and
// whose report nobody asked for leaves none.
func (out *outputs) save(next job, h *history.History, result *report.Result) error {
	if out.temporary && result.Outcome == report.Passed {
		if h.Dir == "" {
			return nil
		}
		return os.RemoveAll(h.Dir)
	}
	folder := filepath.Join(out.root, folderName(next.name))
	out.adopt(h, folder)
	result.Report = folder
	return report.Save(folder, next.scenario, h, *result)
}

// adopt moves a history's folder to its place, and with it the collected
// files, which may be large. An older report of the same scenario makes room.
// Where moving is not possible, saving copies the files.
func (out *outputs) adopt(h *history.History, folder string) {
	inside, err := filepath.Rel(out.running, h.Dir)
	if err != nil || inside == "." || strings.HasPrefix(inside, "..") {
		return
	}
	if report.IsSaved(folder) {
		os.RemoveAll(folder)
	}
	if err := os.Rename(h.Dir, folder); err == nil {
		h.Dir = folder
	}
}

// folderName keeps what is safe in a folder's name on every system.
func folderName(name string) string {
	safe := strings.Map(func(char rune) rune {
		if char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || strings.ContainsRune("-_.", char) {
			return char
		}
		return '-'
	}, name)
	// Neither a hidden folder nor the one above.
	if safe = strings.TrimLeft(safe, "."); safe == "" {
		return "run"
	}
	return safe
}

// newConsole shows the runs. When a results file has stdout, the console does
// not use it.
func (w *world) newConsole(o *runOptions, jobs []job) *report.Console {
	options := report.ConsoleOptions{
		Stdout: w.stdout, Out: w.style(w.stdout), Stderr: w.stderr, Err: w.style(w.stderr),
		Quiet: o.quiet, Verbose: o.verbose, Total: len(jobs), Now: w.now,
	}
	if o.json == "-" || o.junit == "-" {
		options.Stdout, options.Out = options.Stderr, options.Err
	}
	for _, next := range jobs {
		options.NameWidth = max(options.NameWidth, len(next.name))
	}
	return report.NewConsole(options)
}

// conclude writes everything that is about all runs, and gives the exit code.
func (w *world) conclude(ctx context.Context, out *outputs, console *report.Console, results []report.Result, trouble error, began time.Time) error {
	codes := []int{}
	for _, result := range results {
		codes = append(codes, exitCodeOf(result.Outcome))
	}
	if trouble != nil {
		codes = append(codes, exitBroken)
	}
	if ctx.Err() != nil {
		codes = append(codes, exitInterrupted)
	}
	document := report.NewDocument(w.version, began, w.now().Sub(began), results)
	document.ExitCode = worst(codes...)
	if trouble != nil {
		document.Trouble = append(document.Trouble, trouble.Error())
	}
	console.Closing(document)
	console.Close()
	if err := errors.Join(trouble, w.write(out, document)); err != nil {
		return &failure{code: worst(document.ExitCode, exitBroken), err: err}
	}
	return ended(document.ExitCode)
}

// write writes the files that were asked for. One that fails does not keep
// the others from being written.
func (w *world) write(out *outputs, document report.Document) error {
	var failed []error
	write := func(file string, render func(io.Writer, report.Document) error) {
		if file == "-" {
			failed = append(failed, render(w.stdout, document))
		} else if file != "" {
			failed = append(failed, report.WriteFile(file, func(to io.Writer) error { return render(to, document) }))
		}
	}
	write(out.json, report.WriteJSON)
	write(out.junit, report.WriteJUnit)
	if !out.temporary {
		write(filepath.Join(out.root, "report.json"), report.WriteJSON)
		write(filepath.Join(out.root, "junit.xml"), report.WriteJUnit)
	}
	if w.onGitHub() {
		report.WriteAnnotations(w.stderr, document, w.getenv("GITHUB_WORKSPACE"))
		failed = append(failed, appendSummary(w.getenv("GITHUB_STEP_SUMMARY"), document))
	}
	return errors.Join(failed...)
}

// appendSummary adds to the step summary, which other steps may have begun.
func appendSummary(file string, document report.Document) (err error) {
	if file == "" {
		return nil
	}
	opened, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write step summary: %w", err)
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	return report.WriteStepSummary(opened, document)
}
