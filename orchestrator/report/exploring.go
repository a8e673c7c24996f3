package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ExploringOptions says where the progress of a campaign goes.
type ExploringOptions struct {
	Stderr io.Writer
	Err    Style
	// Width gives the columns that the terminal has now; nil: those of Err.
	Width func() int
	Quiet bool // only what the reader must know
	Now   func() time.Time
}

// Exploring shows a campaign on its way: on a terminal one line that is drawn
// again and again, and lines that stay for what was found; elsewhere JSON, a
// line for each thing (see docs/json.md). Its methods may be called by several
// goroutines.
type Exploring struct {
	options ExploringOptions

	mu    sync.Mutex
	phase string
	now   CampaignProgress
	known bool // something is known of the progress of this phase
	drawn string
	last  time.Time // that it was drawn, or written as JSON
}

// CampaignProgress is how far a campaign is.
type CampaignProgress struct {
	Done         int     `json:"done"`  // points
	Total        int     `json:"total"` // points that will be run
	Failed       int     `json:"failed"`
	Inconclusive int     `json:"inconclusive"`
	Diverged     int     `json:"diverged,omitempty"`
	Rate         float64 `json:"rate"`    // points a minute
	Left         float64 `json:"left"`    // seconds, as far as can be told; 0: not known
	Seconds      float64 `json:"seconds"` // since the first point
}

// ExploringLine is one line of JSON that tells how a campaign goes. Which
// fields there are depends on the event.
type ExploringLine struct {
	Event string    `json:"event"` // phase, planned, progress, found or note
	Time  time.Time `json:"time"`
	Text  string    `json:"text,omitempty"`
	// Point and Outcome belong to found.
	Point    string            `json:"point,omitempty"`
	Outcome  Outcome           `json:"outcome,omitempty"`
	Progress *CampaignProgress `json:"progress,omitempty"`
	Planned  *CampaignPlan     `json:"planned,omitempty"`
}

// CampaignPlan is what a campaign is going to do.
type CampaignPlan struct {
	Operations int            `json:"operations"` // recorded
	Points     int            `json:"points"`     // of all of them
	Kinds      map[string]int `json:"kinds"`      // points by operation
	Chosen     int            `json:"chosen"`     // that are run, those that were run before too
	Resumed    int            `json:"resumed,omitempty"`
	Notes      []string       `json:"notes,omitempty"`
}

// How often the progress is told: on a terminal for the eye, elsewhere for a
// log that somebody reads later.
const (
	drawEvery  = 100 * time.Millisecond
	writeEvery = 10 * time.Second
)

// NewExploring begins to show.
func NewExploring(options ExploringOptions) *Exploring {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Exploring{options: options}
}

func (e *Exploring) onTerminal() bool { return e.options.Err.Width > 0 }

// Phase says what is done next.
func (e *Exploring) Phase(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	e.phase, e.known = text, false
	if e.onTerminal() {
		e.draw()
		return
	}
	e.write(ExploringLine{Event: "phase", Text: text})
}

// Planned says which points there are.
func (e *Exploring) Planned(plan CampaignPlan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.onTerminal() {
		e.write(ExploringLine{Event: "planned", Planned: &plan})
		return
	}
	if e.options.Quiet {
		return
	}
	e.print(plan.text())
	for _, note := range plan.Notes {
		e.print("  " + note)
	}
	e.draw()
}

// text says a plan in one line: 1,284 crash points (fsync 200, write 1,084) of
// 340 operations.
func (p CampaignPlan) text() string {
	var kinds []string
	for _, operation := range operationOrder {
		if p.Kinds[operation] > 0 {
			kinds = append(kinds, operation+" "+thousands(p.Kinds[operation]))
		}
	}
	text := fmt.Sprintf("%s crash points (%s) at %s operations", thousands(p.Points), strings.Join(kinds, ", "), thousands(p.Operations))
	if p.Chosen < p.Points {
		text += fmt.Sprintf(", of which %s are run", thousands(p.Chosen))
	}
	if p.Resumed > 0 {
		text += fmt.Sprintf("; %s were run before", thousands(p.Resumed))
	}
	return text
}

