// Package scenario holds what a scenario file says: its types, its parsing
// and its validation. The types here are the one source of the language: the
// validation, the JSON Schema for editors and the reference table in docs are
// derived from them and from the tables in kinds.go.
//
// It knows nothing of Docker or Compose: whether a service exists is decided
// when the scenario is bound to a system (see Bind).
//
// The tags of a field say what it may hold: yaml is its key, doc its meaning,
// required that it cannot be left out, default what it is then, enum the
// words that it takes, form the shape of its text (see forms.go), min and max
// its bounds, keys the form of a mapping's own keys, and accept what else is
// taken: "scalar" a number or a boolean, kept as it is written, "empty" an
// empty text, "shell" one string for /bin/sh -c.
package scenario

import (
	"fmt"
	"time"
)

// Scenario is one scenario file: a system, the faults done to it and what is
// expected of it afterwards.
type Scenario struct {
	// File is the path that the scenario was read from; messages name it.
	File string `yaml:"-" json:"file"`

	Name        string            `yaml:"name" json:"name" form:"line" doc:"the scenario's name; the file's name without its extension when left out"`
	Description string            `yaml:"description" json:"description,omitempty" form:"text" doc:"one sentence that says what is done and what must hold"`
	System      string            `yaml:"system" json:"system" form:"line" doc:"the compose file, relative to the scenario file" required:"true"`
	Profiles    []string          `yaml:"profiles" json:"profiles,omitempty" form:"profile" doc:"compose profiles to enable"`
	Env         map[string]string `yaml:"env" json:"env,omitempty" accept:"scalar,empty" keys:"variable" doc:"variables for the compose file, before those of the environment and of .env"`
	Faults      []Fault           `yaml:"faults" json:"faults,omitempty" doc:"what is done to the system, in this order"`
	Expect      Expect            `yaml:"expect" json:"expect" doc:"what must hold when the run has ended"`
	Timeout     Duration          `yaml:"timeout" json:"timeout" min:"1ms" doc:"the longest that the run may take once its containers are up" default:"60s"`
	Settle      Duration          `yaml:"settle" json:"settle" min:"1ms" doc:"how long nothing may happen before drained queues count as the end" default:"500ms"`
	Idle        bool              `yaml:"idle" json:"idle,omitempty" doc:"allow faults that fire after the last unit of work was done"`
	Facts       *Facts            `yaml:"x-killpoint" json:"facts,omitempty" doc:"what is true of the system; normally written once in the compose file; a key given here replaces the one there"`

	// Chain makes the run one that goes from rest to rest; campaigns set it.
	Chain *Chain `yaml:"-" json:"chain,omitempty"`

	// Positions says where in File each part was written, by its path in
	// the document such as "faults[1].when.log"; "" is the document itself.
	Positions map[string]Position `yaml:"-" json:"positions,omitempty"`

	// written is what Bind begins with; nil until Parse or Bind sets it.
	written *written
}

// Facts is what is true of a system whatever the scenario: the x-killpoint
// block of its compose file.
type Facts struct {
	Broker   *Broker   `yaml:"broker" json:"broker,omitempty" doc:"the RabbitMQ service and how the others are told its address"`
	Done     *Done     `yaml:"done" json:"done,omitempty" doc:"how one sees that the work is done"`
	Verdicts *Verdicts `yaml:"verdicts" json:"verdicts,omitempty" doc:"the log lines in which a service judges units of work"`
	Rows     *Rows     `yaml:"rows" json:"rows,omitempty" doc:"where rows are sent and where they must end up"`
	// Ready is a line, or a part of one, by service.
	Ready   map[string]string `yaml:"ready" json:"ready,omitempty" keys:"service" form:"line" doc:"lines that say that a service has come up, by service: after a crash that comes when all work is done, the end of a run waits for it; for quiet during the settle time, where there is none"`
	Explore *Explore          `yaml:"explore" json:"explore,omitempty" doc:"how explore makes the system do the same thing each time"`
	Expect  *Expect           `yaml:"expect" json:"expect,omitempty" doc:"expectations of every scenario of this system; a scenario's own come on top"`

	// Positions says where each part was written, by its path in the
	// document such as "x-killpoint.rows.sent.file".
	Positions map[string]Position `yaml:"-" json:"-"`
}

