package interpose

// Request is one line that a client sends to the interposer. Each is answered by a Reply event with its number, except those that a connection opens with or confirms by.
type Request struct {
	Number int64       `json:"number,omitempty"`
	Name   CommandName `json:"command"`
	// Plan belongs to CommandStart.
	Plan *Plan `json:"plan,omitempty"`
	// Points belong to CommandArm: their IDs.
	Points []string `json:"points,omitempty"`
	// Lose belongs to CommandLose.
	Lose *Lose `json:"lose,omitempty"`
	// Signal belongs to CommandSignal: its number.
	Signal int `json:"signal,omitempty"`
	// Sequence is the last event known, for CommandAttach, or passed on, for CommandConfirm.
	Sequence int64 `json:"sequence,omitempty"`
	// Command belongs to CommandExec.
	Command []string `json:"exec,omitempty"`
	// Paths are the directories of CommandSnapshot and CommandRestore, and the globs of CommandRead.
	Paths []string `json:"paths,omitempty"`
	// Key tells one snapshot from another, for CommandSnapshot and CommandRestore.
	Key string `json:"key,omitempty"`
	// Sums has CommandRead answer with checksums in place of contents.
	Sums bool `json:"sums,omitempty"`
	// Limit is the longest that CommandExec may take, in milliseconds, and the most bytes that CommandRead may answer with.
	Limit int64 `json:"limit,omitempty"`
}

// CommandName tells the commands apart.
type CommandName string

// The commands.
const (
	CommandAttach  CommandName = "attach"  // send me the events after Sequence; the first line of a connection, no reply
	CommandConfirm CommandName = "confirm" // the events up to Sequence have left the container; no reply
	CommandArm     CommandName = "arm"     // let points fire that the plan has for later; Counts answers
	CommandRelease CommandName = "release" // let the held program go on
	CommandLose    CommandName = "lose"    // take un-synced changes away, at a held point
	CommandKill    CommandName = "kill"    // kill every process of the program and stay
	CommandFreeze  CommandName = "freeze"  // stop every process of the program, for a kill of the container
	CommandSignal  CommandName = "signal"  // send the program a signal, as the engine would
	CommandStart   CommandName = "start"   // start the program again, with a new plan
	CommandPutBack CommandName = "putback" // make the files that Plan.Originals covers what they were; the program must be dead

	// These are done by the process of ControlCommand itself, which is no part of the program, just as what is executed in a container is none.

	CommandExec     CommandName = "exec"     // run a command to its end
	CommandRead     CommandName = "read"     // read the regular files that match the globs
	CommandSnapshot CommandName = "snapshot" // remember what is in directories
	CommandRestore  CommandName = "restore"  // make directories what they were
)

// Local says whether a command is done by the process that ControlCommand starts, rather than by the first process.
func (n CommandName) Local() bool {
	switch n {
	case CommandExec, CommandRead, CommandSnapshot, CommandRestore:
		return true
	}
	return false
}