// Progress says how far the campaign is. It is told as often as a reader can
// follow.
func (e *Exploring) Progress(progress CampaignProgress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now, e.known = progress, true
	now, every := e.options.Now(), drawEvery
	if !e.onTerminal() {
		every = writeEvery
	}
	if now.Sub(e.last) < every {
		return
	}
	e.last = now
	if e.onTerminal() {
		e.draw()
		return
	}
	e.write(ExploringLine{Event: "progress", Progress: &progress})
}

// Found tells of a point that did not survive.
func (e *Exploring) Found(point string, outcome Outcome, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.onTerminal() {
		e.write(ExploringLine{Event: "found", Point: point, Outcome: outcome, Text: text})
		return
	}
	if e.options.Quiet {
		return
	}
	e.print(fmt.Sprintf("%s %s  %s", e.options.Err.mark(outcome), oneLine(point), oneLine(text)))
	e.draw()
}

// Note tells of what the reader must know.
func (e *Exploring) Note(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.onTerminal() {
		e.print(continued(text, "    "))
		e.draw()
		return
	}
	e.write(ExploringLine{Event: "note", Text: text})
}

// Close takes the progress away.
func (e *Exploring) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	e.phase = ""
	e.clear()
}

// settle writes where a phase ended, which may have come just after the last
// line.
func (e *Exploring) settle() {
	if e.known && !e.onTerminal() {
		progress := e.now
		e.write(ExploringLine{Event: "progress", Progress: &progress})
		e.last = e.options.Now()
	}
}

func (e *Exploring) write(line ExploringLine) {
	if e.options.Quiet && line.Event != "note" {
		return
	}
	line.Time = e.options.Now().UTC().Truncate(time.Millisecond)
	encoder := json.NewEncoder(e.options.Stderr)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(line) // nobody is left to tell that stderr is gone
}

// print writes a line that stays.
func (e *Exploring) print(text string) {
	e.clear()
	fmt.Fprintln(e.options.Stderr, text)
}

func (e *Exploring) clear() {
	if e.drawn != "" {
		io.WriteString(e.options.Stderr, eraseLine)
		e.drawn = ""
	}
}

// draw draws the one line anew.
func (e *Exploring) draw() {
	if e.options.Quiet || e.phase == "" {
		return
	}
	columns := e.options.Err.Width
	if e.options.Width != nil {
		if now := e.options.Width(); now > 0 {
			columns = now
		}
	}
	line := e.phase
	if e.known {
		line += "  " + e.now.text()
	}
	if line = cut(oneLine(line), columns-1); line == e.drawn {
		return
	}
	e.clear()
	io.WriteString(e.options.Stderr, line)
	e.drawn = line
}

// text is the progress in one line: 312/1,284  24%  1,180 a minute  49s left.
func (p CampaignProgress) text() string {
	text := thousands(p.Done) + "/" + thousands(p.Total)
	if p.Total > 0 {
		text += fmt.Sprintf("  %d%%", 100*p.Done/p.Total)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf("  %s a minute", thousands(int(p.Rate)))
	}
	if p.Left > 0 {
		text += "  " + shortTime(time.Duration(p.Left*float64(time.Second))) + " left"
	}
	for _, count := range []struct {
		number int
		word   string
	}{{p.Failed, "failed"}, {p.Inconclusive, "inconclusive"}, {p.Diverged, "diverged"}} {
		if count.number > 0 {
			text += fmt.Sprintf("  %s %s", thousands(count.number), count.word)
		}
	}
	return text
}

// thousands writes a number with its thousands apart.
func thousands(number int) string {
	digits := fmt.Sprint(number)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