// Broker names the RabbitMQ service of a system.
type Broker struct {
	Service string `yaml:"service" json:"service" form:"service" doc:"the broker's service" required:"true"`
	URLEnv  string `yaml:"url_env" json:"urlEnv,omitempty" form:"variable" doc:"the variable in which services are given the broker's amqp:// URL; its virtual host is replaced by the run's own"`
	Share   bool   `yaml:"share" json:"share,omitempty" doc:"runs that do not hurt the broker share one, each in a virtual host of its own"`
}

// Done says when the work of a run is over.
type Done struct {
	Exited  []string `yaml:"exited" json:"exited,omitempty" form:"service" doc:"services that exit by themselves when all work has been handed in"`
	Drained []string `yaml:"drained" json:"drained,omitempty" form:"queue" doc:"queues that are empty, nothing unacknowledged, when the work is done"`
	Needs   []string `yaml:"needs" json:"needs,omitempty" form:"service" doc:"services without which the work cannot be done: once one has ended with another exit code than 0 and nothing starts it again, a run that is not done ends when it is quiet, as it would at its timeout"`
}

// Verdicts says how a service reports the result of each unit of work.
type Verdicts struct {
	Service string `yaml:"service" json:"service" form:"service" doc:"whose log" required:"true"`
	Success string `yaml:"success" json:"success" form:"group" doc:"regular expression with one group, the unit's id" required:"true"`
	Failure string `yaml:"failure" json:"failure,omitempty" form:"group" doc:"regular expression with one group, the unit's id"`
}

// Explore says what makes the runs of a campaign equal, and small.
type Explore struct {
	Env     map[string]string `yaml:"env" json:"env,omitempty" accept:"scalar,empty" keys:"variable" doc:"variables with which the system does the same calls in the same order in every run, such as one message at a time; set by explore unless it is told --batched, above those of the scenario"`
	Without []string          `yaml:"without" json:"without,omitempty" form:"service" doc:"services that take no part in the work and are not started for the trials of a campaign; what is found is confirmed with them"`
	Shrink  string            `yaml:"shrink" json:"shrink,omitempty" form:"variable" doc:"the variable that says how much work is handed in, a whole number: explore looks for the least of it that a failure needs"`
}

// Rows says what was sent and where it must be found.
type Rows struct {
	Sent      SentFile   `yaml:"sent" json:"sent" doc:"the record of what was attempted and confirmed" required:"true"`
	Output    Output     `yaml:"output" json:"output" doc:"the files in which the rows must be" required:"true"`
	Partition *Partition `yaml:"partition" json:"partition,omitempty" doc:"how a row's partition follows from the row, and a file's from its name"`
}

// SentFile is a JSON-lines file in a container: see docs for its lines.
type SentFile struct {
	Service string `yaml:"service" json:"service" form:"service" doc:"whose file" required:"true"`
	File    string `yaml:"file" json:"file" form:"path" doc:"absolute path in the container" required:"true"`
}

// Output is a set of files in a container that hold one row a line.
type Output struct {
	Service string `yaml:"service" json:"service" form:"service" doc:"whose files" required:"true"`
	Files   string `yaml:"files" json:"files" form:"glob" doc:"glob of absolute paths in the container" required:"true"`
	Header  string `yaml:"header" json:"header,omitempty" form:"line" doc:"the first line of every file"`
}

// Partition says which partition a row belongs to.
type Partition struct {
	Column string `yaml:"column" json:"column" form:"line" doc:"the column, by its name in the header, that holds a whole number" required:"true"`
	Modulo string `yaml:"modulo" json:"modulo" accept:"scalar" form:"count-or-variable" doc:"the number of partitions: a number, or the name of a variable of the output service" required:"true"`
	File   string `yaml:"file" json:"file" form:"group" doc:"regular expression on a file's path with one group, the partition's number" required:"true"`

	// Count is Modulo as a number; filled in by binding to a system.
	Count int `yaml:"-" json:"count,omitempty"`
}

