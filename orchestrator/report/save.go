package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// The files of a saved run besides those of its history.
const (
	scenarioFile = "scenario.json"
	resultFile   = "result.json"
	pageFile     = "report.html"
	logsFolder   = "logs"
)

// Save writes a run into a folder: its history, the scenario as it was bound
// to its system, the result as JSON and as a page for people, and the log of
// each life of each container as a text file. With the first two, Load gives back all that is needed to judge
// and render the run again.
func Save(folder string, sc *scenario.Scenario, h *history.History, result Result) error {
	if err := h.Save(folder); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	bound, err := json.MarshalIndent(sc, "", "  ")
	if err != nil {
		return fmt.Errorf("save report: scenario %s: %w", sc.Name, err)
	}
	if err := os.WriteFile(filepath.Join(folder, scenarioFile), append(bound, '\n'), 0o644); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("save report: result of %s: %w", sc.Name, err)
	}
	if err := os.WriteFile(filepath.Join(folder, resultFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	if err := saveHTML(filepath.Join(folder, pageFile), sc, h, result); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return saveLogs(filepath.Join(folder, logsFolder), h)
}

func saveHTML(file string, sc *scenario.Scenario, h *history.History, result Result) error {
	page, err := NewPage(sc, h)
	if err != nil {
		return err
	}
	document := NewDocument(h.Meta.Killpoint, h.Meta.Started, end(h), []Result{result})
	return WriteFile(file, func(to io.Writer) error { return WriteHTML(to, document, map[string]Page{result.Name: page}) })
}

// Saved is a run as Save wrote it.
type Saved struct {
	Folder   string
	Scenario *scenario.Scenario
	History  *history.History
	Result   Result // as it was then
}

// Judged gives the result of a saved run anew. What its history does not know
// is kept: its name among others of one command, and the command's flags.
func (s Saved) Judged(judge func(*scenario.Scenario, *history.History) check.Verdict) Result {
	result := NewResult(s.Scenario, s.History, judge(s.Scenario, s.History))
	result.Name, result.Replay, result.Report = s.Result.Name, s.Result.Replay, s.Folder
	return result
}

// LoadAll reads every saved run in a folder: the folder itself, or those that
// are in it, by name.
func LoadAll(folder string) ([]Saved, error) {
	folders := []string{folder}
	if !IsSaved(folder) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("load report: %w", err)
		}
		folders = nil
		for _, entry := range entries {
			if inside := filepath.Join(folder, entry.Name()); entry.IsDir() && IsSaved(inside) {
				folders = append(folders, inside)
			}
		}
	}
	var all []Saved
	for _, one := range folders {
		saved, err := loadSaved(one)
		if err != nil {
			return nil, err
		}
		all = append(all, saved)
	}
	return all, nil
}

// Span is how long the runs of one command took, from the beginning of the
// first to the end of the last.
func Span(runs []Saved) time.Duration {
	var first, last time.Time
	for _, run := range runs {
		start := run.History.Meta.Started
		if first.IsZero() || start.Before(first) {
			first = start
		}
		if stop := start.Add(end(run.History)); stop.After(last) {
			last = stop
		}
	}
	return last.Sub(first)
}

func loadSaved(folder string) (Saved, error) {
	saved := Saved{Folder: folder}
	var err error
	if saved.Scenario, saved.History, err = Load(folder); err != nil {
		return saved, err
	}
	text, err := os.ReadFile(filepath.Join(folder, resultFile))
	if err != nil {
		return saved, fmt.Errorf("load report: %w", err)
	}
	if err := json.Unmarshal(text, &saved.Result); err != nil {
		return saved, fmt.Errorf("load report: %s: %w", filepath.Join(folder, resultFile), err)
	}
	return saved, nil
}

// Load reads back the scenario and the history of a saved run.
func Load(folder string) (*scenario.Scenario, *history.History, error) {
	text, err := os.ReadFile(filepath.Join(folder, scenarioFile))
	if err != nil {
		return nil, nil, fmt.Errorf("load report: %w", err)
	}
	sc := &scenario.Scenario{}
	if err := json.Unmarshal(text, sc); err != nil {
		return nil, nil, fmt.Errorf("load report: %s: %w", filepath.Join(folder, scenarioFile), err)
	}
	h, err := history.Load(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("load report: %w", err)
	}
	return sc, h, nil
}

// IsSaved says whether a folder is one that Save wrote.
func IsSaved(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, resultFile))
	return err == nil
}

// WriteFile writes a file whole or not at all: a reader never sees half a
// report, nor an old one cut short.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	// Through a link to the file behind it, and never a rename over what is
	// no regular file, such as /dev/stderr.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(path, write)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(draft.Name())
		}
	}()
	err = errors.Join(write(draft), draft.Chmod(0o644), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeInto(path string, write func(io.Writer) error) error {
	opened, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(write(opened), opened.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// saveLogs writes a file for each life of each service that logged anything:
// when it was, on which stream, and the line.
func saveLogs(folder string, h *history.History) error {
	type life struct {
		service     string
		incarnation int
	}
	type open struct {
		file   *os.File
		buffer *bufio.Writer
	}
	logs := map[life]*open{}
	var failed []error
	for _, event := range h.Events {
		if event.Kind != history.Log {
			continue
		}
		key := life{event.Service, event.Incarnation}
		if logs[key] == nil {
			file, err := createLog(folder, event)
			if err != nil {
				failed = append(failed, err)
				break
			}
			logs[key] = &open{file, bufio.NewWriter(file)}
		}
		fmt.Fprintf(logs[key].buffer, "%9.3fs %s %s\n", event.At.Seconds(), event.Stream, event.Text)
	}
	for _, log := range logs {
		failed = append(failed, log.buffer.Flush(), log.file.Close())
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("save logs: %w", err)
	}
	return nil
}

func createLog(folder string, event history.Event) (*os.File, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	service := strings.ReplaceAll(event.Service, string(filepath.Separator), "-")
	return os.Create(filepath.Join(folder, fmt.Sprintf("%s.%d.log", service, event.Incarnation)))
}
