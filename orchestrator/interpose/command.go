package interpose

// Request is one line that a client sends to the interposer. Each is answered by a Reply event with its number, except those that a connection opens with or confirms by.
type Request struct {
	Number int64       `json:"number,omitempty"`
	Name   CommandName `json:"command"`
	// Plan belongs to CommandStart.
	Plan *Plan `json:"plan,omitempty"`
	// Points belong to CommandArm.
	Points []Point `json:"points,omitempty"`
	// Lose belongs to CommandLose.
	Lose *Lose `json:"lose,omitempty"`
	// Sequence is the last event known, for CommandAttach, or passed on, for CommandConfirm.
	Sequence int64 `json:"sequence,omitempty"`
}

// CommandName tells the commands apart.
type CommandName string

// The commands.
const (
	CommandAttach  CommandName = "attach"  // send me the events after Sequence; the first line of a connection, no reply
	CommandConfirm CommandName = "confirm" // the events up to Sequence have left the container; no reply
	CommandArm     CommandName = "arm"     // add points behind those of the plan
	CommandRelease CommandName = "release" // let the held program go on
	CommandLose    CommandName = "lose"    // take un-synced changes away, at a held point
	CommandKill    CommandName = "kill"    // kill every process of the program and stay
	CommandStart   CommandName = "start"   // start the program again, with a new plan
)