// Fault is something done to a service, and when. Which of its keys a kind
// takes is in FaultKinds. In YAML the kind is itself the key of the service:
// {kill: worker-2, when: …}.
type Fault struct {
	Kind    FaultKind `yaml:"-" json:"kind"`
	Service string    `yaml:"-" json:"service" form:"service" doc:"the service that it is done to"`

	When    When      `yaml:"when" json:"when" doc:"when it is done" required:"true"`
	Times   int       `yaml:"times" json:"times,omitempty" min:"1" max:"1000" doc:"how many times in a row; each is armed when the one before has fired" default:"1"`
	Signal  string    `yaml:"signal" json:"signal,omitempty" form:"signal" doc:"the signal to send" default:"SIGKILL"`
	Restart *Duration `yaml:"restart" json:"restart,omitempty" doc:"start it again this long after it was down; left out, it stays down"`
	Grace   *Duration `yaml:"grace" json:"grace,omitempty" doc:"how long it is given to stop before SIGKILL; the compose file's stop_grace_period when left out"`
	For     *Duration `yaml:"for" json:"for,omitempty" min:"1ms" doc:"how long it lasts"`

	LoseUnsynced    string    `yaml:"lose-unsynced" json:"loseUnsynced,omitempty" accept:"scalar" form:"loss" doc:"power loss: what was not synced is gone after the kill: all, none, the n-th change alone (drop-n), every other (keep-n), all after the first n (prefix-n), or a subset drawn by this seed; left out, a process crash, which loses nothing that was written"`
	Errno           string    `yaml:"errno" json:"errno,omitempty" form:"errno" doc:"the error that the call returns"`
	RestartIfExited *Duration `yaml:"restart-if-exited" json:"restartIfExited,omitempty" doc:"start the service again this long after it was down, should the error end it; left out, it stays down then"`
	Bytes           *int      `yaml:"bytes" json:"bytes,omitempty" min:"0" doc:"how many bytes the call moves at most; 0, for a read only, looks like the end of the file"`
	By              *Duration `yaml:"by" json:"by,omitempty" min:"1ms" doc:"how long the call waits"`

	Position Position `yaml:"-" json:"position"`
}

// When is a trigger: the condition on which a fault is done. Exactly one of
// its kinds is set; see TriggerKinds for the keys that go with each.
type When struct {
	Kind TriggerKind `yaml:"-" json:"kind"`

	After       *Duration `yaml:"after" json:"after,omitempty" doc:"this long after the system was up, or after the fault before fired"`
	Log         string    `yaml:"log" json:"log,omitempty" form:"line" doc:"a log line that contains this text"`
	Path        string    `yaml:"-" json:"path,omitempty" form:"pattern" doc:"a path or glob of absolute paths in the container"`
	Method      string    `yaml:"-" json:"method,omitempty" enum:"publish,ack" doc:"publish: a message to the broker; ack: the acknowledgement of one from it"`
	Queue       string    `yaml:"queue" json:"queue,omitempty" form:"queue" doc:"the routing key or queue that is published to, or the queue whose message is acknowledged; any when left out"`
	Service     string    `yaml:"service" json:"service,omitempty" form:"service" doc:"whose log; the service that the fault is done to when left out"`
	Occurrence  int       `yaml:"occurrence" json:"occurrence,omitempty" min:"1" doc:"the n-th such event of one incarnation" default:"1"`
	Incarnation int       `yaml:"incarnation" json:"incarnation,omitempty" min:"1" doc:"in this life of the service, counted from 1; any when left out"`
	// Timing is empty beside Keep, which says that it is during the call.
	Timing string `yaml:"timing" json:"timing,omitempty" enum:"before,after" doc:"before the call is done, or after it, when the program has not seen it return yet" default:"before"`
	Keep   string `yaml:"keep" json:"keep,omitempty" accept:"scalar" form:"keep" doc:"in the middle of the write: so many of its bytes reach the file, half of them, or all-but-1 (2, 3, …); instead of timing"`

	Position Position `yaml:"-" json:"position"`
}

// Where in its call a crash point is, as Timing says it.
const (
	TimingBefore = "before"
	TimingAfter  = "after"
)

// What an AMQP crash point is about, as Method says it.
const (
	Publish = "publish"
	Ack     = "ack"
)

// IsCrashPoint says whether the trigger is an exact place in the run of the
// service that its fault is done to, rather than a time or a line of a log.
func (w When) IsCrashPoint() bool { return w.Kind.IsCrashPoint() }

