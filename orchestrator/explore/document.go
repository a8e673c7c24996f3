package explore

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// detailed is how many failing points of a document name the rows of their
// findings; the others say what was found, and their replay shows the rest.
const detailed = 500

// Facts are what a document says that the campaign itself does not know.
type Facts struct {
	Killpoint string
	Command   string         // that runs the campaign again; empty: as its settings say
	Trouble   []string       // of the tool's own
	Outcome   report.Outcome // report.Interrupted, where it was
}

// Command is the one that runs the campaign again.
func (s *Settings) Command() string {
	words := []string{"killpoint explore", suite.Quoted(s.File), "--target", suite.Quoted(s.Target), "--model", string(s.Model), "--seed", strconv.Itoa(s.Seed)}
	add := func(is bool, flag string, value any) {
		if is {
			words = append(words, "--"+flag, fmt.Sprint(value))
		}
	}
	add(s.Depth > 1, "depth", s.Depth)
	add(s.Pairs > 0, "pairs", s.Pairs)
	add(s.Model == PowerLoss && s.Variants != EveryVariant, "variants", s.Variants)
	add(s.Model == PowerLoss && s.Variants == EveryVariant, "variants", "all")
	add(s.Most > 0, "max", s.Most)
	add(s.Shard.Of > 1, "shard", s.Shard)
	return strings.Join(append(words, s.how(s.Env)...), " ")
}

// how is the flags that say how the scenario is run.
func (s *Settings) how(env []string) []string {
	var words []string
	for _, entry := range env {
		words = append(words, "--env", suite.Quoted(entry))
	}
	if s.Batched {
		words = append(words, "--batched")
	}
	if s.Chain {
		words = append(words, "--chain")
	}
	if s.KeepLogs {
		words = append(words, "--keep-logs")
	}
	return words
}

// Replay is the command that runs a crash point of the campaign again, alone,
// in real containers.
func (s *Settings) Replay(point string, env ...string) string {
	words := []string{"killpoint replay", point, "--scenario", suite.Quoted(s.File)}
	return strings.Join(append(words, s.how(slices.Concat(s.Env, env))...), " ")
}

// sparing has garbage collected early while every point of a campaign is in
// memory at once: nothing is waited for then, and memory is what is short.
func sparing() (done func()) {
	usual := debug.SetGCPercent(20)
	return func() { debug.SetGCPercent(usual) }
}

// Document makes the campaign into what is shown.
func (c *Campaign) Document(facts Facts) (*report.Campaign, error) {
	defer sparing()()
	document := &report.Campaign{
		Killpoint: facts.Killpoint, Scenario: c.Settings.Scenario, File: c.File, Target: c.Target, Model: string(c.Model),
		Seed: strconv.Itoa(c.Seed), Depth: c.Depth, Chain: c.Chain, Shard: c.Shard.String(), Started: c.saved.Started,
		Seconds: c.earlier + c.progress.Took.Seconds(), Outcome: facts.Outcome, Replay: cmp.Or(facts.Command, c.Command()),
		Recorded: len(c.saved.Recording.Operations), Engine: c.saved.Engine, Images: c.saved.Images,
		Trouble: slices.Concat(facts.Trouble, c.trouble), Warnings: c.warnings,
	}
	if differs := c.saved.Diverge.String(); differs != "" {
		document.Note = differs
	}
	total := 0
	for _, one := range c.legs {
		total += len(one.chosen)
	}
	document.Points = make([]report.CrashPoint, 0, total)
	shown := 0
	for _, one := range c.legs {
		after := one.plan.firsts()
		for _, i := range one.inOrder() {
			point, err := c.documentPoint(one, i, after, &shown)
			if err != nil {
				return nil, err
			}
			document.Points = append(document.Points, point)
		}
	}
	if s := c.smallest; s != nil {
		document.Smallest = &report.SmallestCase{Point: s.Point, Text: s.Text, Replay: c.Replay(s.Point, s.Env...)}
	}
	document.Tally()
	return document, nil
}

// firsts is the points that come before those of the plan.
func (p *Plan) firsts() []string {
	var all []string
	for i := range p.Before {
		all = append(all, p.Before[i].Point(p.Service).String())
	}
	return all
}

// inOrder is the places of a leg's points in the order of the recording.
func (l *leg) inOrder() []int {
	places := make([]int, len(l.chosen))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(l.chosen[a], l.chosen[b]) })
	return places
}

