package report

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// redrawEvery is how often the status line is drawn again when nothing
// happens, so that its clock is seen to run.
const redrawEvery = 100 * time.Millisecond

// ConsoleOptions says where a console writes and how much.
type ConsoleOptions struct {
	Stdout, Stderr io.Writer // results go to Stdout, progress to Stderr
	Out, Err       Style     // of Stdout and of Stderr
	Quiet          bool      // no progress, and nothing of runs that passed
	Verbose        bool      // every event, log lines too
	Total          int       // how many runs there will be
	NameWidth      int       // columns of the longest name of a run
	// Width gives the columns that the terminal of Stderr has now, since
	// people make windows larger and smaller; nil: those of Err.
	Width func() int
	Now   func() time.Time
}

// Console shows the runs of one command. Its methods may be called by several
// goroutines, and none of them waits for the terminal: an event comes from
// within a run, which must not stand still because somebody pressed Ctrl-S.
// Close waits until everything is written.
type Console struct {
	mu      sync.Mutex
	waiting []func(*screen)
	running map[string]*status // only what is fixed in a status may be read here; the loop changes the rest
	closed  bool

	options ConsoleOptions
	wake    chan struct{}
	done    chan struct{}
}

// NewConsole begins to show; Close ends it.
func NewConsole(options ConsoleOptions) *Console {
	if options.Now == nil {
		options.Now = time.Now
	}
	c := &Console{
		options: options, running: map[string]*status{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go c.loop()
	return c
}

// Begin says that a run of the scenario starts under this name.
func (c *Console) Begin(name string, sc *scenario.Scenario) {
	current := newStatus(name, sc, c.options.Now())
	c.mu.Lock()
	c.running[name] = current
	c.mu.Unlock()
	c.post(func(s *screen) { s.begin(current) })
}

// Event shows an event of the run of this name, when it is worth it.
func (c *Console) Event(name string, event history.Event) {
	c.mu.Lock()
	current := c.running[name]
	c.mu.Unlock()
	if c.shows(event) || (current != nil && current.interesting(event)) {
		c.post(func(s *screen) { s.event(name, event) })
	}
}

func (c *Console) shows(event history.Event) bool {
	switch {
	case c.options.Quiet:
		return false
	case c.options.Verbose:
		return true
	case c.options.Err.Width > 0:
		return loudnessOf(event.Kind) >= loud
	default:
		return loudnessOf(event.Kind) >= spoken
	}
}

// End shows the result of a run.
func (c *Console) End(result Result) {
	c.post(func(s *screen) { s.end(result) })
}

// Note writes a line of the tool itself beside the progress, also when quiet.
func (c *Console) Note(text string) {
	c.post(func(s *screen) { s.note(text) })
}

// Closing says what all runs together came to. Of a single run that was shown
// already there is nothing more to say.
func (c *Console) Closing(document Document) {
	if document.Totals.Scenarios != 1 || c.options.Quiet {
		c.post(func(s *screen) { s.print(s.Out.closing(document)) })
	}
}

// Close takes the status line away and waits until all was written.
func (c *Console) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.nudge()
	<-c.done
}

func (c *Console) post(draw func(*screen)) {
	c.mu.Lock()
	if !c.closed {
		c.waiting = append(c.waiting, draw)
	}
	c.mu.Unlock()
	c.nudge()
}

func (c *Console) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already and will find what was added
	}
}

// loop is the only goroutine that writes.
func (c *Console) loop() {
	defer close(c.done)
	view := &screen{ConsoleOptions: c.options, shows: c.shows}
	var tick <-chan time.Time
	if c.options.Err.Width > 0 && !c.options.Quiet {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-c.wake:
		case <-tick:
		}
		c.mu.Lock()
		batch, closed := c.waiting, c.closed
		c.waiting = nil
		c.mu.Unlock()
		for _, draw := range batch {
			draw(view)
		}
		if closed {
			view.clear()
			return
		}
		view.redraw()
	}
}

// eraseLine takes away the line that the cursor is in, and goes to its start.
const eraseLine = "\r\x1b[K"

// screen is what is on the terminal: lines that stay, and below them the
// status line that is drawn again and again. It is used by one goroutine.
type screen struct {
	ConsoleOptions
	shows   func(history.Event) bool
	running []*status
	ended   int
	drawn   string // the status line that stands there now
}

func (s *screen) begin(current *status) { s.running = append(s.running, current) }

func (s *screen) event(name string, event history.Event) {
	expected := false
	for _, current := range s.running {
		if current.name == name {
			current.apply(event)
			// Everything exits when it is removed, which is no news.
			expected = current.removing && event.Kind == history.Exited && !s.Verbose
		}
	}
	if s.shows(event) && !expected {
		s.clear()
		fmt.Fprintln(s.Stderr, s.Err.eventLine(name, s.NameWidth, event))
	}
}

func (s *screen) end(result Result) {
	for index, current := range s.running {
		if current.name == result.Name {
			s.running = append(s.running[:index:index], s.running[index+1:]...)
			break
		}
	}
	s.ended++
	if s.Quiet && result.Outcome == Passed {
		return
	}
	s.print(s.Out.resultBlock(result))
}

func (s *screen) note(text string) {
	s.clear()
	fmt.Fprintln(s.Stderr, continued(text, "    "))
}

func (s *screen) print(text string) {
	s.clear()
	io.WriteString(s.Stdout, text)
}

// clear takes the status line away, so that what is written next, also on
// stdout when that is the same terminal, begins at the start of a line.
func (s *screen) clear() {
	if s.drawn != "" {
		io.WriteString(s.Stderr, eraseLine)
		s.drawn = ""
	}
}

func (s *screen) redraw() {
	if s.Err.Width == 0 || s.Quiet {
		return
	}
	line := ""
	if len(s.running) > 0 {
		// One column stays free: a full line would wrap on some terminals.
		line = statusLine(s.running, s.ended, s.Total, s.columns()-1, s.Now())
	}
	if line == s.drawn {
		return
	}
	// In one piece, or the line is seen to flicker.
	erase := ""
	if s.drawn != "" {
		erase = eraseLine
	}
	io.WriteString(s.Stderr, erase+s.Err.paint(faint, line))
	s.drawn = line
}

// columns is how wide the terminal is, never less than 2.
func (s *screen) columns() int {
	columns := s.Err.Width
	if s.Width != nil {
		if now := s.Width(); now > 0 {
			columns = now
		}
	}
	return max(columns, 2)
}