// Expect is what must hold at the end of a run. An empty field means the
// value of DefaultExpect, which Bind fills in and which depends on what the system's facts say.
type Expect struct {
	Rows     string         `yaml:"rows" json:"rows,omitempty" doc:"how often each row that was sent must be in the output; exactly-once when left out and x-killpoint says what was sent" enum:"exactly-once,at-least-once,at-most-once,off"`
	Order    string         `yaml:"order" json:"order,omitempty" doc:"sent: blocks of rows stand in the order in which they were sent; any when left out" enum:"sent,any"`
	Verdicts string         `yaml:"verdicts" json:"verdicts,omitempty" doc:"all: every unit has a success and none a failure; all when left out and x-killpoint names verdicts" enum:"all,off"`
	Drained  string         `yaml:"drained" json:"drained,omitempty" doc:"all: the queues that done.drained names are empty at the end; all when left out and it names some" enum:"all,off"`
	Logs     []LogExpect    `yaml:"logs" json:"logs,omitempty" doc:"log lines that must be there, or must not"`
	Run      []RunExpect    `yaml:"run" json:"run,omitempty" doc:"commands run in a container at the end"`
	Stable   []StableExpect `yaml:"stable" json:"stable,omitempty" doc:"files of which one more restart changes no byte"`
	Exits    map[string]int `yaml:"exits" json:"exits,omitempty" min:"0" max:"255" keys:"service" doc:"the exit code of a service's last life"`
}

// LogExpect asks for log lines of one service. With no count, at least one.
type LogExpect struct {
	Service     string   `yaml:"service" json:"service" form:"service" doc:"whose log" required:"true"`
	Contains    string   `yaml:"contains" json:"contains,omitempty" form:"line" doc:"the line contains this text"`
	Matches     string   `yaml:"matches" json:"matches,omitempty" form:"regexp" doc:"the line matches this regular expression"`
	Incarnation int      `yaml:"incarnation" json:"incarnation,omitempty" min:"1" doc:"in this life only, counted from 1"`
	Times       *int     `yaml:"times" json:"times,omitempty" min:"0" doc:"exactly this many lines; 0: none"`
	AtLeast     *int     `yaml:"at-least" json:"atLeast,omitempty" min:"0" doc:"no fewer lines than this"`
	AtMost      *int     `yaml:"at-most" json:"atMost,omitempty" min:"0" doc:"no more lines than this"`
	Position    Position `yaml:"-" json:"position"`
}

// RunExpect is a command run in a container when the system is done.
type RunExpect struct {
	Service  string   `yaml:"service" json:"service" form:"service" doc:"in whose container" required:"true"`
	Command  []string `yaml:"command" json:"command" accept:"shell,empty" doc:"the command and its arguments, or one string for /bin/sh -c" required:"true"`
	Exit     int      `yaml:"exit" json:"exit" min:"0" max:"255" doc:"the exit code that it must end with" default:"0"`
	Stdout   string   `yaml:"stdout" json:"stdout,omitempty" form:"text" doc:"text that its output must contain"`
	Position Position `yaml:"-" json:"position"`
}

// StableExpect names files that a further restart of the service must leave
// as they are, byte for byte.
type StableExpect struct {
	Service  string   `yaml:"service" json:"service" form:"service" doc:"the service that is restarted" required:"true"`
	Files    string   `yaml:"files" json:"files" form:"glob" doc:"glob of absolute paths in the container" required:"true"`
	Ready    string   `yaml:"ready" json:"ready,omitempty" form:"line" doc:"a line of its log that says that it has come up; the one that the system facts name, its health check, or quiet for the settle time, when left out"`
	Position Position `yaml:"-" json:"position"`
}

// Position is a place in a scenario or compose file, line and column from 1.
// The zero Position means that the place is not known.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String gives file:line:col, the form that editors and CI can jump to.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Duration is a time.Duration that is written as "200ms" in YAML and JSON.
type Duration time.Duration

// String gives the duration as it is written in a scenario, without the
// needless zeros of time.Duration ("1m", not "1m0s").
func (d Duration) String() string { return formatDuration(time.Duration(d)) }

// MarshalText writes the duration in its String form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; a negative one is an error.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("read duration %q: want a number with a unit, such as 200ms, 5s or 1m", text)
	}
	if parsed < 0 {
		return fmt.Errorf("read duration %q: must not be negative", text)
	}
	*d = Duration(parsed)
	return nil
}
