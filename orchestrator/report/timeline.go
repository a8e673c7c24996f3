package report

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// timeline is a run as the HTML report draws it. Times are whole microseconds
// since the run began. What is drawn is decided here, so that it can be tested
// without a browser; the page only scales it.
type timeline struct {
	End      int64        `json:"end"`
	View     [2]int64     `json:"view"` // the part that is worth looking at first
	Services []string     `json:"services"`
	Lanes    []lane       `json:"lanes"`
	Faults   []faultMark  `json:"faults"`
	Queues   []queueLane  `json:"queues"`
	Chunks   []chunkLine  `json:"chunks"`
	Phases   []phaseMark  `json:"phases"`
	Events   eventColumns `json:"events"`
}

// lane is one container: its lives, each in one or two stretches.
type lane struct {
	Service int       `json:"service"`
	Created int64     `json:"created"` // -1 when it is not known
	Spans   []stretch `json:"spans"`
}

// stretch is a part of a container's life.
type stretch struct {
	State string `json:"state"`
	Life  int    `json:"life"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	// End says how a life ended, in words; empty when it goes on.
	End string `json:"end,omitempty"`
	Bad bool   `json:"bad,omitempty"` // it ended by a signal or with an error
	// Swept says that it ended because the run was over: nobody's doing.
	Swept bool `json:"swept,omitempty"`
}

// The states of a stretch.
const (
	stateStarting = "starting" // it has a health check that has not passed yet
	stateUp       = "up"
	stateHurt     = "hurt" // paused or disconnected: it lives, but cannot work
)

// faultMark is a fault that fired.
type faultMark struct {
	Number  int    `json:"number"`
	Service int    `json:"service"`
	Fired   int64  `json:"fired"`
	Healed  int64  `json:"healed"` // -1 when it was not
	Exact   bool   `json:"exact"`  // at a crash point
	Text    string `json:"text"`
	Matched string `json:"matched"`
}

// queueLane is what the broker said of a queue, each time that it was asked.
type queueLane struct {
	Name    string  `json:"name"`
	At      []int64 `json:"at"`
	Ready   []int   `json:"ready"`
	Unacked []int   `json:"unacked"`
}

// chunkLine is when each chunk was first named in the log of a service: the
// n-th chunk at the n-th time.
type chunkLine struct {
	Service int     `json:"service"`
	At      []int64 `json:"at"`
	Total   int     `json:"total"` // chunks that were sent
}

type phaseMark struct {
	At   int64  `json:"at"`
	Text string `json:"text"`
}

// eventColumns is every event, by column, since a hundred thousand objects
// are slow to read. At holds differences to the event before.
type eventColumns struct {
	At      []int64  `json:"at"`
	Kinds   string   `json:"kinds"`   // a letter an event, see eventLetters
	Service []int    `json:"service"` // -1 for none
	Life    []int    `json:"life"`
	Text    []string `json:"text"`
}

// eventLetters tell the page what an event is about, by which it filters.
var eventLetters = map[history.Kind]byte{
	history.Log: 'l', history.Created: 'c', history.Started: 'c', history.Healthy: 'c', history.Exited: 'c',
	history.FaultArmed: 'f', history.PointReached: 'f', history.FaultFired: 'f', history.FaultDone: 'f',
	history.FaultHealed: 'f', history.FaultMissed: 'f',
	history.QueueDepth: 'q', history.Operation: 'o',
	history.TimedOut: 'x', history.Trouble: 'x', history.Warning: 'x', history.Unremoved: 'x', history.Interrupted: 'x',
}

// The letters of events that eventLetters does not name, and of a line on
// standard error.
const (
	letterRun = 'r'
	letterErr = 'e'
)

func newTimeline(sc *scenario.Scenario, h *history.History) timeline {
	t := timeline{End: micro(end(h)), Faults: []faultMark{}, Queues: []queueLane{}, Chunks: []chunkLine{}, Phases: []phaseMark{}}
	known := map[string]bool{}
	for _, event := range h.Events {
		if event.Service != "" && !known[event.Service] {
			known[event.Service] = true
			t.Services = append(t.Services, event.Service)
		}
		if event.Kind == history.Phase {
			t.Phases = append(t.Phases, phaseMark{micro(event.At), event.Text})
		}
	}
	slices.Sort(t.Services)
	t.Lanes = t.lanesOf(h)
	t.Faults = append(t.Faults, t.faultsOf(sc, h)...)
	t.Queues = append(t.Queues, queuesOf(h)...)
	t.Chunks = append(t.Chunks, t.chunksOf(sc, h)...)
	t.Events = t.columnsOf(h)
	t.View = t.firstView(h)
	return t
}

func micro(d time.Duration) int64 { return d.Microseconds() }

func (t *timeline) service(name string) int {
	index, found := slices.BinarySearch(t.Services, name)
	if !found {
		return -1
	}
	return index
}

// lanesOf follows each container through its lives.
func (t *timeline) lanesOf(h *history.History) []lane {
	lanes := make([]lane, len(t.Services))
	for index := range lanes {
		lanes[index] = lane{Service: index, Created: -1, Spans: []stretch{}}
	}
	last := micro(end(h))
	removing := false
	for _, event := range h.Events {
		removing = removing || event.Kind == history.Phase && event.Text == "removing"
		if event.Service == "" {
			continue
		}
		l, at := &lanes[t.service(event.Service)], micro(event.At)
		switch event.Kind {
		case history.Created:
			l.Created = at
		case history.Started:
			l.Spans = append(l.Spans, stretch{State: stateUp, Life: event.Incarnation, From: at, To: last})
		case history.Healthy:
			l.healthy(event.Incarnation, at, last)
		case history.Exited:
			l.exited(event, at, removing)
		}
	}
	return lanes
}

// open is the stretch that goes on.
func (l *lane) open() *stretch {
	if len(l.Spans) == 0 || l.Spans[len(l.Spans)-1].End != "" {
		return nil
	}
	return &l.Spans[len(l.Spans)-1]
}

// healthy parts a life: until here it was starting.
func (l *lane) healthy(life int, at, last int64) {
	open := l.open()
	switch {
	case open == nil:
		l.Spans = append(l.Spans, stretch{State: stateUp, Life: life, From: at, To: last})
	case open.State == stateUp && open.From < at && (len(l.Spans) < 2 || l.Spans[len(l.Spans)-2].Life != open.Life):
		open.State, open.To = stateStarting, at
		l.Spans = append(l.Spans, stretch{State: stateUp, Life: life, From: at, To: last})
	}
}

func (l *lane) exited(event history.Event, at int64, removing bool) {
	open := l.open()
	if open == nil {
		l.Spans = append(l.Spans, stretch{State: stateUp, Life: event.Incarnation, From: at, To: at})
		open = &l.Spans[len(l.Spans)-1]
	}
	open.To, open.End = at, "exited"+exitCode(event)+parenthesised(event.Text)
	open.Bad, open.Swept = event.Code != nil && *event.Code != 0, removing
}

func (t *timeline) faultsOf(sc *scenario.Scenario, h *history.History) []faultMark {
	planned := expand(sc.Faults)
	marks := map[int]*faultMark{}
	var numbers []int
	for _, event := range h.Events {
		mark := marks[event.Fault]
		switch {
		case event.Kind == history.FaultFired && mark == nil:
			mark = &faultMark{
				Number: event.Fault, Service: t.service(event.Service), Fired: micro(event.At), Healed: -1,
				Text: "fault", Matched: printable(event.Text),
			}
			if at := event.Fault - 1; at >= 0 && at < len(planned) {
				mark.Text, mark.Exact = string(planned[at].Kind)+" "+planned[at].Service, planned[at].When.IsCrashPoint()
			}
			marks[event.Fault] = mark
			numbers = append(numbers, event.Fault)
		case event.Kind == history.FaultHealed && mark != nil:
			mark.Healed = micro(event.At)
		case event.Kind == history.FaultDone && mark != nil:
			t.hurt(planned, h, event)
		}
	}
	faults := make([]faultMark, 0, len(numbers))
	for _, number := range numbers {
		faults = append(faults, *marks[number])
	}
	return faults
}

// hurt marks the stretch for which a fault kept a container from working
// without ending its life.
func (t *timeline) hurt(planned []scenario.Fault, h *history.History, done history.Event) {
	if done.Fault < 1 || done.Fault > len(planned) || done.Service == "" {
		return
	}
	if kind := planned[done.Fault-1].Kind; kind != scenario.Pause && kind != scenario.Disconnect {
		return
	}
	to := t.End
	for _, event := range h.Events {
		if event.Kind == history.FaultHealed && event.Fault == done.Fault {
			to = micro(event.At)
		}
	}
	l := &t.Lanes[t.service(done.Service)]
	l.Spans = append(l.Spans, stretch{State: stateHurt, Life: done.Incarnation, From: micro(done.At), To: to, End: done.Text})
}

func queuesOf(h *history.History) []queueLane {
	var lanes []queueLane
	for _, event := range h.Events {
		if event.Kind != history.QueueDepth {
			continue
		}
		index := slices.IndexFunc(lanes, func(l queueLane) bool { return l.Name == event.Queue })
		if index < 0 {
			index = len(lanes)
			lanes = append(lanes, queueLane{Name: event.Queue})
		}
		l := &lanes[index]
		l.At, l.Ready, l.Unacked = append(l.At, micro(event.At)), append(l.Ready, event.Ready), append(l.Unacked, event.Unacked)
	}
	slices.SortFunc(lanes, func(a, b queueLane) int { return strings.Compare(a.Name, b.Name) })
	return lanes
}

// chunkID is what the id of a chunk looks like in a line of a log.
var chunkID = regexp.MustCompile(`[0-9A-Za-z][0-9A-Za-z_.-]*`)

// chunksOf reads from the logs how chunks moved from service to service, where
// the history has the record of what was sent.
func (t *timeline) chunksOf(sc *scenario.Scenario, h *history.History) []chunkLine {
	sent := sentChunks(sc, h)
	if len(sent) == 0 {
		return nil
	}
	seen := make([]map[string]bool, len(t.Services))
	lines := make([]chunkLine, len(t.Services))
	var order []int
	for _, event := range h.Events {
		index := t.service(event.Service)
		if event.Kind != history.Log || index < 0 {
			continue
		}
		for _, word := range chunkID.FindAllString(event.Text, -1) {
			word = strings.TrimRight(word, ".-_")
			if !sent[word] || seen[index][word] {
				continue
			}
			if seen[index] == nil {
				seen[index] = map[string]bool{}
				lines[index] = chunkLine{Service: index, Total: len(sent)}
				order = append(order, index)
			}
			seen[index][word] = true
			lines[index].At = append(lines[index].At, micro(event.At))
		}
	}
	var chunks []chunkLine
	for _, index := range order {
		chunks = append(chunks, lines[index])
	}
	return chunks
}

func sentChunks(sc *scenario.Scenario, h *history.History) map[string]bool {
	if sc.Facts == nil || sc.Facts.Rows == nil {
		return nil
	}
	record := find(h, func(file history.File) bool {
		return file.Stage == history.AtEnd && file.Service == sc.Facts.Rows.Sent.Service && file.Path == sc.Facts.Rows.Sent.File
	})
	if record == nil {
		return nil
	}
	content, err := h.Open(*record)
	if err != nil {
		return nil // the checks say what is wrong with the record
	}
	defer content.Close()
	chunks := map[string]bool{}
	if err := history.ReadSent(content, func(line history.SentLine) error {
		if line.Chunk != "" {
			chunks[line.Chunk] = true
		}
		return nil
	}); err != nil {
		return nil
	}
	return chunks
}

func (t *timeline) columnsOf(h *history.History) eventColumns {
	count := len(h.Events)
	columns := eventColumns{
		At: make([]int64, count), Service: make([]int, count), Life: make([]int, count), Text: make([]string, count),
	}
	kinds := make([]byte, count)
	before := int64(0)
	for index, event := range h.Events {
		at := micro(event.At)
		columns.At[index], before = at-before, at
		columns.Service[index], columns.Life[index] = t.service(event.Service), event.Incarnation
		letter, known := eventLetters[event.Kind]
		if !known {
			letter = letterRun
		}
		text := event.Text
		if event.Kind != history.Log {
			_, text = describe(event)
			if event.Kind == history.QueueDepth {
				text = event.Queue + ": " + text
			}
		} else if event.Stream == "stderr" {
			letter = letterErr
		}
		kinds[index], columns.Text[index] = letter, printable(text)
	}
	columns.Kinds = string(kinds)
	return columns
}

// firstView begins a little before everything runs: the boot of a broker is
// long, and little happens in it.
func (t *timeline) firstView(h *history.History) [2]int64 {
	from := t.End
	for _, event := range h.Events {
		running := event.Kind == history.Phase && event.Text == "running"
		if running || event.Kind == history.FaultFired || event.Kind == history.Trouble {
			from = min(from, micro(event.At))
		}
	}
	if from == t.End {
		return [2]int64{0, t.End}
	}
	return [2]int64{max(0, from-(t.End-from)/6), t.End}
}
