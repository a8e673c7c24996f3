// Package history holds what happened in one run: every event with its time,
// in order, and the files that were collected at the end. Verdicts are
// computed from a history alone, so that a saved one can be judged and
// rendered again. It imports none of the other rooms.
//
// It records; it never judges: what an event means is said by package check.
package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"
)

// Kind says what an event is.
type Kind string

// The kinds of event. Which fields of an Event each one sets is said beside
// it; At and Kind are always set.
const (
	Phase        Kind = "phase"         // Text: a phase of the run began (see Span for how long it took)
	Created      Kind = "created"       // Service
	Started      Kind = "started"       // Service, Incarnation
	Healthy      Kind = "healthy"       // Service, Incarnation
	Log          Kind = "log"           // Service, Incarnation, Stream, Text: one line, without its newline
	Exited       Kind = "exited"        // Service, Incarnation, Code; Text names the signal or the OOM killer where known
	FaultArmed   Kind = "fault-armed"   // Service, Fault, Text: the trigger in words
	PointReached Kind = "point-reached" // Service, Incarnation, Fault, Point; Text: Point in words; a program is held at a crash point
	Operation    Kind = "operation"     // Service, Incarnation, Point: a recorded operation of the service, in the order in which it made them
	FaultFired   Kind = "fault-fired"   // Service, Incarnation, Fault, Text: what matched; the moment at which the trigger came
	FaultDone    Kind = "fault-done"    // Service, Incarnation, Fault, Text: what was done; the moment at which it had taken effect
	FaultHealed  Kind = "fault-healed"  // Service, Incarnation, Fault, Text: the service is back: started, unpaused or connected again
	FaultMissed  Kind = "fault-missed"  // Service, Fault, Text: the run ended before the trigger came, or the fault could not be done
	QueueDepth   Kind = "queue-depth"   // Queue, Ready, Unacked: as the broker itself counted them
	Collected    Kind = "collected"     // Service, Text: the path; the content is in Files
	CommandRan   Kind = "command-ran"   // Service, Code, Text: the command; Stdout and Stderr; Expect: index of the expectation
	AllDone      Kind = "all-done"      // everything expected was there and the queues were drained; Unit: of what was sent up to that unit of a chain, before whose next the sender is held
	Settled      Kind = "settled"       // drained, but not everything was there, and nothing happened for the settle time
	TimedOut     Kind = "timed-out"     // Text: what was still awaited
	Interrupted  Kind = "interrupted"   // the person ended the run
	Trouble      Kind = "trouble"       // Text: Docker, broker, image or disk trouble: the run is broken
	Warning      Kind = "warning"       // Text: something that the reader of the result must know
	Removed      Kind = "removed"       // everything that the run created is gone
	Unremoved    Kind = "unremoved"     // Text: a thing that could not be removed, by name
	CheckStarted Kind = "check-started"
	AtRest       Kind = "at-rest"    // Service, Incarnation, Unit: the service of a chain rests in a new life, before that unit; Text identifies what is in its volumes, where that was looked at
	UnitBegan    Kind = "unit-began" // Service, Unit: the sender was let go on with its message of that number
	UnitDone     Kind = "unit-done"  // Service, Unit: everything sent so far was handled, and the sender is held before its next message or has ended
)

// Event is one thing that happened in a run.
type Event struct {
	// At is the time since the run began, on one monotonic clock.
	At   time.Duration `json:"at"`
	Kind Kind          `json:"kind"`

	Service string `json:"service,omitempty"`
	// Incarnation is which life of the service, counted from 1.
	Incarnation int    `json:"incarnation,omitempty"`
	Stream      string `json:"stream,omitempty"` // stdout or stderr
	Text        string `json:"text,omitempty"`
	// Fault is the planned fault's number, counted from 1 over the faults of
	// the scenario with every repetition of one counted by itself.
	Fault   int    `json:"fault,omitempty"`
	Code    *int   `json:"code,omitempty"` // exit code
	Queue   string `json:"queue,omitempty"`
	Ready   int    `json:"ready,omitempty"`
	Unacked int    `json:"unacked,omitempty"`
	Stdout  string `json:"stdout,omitempty"`
	Stderr  string `json:"stderr,omitempty"`
	Expect  int    `json:"expect,omitempty"` // index of the expectation, from 0
	Unit    int    `json:"unit,omitempty"`   // of work, from 1, in a chain
	Point   *Point `json:"point,omitempty"`
}