func (c *Campaign) documentPoint(one *leg, i int, after []string, shown *int) (report.CrashPoint, error) {
	item := one.plan.Item(one.chosen[i])
	step := &item.Steps[len(item.Steps)-1]
	o := &step.Operation
	point := report.CrashPoint{
		Point: item.Text(c.Target), Operation: o.Operation, Path: o.Path, Other: o.Other, Queue: o.Queue, Occurrence: o.Occurrence,
		Timing: step.Timing, Incarnation: o.Incarnation, Index: o.Index, Size: o.Size, After: after, Lost: step.Lose,
		Hash: item.Hash(c.Target), Divergent: item.divergent(),
	}
	// Copies, or each would keep the whole step.
	if kept := step.Kept; step.Timing == during {
		point.Kept = &kept
	}
	if offset := o.Offset; offset >= 0 {
		point.Offset = &offset
	}
	result := one.results[i]
	point.Divergent = point.Divergent || result.Status() == Diverged
	point.Outcome, point.Failures, point.Attempts = outcomes[result.Status()], int(result.failures), int(result.attempts)
	point.Seconds = float64(int(result.seconds*1000)) / 1000
	switch result.Status() {
	case "", Survived:
		return point, nil
	}
	entry, err := c.journal.At(result.at)
	if err != nil {
		return point, err
	}
	point.Reason, point.Findings = entry.Outcome.Reason, report.NewFindings(entry.Outcome.Findings)
	point.Replay = c.Replay(point.Point)
	if *shown++; *shown > detailed {
		for f := range point.Findings {
			point.Findings[f].Rows = nil
		}
	}
	if confirmed, known := c.confirmations[point.Point]; known {
		point.Confirmed = confirmed.Failures > 0
		point.Failures += confirmed.Failures
		point.Attempts += max(confirmed.Attempts, confirmed.Failures)
		point.Report = confirmed.Report
	}
	return point, nil
}

// outcomes is how a document says what came of a point.
var outcomes = map[Status]report.Outcome{
	"": report.NotRun, Survived: report.Passed, Failed: report.Failed, Inconclusive: report.Inconclusive,
	Diverged: report.Inconclusive, Broken: report.Broken,
}

// WriteOutcomes writes what two campaigns are compared by: a line for each
// point that was run, in the order of the text, with its outcome and what was
// found. What differs from one run to the next, such as how long it took, is
// not in it.
func (c *Campaign) WriteOutcomes(to io.Writer) error {
	var lines []string
	for _, one := range c.legs {
		for i, number := range one.chosen {
			status := one.results[i].Status()
			if status == "" {
				continue
			}
			line := one.plan.Text(number) + "\t" + string(status)
			if status == Failed {
				entry, err := c.journal.At(one.results[i].at)
				if err != nil {
					return err
				}
				line += "\t" + entry.Outcome.Kinds()
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	buffered := bufio.NewWriter(to)
	for _, line := range lines {
		buffered.WriteString(line)
		buffered.WriteByte('\n')
	}
	return buffered.Flush()
}

// Save writes the files that others read: the document and the outcomes.
func (c *Campaign) Save(document *report.Campaign) error {
	defer sparing()()
	return errors.Join(
		report.SaveCampaign(c.Folder, document),
		report.WriteFile(filepath.Join(c.Folder, outcomesFile), c.WriteOutcomes),
	)
}

// Worst is what a reader wants to see run again first: the smallest failure,
// with the variables that it needs; false when nothing failed.
func (c *Campaign) Worst() (point string, env []string, failed bool, err error) {
	if c.smallest != nil {
		return c.smallest.Point, c.smallest.Env, true, nil
	}
	failures, err := c.failures()
	if err != nil || len(failures) == 0 {
		return "", nil, false, err
	}
	return failures[0].text, nil, true, nil
}

// Load opens a campaign to be read: nothing can be run.
func Load(folder string) (*Campaign, error) {
	found, err := load(folder)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("load campaign %s: %w", folder, os.ErrNotExist)
	}
	c := &Campaign{
		Options: Options{Settings: found.Settings, Folder: folder, Collected: found.Collected, Watcher: nobody{}},
		saved:   found, places: map[uint64]place{},
		recoveries: map[string]*Recovery{}, confirmations: map[string]Confirmation{}, trials: &Trials{},
	}
	return c, c.read()
}

// nobody watches.
type nobody struct{}

func (nobody) Phase(string)              {}
func (nobody) Planned(Summary)           {}
func (nobody) Outcome(Outcome, Progress) {}
func (nobody) Note(string)               {}
