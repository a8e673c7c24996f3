package report

import (
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Page is what the HTML report shows of one run besides its result. It holds
// nothing of the history itself, so that it can be kept while other runs go on.
type Page struct {
	timeline    template.JS
	services    []string
	operated    bool // operations were recorded
	around      map[int][]htmlOperation
	environment map[string]string
}

// NewPage takes from a run's history what the HTML report shows.
func NewPage(sc *scenario.Scenario, h *history.History) (Page, error) {
	t := newTimeline(sc, h)
	data, err := embedJSON(t)
	if err != nil {
		return Page{}, err
	}
	page := Page{timeline: data, services: t.Services, around: map[int][]htmlOperation{}, environment: h.Meta.Environment}
	for index, event := range h.Events {
		page.operated = page.operated || event.Kind == history.Operation
		if event.Kind == history.PointReached {
			page.around[event.Fault] = operationsAround(h, index)
		}
	}
	return page, nil
}

// WriteHTML writes one page for all runs of a document. Pages belong to the
// runs by their names; a run that has none, since its turn never came, is
// shown without a timeline.
func WriteHTML(to io.Writer, document Document, pages map[string]Page) error {
	data := struct {
		frame
		Headline, Counts, Took string
		Outcomes               []Outcome
		Trouble                []string
		Runs                   []htmlRun
	}{
		Counts: Style{}.counts(document.Totals), Trouble: document.Trouble,
		Took: shortTime(time.Duration(document.Seconds * float64(time.Second))),
	}
	ids := anchors{}
	for _, result := range document.Scenarios {
		data.Runs = append(data.Runs, newHTMLRun(result, pages[result.Name], ids.of(result.Name), document.Killpoint))
		if !slices.Contains(data.Outcomes, result.Outcome) {
			data.Outcomes = append(data.Outcomes, result.Outcome)
		}
	}
	// What a reader must look at comes first.
	slices.SortStableFunc(data.Runs, func(a, b htmlRun) int { return gravity(a.Outcome) - gravity(b.Outcome) })
	data.Headline = headlineOf(document)
	title := data.Headline
	if len(document.Scenarios) == 1 {
		title = document.Scenarios[0].Name + " " + outcomeWords(document.Scenarios[0].Outcome)
	}
	data.frame = newFrame(title+" – Killpoint", document.Killpoint, document.Outcome, runsScript)
	data.Date = document.Started.UTC().Format("2 January 2006, 15:04 UTC")
	data.From = "the saved history"
	return render(to, "runs", data)
}

// gravity is 0 for the outcome that a reader must see first.
func gravity(outcome Outcome) int {
	return slices.Index([]Outcome{Failed, Broken, Interrupted, Inconclusive, NotRun, Passed}, outcome)
}

func headlineOf(document Document) string {
	totals := document.Totals
	switch {
	case totals.Passed == totals.Scenarios:
		return fmt.Sprintf("All %d scenarios passed", totals.Scenarios)
	case totals.Failed > 0:
		return fmt.Sprintf("%d of %d scenarios failed", totals.Failed, totals.Scenarios)
	default:
		return fmt.Sprintf("%d of %d scenarios did not pass", totals.Scenarios-totals.Passed, totals.Scenarios)
	}
}

// htmlRun is a run as the template takes it.
type htmlRun struct {
	Result
	Anchor, Took, Short    string
	Lead                   []string // why it did not pass
	Kinds                  []htmlKind
	FaultCount, CheckCount string
	Checks                 []htmlCheck
	Wrong                  []Finding
	Crashes                []htmlCrash
	Phases                 []htmlPhase
	Overhead               string
	About                  [][3]string // name, value, and whether it is code
	Timeline               template.JS
	Services               []string
	Operated               bool
}

type htmlCheck struct {
	Name   string
	Status CheckStatus
	Words  string
}

type htmlPhase struct {
	Name, Seconds string
	Percent       float64
	Own           bool // killpoint's own time
}

type htmlCrash struct {
	Who, Text, Done, Point, Loss, Service string
	Files                                 []htmlFile
	Cut                                   bool
	Operations                            []htmlOperation
}

type htmlFile struct {
	Path, CrashWords, EndWords string
	Crash, End                 template.HTML
}

// htmlOperation is a recorded operation, or the crash between two of them.
type htmlOperation struct {
	Here                               bool
	Text, At, Operation, Object, Bytes string
}

func newHTMLRun(result Result, page Page, anchor, killpoint string) htmlRun {
	run := htmlRun{
		Result: result, Anchor: anchor, Took: shortTime(time.Duration(result.Seconds * float64(time.Second))),
		Timeline: page.timeline, Services: page.services, Operated: page.operated,
	}
	run.Trouble, run.Warnings, run.Unremoved = printed(result.Trouble), printed(result.Warnings), printed(result.Unremoved)
	passed := 0
	for _, check := range result.Checks {
		if check.Status == CheckOff || !result.proves(check) {
			continue
		}
		run.Checks = append(run.Checks, htmlCheck{check.Name, check.Status, checkWords(check)})
		for _, finding := range check.Findings {
			finding.Text = printable(finding.Text)
			run.Wrong = append(run.Wrong, finding)
		}
		if check.Status == CheckPassed {
			passed++
		}
	}
	if len(run.Checks) > 0 {
		run.CheckCount = fmt.Sprintf("%d of %d passed", passed, len(run.Checks))
	}
	run.tellWhy()
	run.tellFaults(page)
	run.tellTimes()
	run.tellAbout(page, killpoint)
	return run
}

func printed(texts []string) []string {
	var safe []string
	for _, text := range texts {
		safe = append(safe, strings.TrimRight(printable(text), "\n"))
	}
	return safe
}

func checkWords(check Check) string {
	parts := []string{}
	if count := len(check.Findings); count > 0 {
		parts = append(parts, plural(count, "finding"))
	}
	for _, text := range []string{check.Detail, check.Reason} {
		if text != "" {
			parts = append(parts, printable(text))
		}
	}
	return strings.Join(parts, ", ")
}

// tellWhy says in a few lines why the run did not pass.
func (run *htmlRun) tellWhy() {
	run.Short = printable(run.Description)
	if run.Outcome == Passed {
		return
	}
	run.Kinds = kindsOf(run.Wrong)
	for index, reason := range run.Reasons {
		// Findings stand below, each with its rows; the weightiest says enough.
		if index == 1 && len(run.Wrong) > 0 {
			break
		}
		first, _, _ := strings.Cut(printable(reason), "\n")
		run.Lead = append(run.Lead, first)
	}
	if len(run.Lead) > 0 {
		run.Short = run.Lead[0]
	}
}

// htmlKind is a kind of finding and how many there are of it.
type htmlKind struct{ Name, Count string }

// kindsOf gives the kinds of findings, in the order in which they come first,
// each with the number of its findings.
func kindsOf(findings []Finding) []htmlKind {
	var names []string
	counts := map[string]int{}
	for _, finding := range findings {
		if !slices.Contains(names, finding.Kind) {
			names = append(names, finding.Kind)
		}
		counts[finding.Kind]++
	}
	var kinds []htmlKind
	for _, name := range names {
		kinds = append(kinds, htmlKind{name, grouped(counts[name])})
	}
	return kinds
}

func (run *htmlRun) tellFaults(page Page) {
	fired := 0
	for _, fault := range run.Faults {
		if fault.FiredAt != nil {
			fired++
		}
		if fault.Point != nil {
			run.Crashes = append(run.Crashes, newHTMLCrash(fault, page.around[fault.Number]))
		}
	}
	if len(run.Faults) > 0 {
		run.FaultCount = fmt.Sprintf("%d of %d fired", fired, len(run.Faults))
	}
}

func newHTMLCrash(fault Fault, around []htmlOperation) htmlCrash {
	point := fault.Point
	crash := htmlCrash{
		Who: fmt.Sprintf("%s #%d", fault.Service, max(fault.Incarnation, 1)), Text: printable(point.Text), Done: printable(fault.Done),
		Point: point.Point, Service: fault.Service, Operations: around,
	}
	lost := 0
	for _, change := range point.Unsynced {
		if change.Lost {
			lost++
		}
	}
	if len(point.Unsynced) > 0 {
		crash.Loss = fmt.Sprintf("%s had not been synced; the power cut took %d of them.", plural(len(point.Unsynced), "change"), lost)
	}
	for _, file := range point.Files {
		one := htmlFile{Path: printable(file.Path), CrashWords: bytesWords(file.Crash, file.Cut), EndWords: bytesWords(file.End, file.Cut)}
		one.Crash, one.End = hexHTML(file.Crash, file.Cut, nil), hexHTML(file.End, file.Cut, file.Crash)
		crash.Cut = crash.Cut || file.Cut != nil
		crash.Files = append(crash.Files, one)
	}
	return crash
}

func bytesWords(some *Bytes, cut *int64) string {
	switch {
	case some == nil:
		return "no such file"
	case some.Unread != "":
		return printable(some.Unread)
	case cut == nil:
		return plural(int(some.Size), "byte")
	default:
		return fmt.Sprintf("%s, cut at byte %d", plural(int(some.Size), "byte"), *cut)
	}
}

// How many lines of a hexdump a page shows around the one with the cut.
const (
	pageLinesBefore = 3
	pageLinesAfter  = 4
)

// hexHTML is a hexdump with the cut marked and, where there are bytes to
// compare with, those underlined that it left otherwise.
func hexHTML(some *Bytes, cut *int64, before *Bytes) template.HTML {
	if some == nil || some.Hex == "" {
		return ""
	}
	content, err := hex.DecodeString(some.Hex)
	if err != nil {
		return ""
	}
	changed := func(int64) bool { return false }
	if before != nil {
		old, err := hex.DecodeString(before.Hex)
		if err != nil {
			return ""
		}
		changed = func(at int64) bool {
			within := at - before.From
			return within >= 0 && within < int64(len(old)) && old[within] != content[at-some.From]
		}
	}
	var text strings.Builder
	for _, line := range near(dumpLines(some.From, content, cut), some, cut, pageLinesBefore, pageLinesAfter) {
		fmt.Fprintf(&text, `<span class="at">%08x</span> `, line.at)
		line.write(&text, func(cell dumpCell) string {
			switch code := fmt.Sprintf("%02x", cell.value); {
			case cell.blank:
				return "  "
			case changed(cell.at):
				return "<u>" + code + "</u>"
			default:
				return code
			}
		}, `<b class="cut">│</b>`)
		text.WriteString("  ")
		for _, cell := range line.cells {
			if cell.cut {
				text.WriteString(`<b class="cut">│</b>`)
			}
			if cell.blank {
				continue
			}
			char := template.HTMLEscapeString(string(rune(visible(cell.value))))
			if changed(cell.at) {
				char = "<u>" + char + "</u>"
			}
			text.WriteString(char)
		}
		text.WriteByte('\n')
	}
	return template.HTML(text.String())
}

func (run *htmlRun) tellTimes() {
	if run.Times == nil {
		return
	}
	most := 0.0
	for _, phase := range run.Times.Phases {
		most = max(most, phase.Seconds)
	}
	for _, phase := range run.Times.Phases {
		if most == 0 {
			continue
		}
		run.Phases = append(run.Phases, htmlPhase{
			Name: phase.Name, Seconds: fmt.Sprintf("%.2f s", phase.Seconds), Percent: 100 * phase.Seconds / most, Own: !accountable[phase.Name],
		})
	}
	run.Overhead = fmt.Sprintf("%.2f s (%.1f %%)", run.Times.Overhead, run.Times.OverheadPercent)
}

func (run *htmlRun) tellAbout(page Page, killpoint string) {
	add := func(name, value string, code bool) {
		if value == "" {
			return
		}
		kind := ""
		if code {
			kind = "code"
		}
		run.About = append(run.About, [3]string{name, printable(value), kind})
	}
	add("scenario", place(run.File, run.Line, run.Column), true)
	if run.Started != nil {
		add("started", run.Started.UTC().Format("2006-01-02 15:04:05.000 UTC"), false)
	}
	add("run", run.RunID, true)
	add("killpoint", killpoint, false)
	add("engine", run.Engine, false)
	for _, name := range slices.Sorted(maps.Keys(page.environment)) {
		add(name, page.environment[name], true)
	}
	for _, name := range slices.Sorted(maps.Keys(run.Images)) {
		add("image of "+name, run.Images[name], true)
	}
	add("saved in", run.Report, true)
}

// How many operations are shown before and after a crash point.
const operationsShown = 8

// operationsAround gives the recorded operations of a service before it was
// held at a point, and the first ones of its next life.
func operationsAround(h *history.History, held int) []htmlOperation {
	crash := h.Events[held]
	var before, after []htmlOperation
	for index := held - 1; index >= 0 && len(before) < operationsShown; index-- {
		if event := h.Events[index]; event.Kind == history.Operation && event.Service == crash.Service && event.Incarnation == crash.Incarnation && event.Point != nil {
			before = append(before, newHTMLOperation(event))
		}
	}
	slices.Reverse(before)
	for index := held + 1; index < len(h.Events) && len(after) < operationsShown; index++ {
		if event := h.Events[index]; event.Kind == history.Operation && event.Service == crash.Service && event.Incarnation == crash.Incarnation+1 && event.Point != nil {
			after = append(after, newHTMLOperation(event))
		}
	}
	if len(before)+len(after) == 0 {
		return nil
	}
	here := htmlOperation{Here: true, Text: "✕ held " + printable(crash.Text)}
	return append(append(before, here), after...)
}

func newHTMLOperation(event history.Event) htmlOperation {
	point := event.Point
	one := htmlOperation{At: fmt.Sprintf("%.4f s", event.At.Seconds()), Operation: fmt.Sprintf("%s %d", point.Operation, point.Occurrence), Object: point.Path}
	if point.Queue != "" {
		one.Object = "queue " + point.Queue
	}
	if point.Other != "" {
		one.Object += " → " + point.Other
	}
	one.Object = printable(one.Object)
	if point.Size > 0 {
		one.Bytes = plural(int(point.Size), "byte")
		if point.Offset >= 0 {
			one.Bytes += fmt.Sprintf(" at %d", point.Offset)
		}
	}
	return one
}
