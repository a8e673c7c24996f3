package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// outputs is where results are written besides the console.
type outputs struct {
	files  resultFiles
	folder *suite.Folder
}

// newOutputs makes the folders, and sees that every file can be written,
// before anything is started: a run of minutes must not end with a typing
// mistake in --json.
func newOutputs(o *runOptions) (*outputs, error) {
	if err := o.files.touch(); err != nil {
		return nil, err
	}
	folder, err := suite.NewFolder(o.report)
	if err != nil {
		return nil, err
	}
	return &outputs{files: o.files, folder: folder}, nil
}

// newConsole shows the runs. When a results file has stdout, the console does
// not use it.
func (w *world) newConsole(o *runOptions, jobs []suite.Job) *report.Console {
	options := report.ConsoleOptions{
		Stdout: w.stdout, Out: w.style(w.stdout), Stderr: w.stderr, Err: w.style(w.stderr),
		Quiet: o.quiet, Verbose: o.verbose, Total: len(jobs), Now: w.now,
		Width: func() int { return w.width(w.stderr) },
	}
	if o.files.haveStdout() {
		options.Stdout, options.Out = options.Stderr, options.Err
	}
	for _, next := range jobs {
		options.NameWidth = max(options.NameWidth, len(next.Name))
	}
	return report.NewConsole(options)
}

// conclude writes everything that is about all runs, and gives the exit code.
func (w *world) conclude(ctx context.Context, out *outputs, console *report.Console, results []report.Result, pages *pages, trouble error, began time.Time) error {
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
	if err := errors.Join(trouble, w.write(out, document, pages)); err != nil {
		return &failure{code: worst(document.ExitCode, exitBroken), err: err}
	}
	return ended(document.ExitCode)
}

// write writes the files that were asked for. One that fails does not keep
// the others from being written.
func (w *world) write(out *outputs, document report.Document, pages *pages) error {
	renderings := pages.renderings(document)
	failed := []error{w.writeFiles(out.files, renderings)}
	if !out.folder.Temporary {
		inside := resultFiles{
			json: filepath.Join(out.folder.Root, "report.json"), junit: filepath.Join(out.folder.Root, "junit.xml"),
			html: filepath.Join(out.folder.Root, "report.html"),
		}
		failed = append(failed, w.writeFiles(inside, renderings))
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
