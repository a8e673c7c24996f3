package partition

import (
	"errors"
	"fmt"
	"strings"
)

// Durability says which death the rows of an acknowledged chunk survive.
type Durability uint8

const (
	// Power is the default: after Write returns, the rows survive the loss of
	// power and of the operating system. It costs one fdatasync a group.
	Power Durability = iota
	// Process: after Write returns, the rows survive SIGKILL of the process at
	// any instant, because they are in the page cache. A power loss can lose
	// what came after the last checkpoint.
	Process
)

func (d Durability) String() string {
	switch d {
	case Power:
		return "power"
	case Process:
		return "process"
	}
	return fmt.Sprintf("Durability(%d)", uint8(d))
}

// ParseDurability reads "power" or "process".
func ParseDurability(text string) (Durability, error) {
	for _, d := range []Durability{Power, Process} {
		if text == d.String() {
			return d, nil
		}
	}
	return Power, fmt.Errorf("parse durability %q: want power or process", text)
}

// Limits, each checked where the value comes in.
const (
	// MaxPartitions is what three digits in a file name can number.
	MaxPartitions = 1000
	// MaxIDBytes is the longest chunk id, in bytes.
	MaxIDBytes = 255
	// MaxPrefixBytes leaves room for "-partition-000.csv" in a file name of
	// 255 bytes.
	MaxPrefixBytes = 200
	// MaxHeaderBytes is the longest header line, in bytes.
	MaxHeaderBytes = 64 << 10
	// MaxGroupBytes is the most that one group commit may hold, in bytes.
	MaxGroupBytes = 1 << 30
	// DefaultJournalBytes is what Options.JournalBytes means when it is 0.
	DefaultJournalBytes = 64 << 20
	// MinimumJournalBytes is the smallest Options.JournalBytes.
	MinimumJournalBytes = 1 << 10

	initialJournalBytes = 1 << 20
	defaultOpenFiles    = 1024
)

// Options say where a manager writes and what it promises.
type Options struct {
	Dir        string     // partition files, <Dir>/<prefix>-partition-000.csv
	StateDir   string     // journal, lock, chunk ids, and the two state files for people
	Partitions int        // 1..MaxPartitions; recorded, and the same at every later Open
	Header     string     // first line of each file, without newline; "" for none; recorded too
	Durability Durability // Power unless said otherwise
	FS         FS         // nil for the operating system's

	// JournalBytes is where each of the journal's two files stops growing: one
	// that is full causes a checkpoint, and recovery redoes at most twice this
	// much. A group that is larger than it still fits. 0 means 64 MiB; they
	// start at 1 MiB and become longer while they are kept full.
	JournalBytes int64
	// OpenFiles bounds how many partition files are held open; 0 means 1024.
	OpenFiles int

	// Sequential does one thing after the other, all from the goroutine that
	// calls: a Write that fills the journal then does the checkpoint itself.
	// What it costs in speed it gives in repeatability, for those who record
	// the calls of a run to compare them with another's.
	Sequential bool

	indexIDs int                             // ids that a segment of the index is made of; for tests
	launch   func(work func()) (wait func()) // in place of a goroutine; for tests
}

// complete checks o and fills in what was left at zero.
func (o Options) complete() (Options, error) {
	switch {
	case o.Dir == "":
		return o, errors.New("check options: Dir is empty; name the directory of the partition files")
	case o.StateDir == "":
		return o, errors.New("check options: StateDir is empty; name the directory of the journal and the state files")
	case o.Partitions < 1 || o.Partitions > MaxPartitions:
		return o, fmt.Errorf("check options: Partitions is %d; want 1 to %d", o.Partitions, MaxPartitions)
	case strings.ContainsAny(o.Header, "\r\n"):
		return o, errors.New("check options: Header holds a line break; give one line without its newline")
	case len(o.Header) > MaxHeaderBytes:
		return o, fmt.Errorf("check options: Header has %d bytes; at most %d", len(o.Header), MaxHeaderBytes)
	case o.Durability > Process:
		return o, fmt.Errorf("check options: unknown durability %d; want Power or Process", o.Durability)
	case o.JournalBytes < 0 || o.JournalBytes > 0 && o.JournalBytes < MinimumJournalBytes:
		return o, fmt.Errorf("check options: JournalBytes is %d; want at least %d", o.JournalBytes, MinimumJournalBytes)
	case o.OpenFiles < 0:
		return o, fmt.Errorf("check options: OpenFiles is %d; want a positive number", o.OpenFiles)
	}
	if o.JournalBytes == 0 {
		o.JournalBytes = DefaultJournalBytes
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = defaultOpenFiles
	}
	if o.FS == nil {
		o.FS = OS()
	}
	return o, nil
}
