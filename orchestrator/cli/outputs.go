package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// outputs is where results are written besides the console.
type outputs struct {
	json, junit string
	folder      *suite.Folder
}

// newOutputs makes the folders, and sees that every file can be written,
// before anything is started: a run of minutes must not end with a typing
// mistake in --json.
func newOutputs(o *runOptions) (*outputs, error) {
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
	folder, err := suite.NewFolder(o.report)
	if err != nil {
		return nil, err
	}
	return &outputs{json: o.json, junit: o.junit, folder: folder}, nil
}

// newConsole shows the runs. When a results file has stdout, the console does
// not use it.
func (w *world) newConsole(o *runOptions, jobs []suite.Job) *report.Console {
	options := report.ConsoleOptions{
		Stdout: w.stdout, Out: w.style(w.stdout), Stderr: w.stderr, Err: w.style(w.stderr),
		Quiet: o.quiet, Verbose: o.verbose, Total: len(jobs), Now: w.now,
		Width: func() int { return w.width(w.stderr) },
	}
	if o.json == "-" || o.junit == "-" {
		options.Stdout, options.Out = options.Stderr, options.Err
	}
	for _, next := range jobs {
		options.NameWidth = max(options.NameWidth, len(next.Name))
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
	if !out.folder.Temporary {
		write(filepath.Join(out.folder.Root, "report.json"), report.WriteJSON)
		write(filepath.Join(out.folder.Root, "junit.xml"), report.WriteJUnit)
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