// Span is a stretch of a run's time and what it was spent on. Spans may
// overlap; the report attributes each instant to one of them.
type Span struct {
	Name  string        `json:"name"` // see the Span constants
	Note  string        `json:"note,omitempty"`
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
}

// What the time of a run is spent on.
const (
	SpanImages     = "images"
	SpanBroker     = "broker boot"
	SpanContainers = "containers"
	SpanWorkload   = "workload"
	SpanFaults     = "faults"
	SpanCollect    = "collect"
	SpanChecks     = "checks"
	SpanRemoval    = "removal"
)

// Stage says when a file was collected.
type Stage string

// The stages at which files are collected.
const (
	AtCrash      Stage = "crash"         // the file of a crash point, when the service was dead and not yet started again
	Recovered    Stage = "recovered"     // the file of a crash point when the run had ended, where it is not AtEnd
	AtEnd        Stage = "end"           // when the run had ended
	BeforeStable Stage = "before-stable" // before the further restart of a stable expectation
	AfterStable  Stage = "after-stable"  // after it
)

// File is one file collected from a container. Its content lies on disk,
// since it may be larger than memory should hold.
type File struct {
	Service string `json:"service"`
	Path    string `json:"path"` // in the container
	Stage   Stage  `json:"stage"`
	// Fault is the number of the fault whose crash point the file belongs
	// to; 0 where it was not collected for one.
	Fault  int    `json:"fault,omitempty"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Stored is the file's name below the history's directory.
	Stored string `json:"stored"`
}

// Meta says what run this is.
type Meta struct {
	RunID       string            `json:"runId"`
	Scenario    string            `json:"scenario"`
	File        string            `json:"file"`
	Replay      string            `json:"replay"` // the one command that runs it again
	Model       string            `json:"model"`  // process-crash or power-loss
	Seed        string            `json:"seed,omitempty"`
	Started     time.Time         `json:"started"`
	Killpoint   string            `json:"killpoint"`
	Engine      string            `json:"engine"`
	Images      map[string]string `json:"images,omitempty"` // image id by service
	Environment map[string]string `json:"environment,omitempty"`
}

// SetImage notes the id of a service's image.
func (m *Meta) SetImage(service, id string) {
	if m.Images == nil {
		m.Images = map[string]string{}
	}
	m.Images[service] = id
}

// History is everything that is known of one run.
type History struct {
	Meta   Meta
	Events []Event
	Files  []File
	Spans  []Span
	// Dir is where the collected files lie; see Open.
	Dir string
	// held are the contents of those that are in memory, by File.Stored.
	held map[string][]byte
}

// Recorder collects a history while the run goes on. It is safe for use by
// several goroutines. Watchers see every event in the order of the history.
type Recorder struct {
	mu       sync.Mutex
	base     time.Time
	history  History
	watchers map[int]func(Event)
	next     int
	stored   int // files, each of which has a number of its own
	room     int // bytes of files that may still be held in memory
}

// NewRecorder begins a history. Collected files are kept below dir, which
// must exist.
func NewRecorder(meta Meta, dir string) *Recorder {
	base := time.Now()
	meta.Started = base.Round(0)
	return &Recorder{base: base, history: History{Meta: meta, Dir: dir}, watchers: map[int]func(Event){}}
}

// Now is the time since the run began.
func (r *Recorder) Now() time.Duration { return time.Since(r.base) }

// Add records an event at this moment and returns it with its time. The
// watchers are called before Add returns, under the recorder's lock, so that
// they see events in order: they must be quick and must not call Add.
func (r *Recorder) Add(event Event) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	event.At = time.Since(r.base)
	r.history.Events = append(r.history.Events, event)
	for _, watch := range r.watchers {
		watch(event)
	}
	return event
}

// Watch calls the function with every event that is already there and every
// later one, until the returned function is called.
func (r *Recorder) Watch(watch func(Event)) (stop func()) {
	return r.WatchFrom(watch, func() {})
}

// WatchFrom is Watch that also says, by calling live, when the events that
// were already there have been given: none comes between them and live.
func (r *Recorder) WatchFrom(watch func(Event), live func()) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.history.Events {
		watch(event)
	}
	live()
	id := r.next
	r.next++
	r.watchers[id] = watch
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, id)
	}
}

// Span begins a stretch of time; the returned function ends it.
func (r *Recorder) Span(name, note string) (end func()) {
	start := r.Now()
	return func() {
		r.AddSpan(Span{Name: name, Note: note, Start: start, End: r.Now()})
	}
}

// AddSpan records a stretch of time that was measured elsewhere.
func (r *Recorder) AddSpan(span Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Spans = append(r.history.Spans, span)
}

// Meta changes what is known of the run as a whole.
func (r *Recorder) Meta(change func(*Meta)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.history.Meta)
}

// Store keeps a collected file's content and records it.
func (r *Recorder) Store(service, path string, stage Stage, content io.Reader) (File, error) {
	return r.StoreCut(0, service, path, stage, content)
}

// StoreCut is Store of a file of the crash point of a fault, by its number.
func (r *Recorder) StoreCut(fault int, service, path string, stage Stage, content io.Reader) (File, error) {
	r.mu.Lock()
	number := r.stored
	r.stored++
	dir := r.history.Dir
	r.mu.Unlock()

	kept, rest, err := r.hold(content)
	if err != nil {
		return File{}, fmt.Errorf("store %s of %s: %w", path, service, err)
	}
	file := File{Service: service, Path: path, Stage: stage, Stored: storedName(number, path)}
	if rest == nil {
		sum := sha256.Sum256(kept)
		file.Size, file.SHA256 = int64(len(kept)), hex.EncodeToString(sum[:])
	} else if err := storeFile(dir, &file, rest); err != nil {
		return File{}, err
	}
	file.Fault = fault
	r.mu.Lock()
	if rest == nil {
		if r.history.held == nil {
			r.history.held = map[string][]byte{}
		}
		r.history.held[file.Stored] = kept
	}
	r.history.Files = append(r.history.Files, file)
	r.mu.Unlock()
	r.Add(Event{Kind: Collected, Service: service, Text: path})
	return file, nil
}

// Hold keeps collected files in memory, up to so many bytes of all of them,
// rather than in the history's directory: to make and remove a small file takes
// longer than what it is made for, where there are very many.
func (r *Recorder) Hold(limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room = limit
}

// hold reads content where it may be held in memory; otherwise rest gives all
// of it.
func (r *Recorder) hold(content io.Reader) (kept []byte, rest io.Reader, err error) {
	r.mu.Lock()
	room := r.room
	r.mu.Unlock()
	if room == 0 {
		return nil, content, nil
	}
	if kept, err = io.ReadAll(io.LimitReader(content, int64(room)+1)); err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(kept) > r.room {
		return nil, io.MultiReader(bytes.NewReader(kept), content), nil
	}
	r.room -= len(kept)
	return kept, nil, nil
}

// History is what was recorded up to now. The copy shares nothing that the
// recorder will still change.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := History{Meta: r.history.Meta, Dir: r.history.Dir}
	snapshot.Events = append([]Event(nil), r.history.Events...)
	snapshot.Spans = append([]Span(nil), r.history.Spans...)
	snapshot.Files = append([]File(nil), r.history.Files...)
	snapshot.held = maps.Clone(r.history.held)
	return &snapshot
}

// Cut is History, after which no file is known any more: those that are
// collected from then on belong to what comes then.
func (r *Recorder) Cut() *History {
	snapshot := r.History()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Files = r.history.Files[len(snapshot.Files):]
	for name, content := range snapshot.held {
		delete(r.history.held, name)
		r.room += len(content)
	}
	return snapshot
}
