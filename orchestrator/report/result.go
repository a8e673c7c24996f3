package report

import "time"

// SchemaVersion is the version of Document. It grows only when a field is
// removed or changes its meaning; readers must ignore fields that they do not
// know. The contract is docs/json.md, and a test compares it with these types.
const SchemaVersion = 1

// Document is what --json and --report write: every run of one command.
type Document struct {
	Version   int       `json:"version"`
	Killpoint string    `json:"killpoint"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Outcome   Outcome   `json:"outcome"`
	ExitCode  int       `json:"exitCode"`
	Totals    Totals    `json:"totals"`
	Trouble   []string  `json:"trouble,omitempty"`
	Scenarios []Result  `json:"scenarios"`
}

// Outcome is how a run ended, or why there was none.
type Outcome string

// The outcomes. The first four are verdicts on a run's history; the last two
// say that there is no verdict.
const (
	Passed       Outcome = "passed"
	Failed       Outcome = "failed"
	Inconclusive Outcome = "inconclusive"
	Broken       Outcome = "broken"
	Interrupted  Outcome = "interrupted" // the person ended it
	NotRun       Outcome = "not-run"     // an interruption or --fail-fast came before its turn
)

// Totals counts the runs of a document by outcome; the counts add up to
// Scenarios.
type Totals struct {
	Scenarios    int `json:"scenarios"`
	Passed       int `json:"passed"`
	Failed       int `json:"failed"`
	Inconclusive int `json:"inconclusive"`
	Broken       int `json:"broken"`
	Interrupted  int `json:"interrupted"`
	NotRun       int `json:"notRun"`
}

// Count adds up the outcomes of runs.
func Count(results []Result) Totals {
	totals := Totals{Scenarios: len(results)}
	for _, result := range results {
		switch result.Outcome {
		case Passed:
			totals.Passed++
		case Failed:
			totals.Failed++
		case Inconclusive:
			totals.Inconclusive++
		case Broken:
			totals.Broken++
		case Interrupted:
			totals.Interrupted++
		case NotRun:
			totals.NotRun++
		}
	}
	return totals
}

// Result is one run of one scenario, as all renderings show it.
type Result struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	File        string            `json:"file"`
	Line        int               `json:"line,omitempty"`
	Column      int               `json:"column,omitempty"`
	Outcome     Outcome           `json:"outcome"`
	Reasons     []string          `json:"reasons,omitempty"`
	Model       string            `json:"model,omitempty"`
	Seed        string            `json:"seed,omitempty"`
	RunID       string            `json:"runId,omitempty"`
	Started     *time.Time        `json:"started,omitempty"`
	Seconds     float64           `json:"seconds"`
	Replay      string            `json:"replay,omitempty"`
	Report      string            `json:"report,omitempty"`
	Engine      string            `json:"engine,omitempty"`
	Images      map[string]string `json:"images,omitempty"`
	Faults      []Fault           `json:"faults,omitempty"`
	Checks      []Check           `json:"checks,omitempty"`
	Times       *Times            `json:"times,omitempty"`
	Trouble     []string          `json:"trouble,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	Unremoved   []string          `json:"unremoved,omitempty"`
}

// Fault is one planned fault and what became of it; times are seconds since
// the run began and are left out when the event did not happen.
type Fault struct {
	Number      int      `json:"number"`
	Service     string   `json:"service"`
	Incarnation int      `json:"incarnation,omitempty"`
	Planned     string   `json:"planned,omitempty"`
	Matched     string   `json:"matched,omitempty"`
	Done        string   `json:"done,omitempty"`
	Healed      string   `json:"healed,omitempty"`
	Missed      string   `json:"missed,omitempty"`
	FiredAt     *float64 `json:"firedAt,omitempty"`
	DoneAt      *float64 `json:"doneAt,omitempty"`
	HealedAt    *float64 `json:"healedAt,omitempty"`
	Point       *Point   `json:"point,omitempty"`
}

// Point is the crash point at which a fault was done, as the program came to
// it.
type Point struct {
	Point      string     `json:"point"` // its text form, which replay takes
	Text       string     `json:"text"`  // in words
	Operation  string     `json:"operation"`
	Call       string     `json:"call"`
	Path       string     `json:"path,omitempty"`
	Other      string     `json:"other,omitempty"`
	Queue      string     `json:"queue,omitempty"`
	Occurrence int        `json:"occurrence"`
	Timing     string     `json:"timing"`
	Size       int64      `json:"size,omitempty"`
	Offset     *int64     `json:"offset,omitempty"`
	Kept       int64      `json:"kept,omitempty"`
	Inexact    string     `json:"inexact,omitempty"`
	Unsynced   []Unsynced `json:"unsynced,omitempty"`
	Files      []CutFile  `json:"files,omitempty"`
}

// Unsynced is one change that a power cut at the crash point could take.
type Unsynced struct {
	Operation string `json:"operation"`
	Path      string `json:"path"`
	Other     string `json:"other,omitempty"`
	Offset    int64  `json:"offset"`
	Size      int64  `json:"size"`
	Lost      bool   `json:"lost"`
}

// CutFile is a file of a crash point before and after recovery. Crash or End
// is nil when there was no such file.
type CutFile struct {
	Path  string `json:"path"`
	Cut   *int64 `json:"cut,omitempty"` // the first byte that the crash kept from being written, or took
	Crash *Bytes `json:"crash,omitempty"`
	End   *Bytes `json:"end,omitempty"`
}

// Bytes is what a file held around a cut.
type Bytes struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	From   int64  `json:"from"` // where in the file Hex begins
	Hex    string `json:"hex"`
	Unread string `json:"unread,omitempty"` // why they could not be read
}

// Check is one check and what it found.
type Check struct {
	Name     string      `json:"name"`
	Status   CheckStatus `json:"status"`
	Detail   string      `json:"detail,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Findings []Finding   `json:"findings,omitempty"`
}

// CheckStatus is what became of a check.
type CheckStatus string

// What becomes of a check.
const (
	CheckPassed     CheckStatus = "passed"
	CheckFailed     CheckStatus = "failed"
	CheckUncomputed CheckStatus = "uncomputed" // Reason says why
	CheckOff        CheckStatus = "off"        // nobody asked for it
)

// Finding is one thing that is wrong with what the system did. File, Line and
// Column are the place in the scenario or compose file that asked for it,
// where there is one.
type Finding struct {
	Kind    string   `json:"kind"`
	Text    string   `json:"text"`
	Count   int      `json:"count,omitempty"`
	Rows    []Row    `json:"rows,omitempty"`
	Service string   `json:"service,omitempty"`
	At      *float64 `json:"at,omitempty"`
	File    string   `json:"file,omitempty"`
	Line    int      `json:"line,omitempty"`
	Column  int      `json:"column,omitempty"`
}

// Row is one row that a finding names: where it stands, in a container's
// file, or where it should stand when it is lost.
type Row struct {
	Text      string `json:"text"`
	Chunk     string `json:"chunk,omitempty"`
	Partition *int   `json:"partition,omitempty"`
	Expected  *int   `json:"expected,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// Times says what the run's time was spent on. The phases add up to Total.
type Times struct {
	Total           float64     `json:"total"`
	Phases          []PhaseTime `json:"phases"`
	Overhead        float64     `json:"overhead"`
	OverheadPercent float64     `json:"overheadPercent"`
}

// PhaseTime is the time attributed to one kind of work.
type PhaseTime struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}
