package interpose

import "time"

// Kind tells the events apart.
type Kind string

// The kinds of events, in the order in which a run meets them.
const (
	Hello    Kind = "hello"    // the interposer runs; Features says what the kernel gives
	Started  Kind = "started"  // the program runs, as PID
	Op       Kind = "op"       // one recorded operation
	Reached  Kind = "reached"  // a point was reached and its action taken
	Line     Kind = "line"     // one line of the program's output, on Stream; Message without its newline
	Coverage Kind = "coverage" // something that the interposer cannot see; Message says what
	Exited   Kind = "exited"   // the program ended by itself, with Code; Counts says how far each point got
	Killed   Kind = "killed"   // every process was killed by command
	Frozen   Kind = "frozen"   // every process was stopped by command, and every line that it had written was reported before; Changed says what else there is to know
	Failed   Kind = "failed"   // the interposer itself cannot go on: the run is broken
	Reply    Kind = "reply"    // the answer to a command
)

// Event is one line that the interposer reports. Which fields are set depends on the kind.
type Event struct {
	Kind Kind `json:"event"`
	// Sequence numbers the events of one interposer process from 1; replies have none.
	Sequence int64 `json:"sequence,omitempty"`
	// At is the time since the interposer started, from its monotonic clock.
	At          time.Duration `json:"at"`
	Incarnation int           `json:"incarnation,omitempty"`

	// Message is a sentence for people: for Coverage, Failed and a Reply that is an error; for Line it is the line.
	Message string `json:"message,omitempty"`
	// Stream belongs to Line: stdout or stderr.
	Stream string `json:"stream,omitempty"`
	// Features belongs to Hello.
	Features *Features `json:"features,omitempty"`

	// PID and Thread are numbers in the container's process namespace.
	PID    int `json:"pid,omitempty"`
	Thread int `json:"thread,omitempty"`
	// Code is the exit code that a shell would see: 128 plus the signal's number for a program that a signal ended.
	Code int `json:"code,omitempty"`

	// Point is the ID of the point that was reached.
	Point  string `json:"point,omitempty"`
	Action Action `json:"action,omitempty"`
	Timing Timing `json:"timing,omitempty"`
	// Held says that everything is stopped and stays so until a kill or Client.Release.
	Held bool `json:"held,omitempty"`
	// Kept is how many bytes of the call took effect, measured on the file where it can be.
	Kept int64 `json:"kept,omitempty"`
	// Quiesce is how long stopping every other thread took.
	Quiesce time.Duration `json:"quiesce,omitempty"`
	// Inexact, when not empty, says why the point may be off: a thread that did not stop, a tear that came out otherwise than planned.
	Inexact string `json:"inexact,omitempty"`
	// Unsynced lists, at a held point, what a power cut could take; Lost those of it that were taken.
	Unsynced []Unsynced `json:"unsynced,omitempty"`
	Lost     []int64    `json:"lost,omitempty"`

	// The operation, for Op and Reached. Call is the system call's name.
	Operation Operation `json:"operation,omitempty"`
	Call      string    `json:"call,omitempty"`
	Path      string    `json:"path,omitempty"`
	// Other is the second name of a rename or link.
	Other string `json:"other,omitempty"`
	// Queue is the routing key of a publish or the queue of an ack.
	Queue string `json:"queue,omitempty"`
	// Occurrence counts, for Op, the operation on that very path, for Reached, the calls that match the point.
	Occurrence int `json:"occurrence,omitempty"`
	// Size is the bytes asked for and Offset where in the file they go; Offset is -1 where there is none.
	Size   int64 `json:"size,omitempty"`
	Offset int64 `json:"offset,omitempty"`
	// Sum is a checksum of the bytes that a write carries, when asked for.
	Sum string `json:"sum,omitempty"`
	// Pending is, for Op, how many changes were not synced just before the operation, where the plan follows power loss.
	Pending int `json:"pending,omitempty"`

	// Counts says, for each point by ID, how many calls matched it in this incarnation.
	Counts map[string]int `json:"counts,omitempty"`
	// Changed belongs to Frozen: the program may have changed files that Plan.Originals covers since they were last put back, and that do not go with the container. Its death takes along what they were.
	Changed bool `json:"changed,omitempty"`
	// Command is the number of the command that a Reply answers.
	Command int64 `json:"command,omitempty"`

	// Stdout and Stderr are the output of CommandExec, whose exit code is Code.
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	// Files are what CommandRead found.
	Files []File `json:"files,omitempty"`
}

// File is one regular file of a container, whole.
type File struct {
	// Path is absolute, as the container's root sees it.
	Path     string    `json:"path"`
	Data     []byte    `json:"data,omitempty"`
	Modified time.Time `json:"modified"`
	// Size, in bytes, and Sum, SHA-256 in hex, stand for Data where only they were asked for.
	Size int64  `json:"size,omitempty"`
	Sum  string `json:"sum,omitempty"`
}

// Unsynced is one change that has not been synced.
type Unsynced struct {
	ID        int64     `json:"id"`
	Operation Operation `json:"operation"`
	Path      string    `json:"path"`
	Other     string    `json:"other,omitempty"`
	Offset    int64     `json:"offset,omitempty"`
	Size      int64     `json:"size,omitempty"`
}

// Features says what the kernel and the container allow the interposer.
type Features struct {
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
	// FirstProcess says that the interposer is PID 1, so that its death is the death of everything.
	FirstProcess bool `json:"first_process"`
	// KillableWait keeps a signal from restarting, and so doubling, a held call (Linux 5.19).
	KillableWait bool `json:"killable_wait"`
	// SyncWakeUp makes a trapped call about three times cheaper (Linux 6.6).
	SyncWakeUp bool `json:"sync_wake_up"`
	// ProcessRead says that process_vm_readv is allowed; without it memory is read through /proc.
	ProcessRead bool `json:"process_read"`
	// DescriptorCopy says that pidfd_getfd is allowed, which reads on sockets and short reads need.
	DescriptorCopy bool `json:"descriptor_copy"`
}
