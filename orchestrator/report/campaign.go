package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// CampaignVersion is the version of Campaign. It grows only when a field is
// removed or changes its meaning; readers must ignore fields that they do not
// know. The contract is docs/json.md, and a test compares it with these types.
const CampaignVersion = 1

// CampaignDocument is what a campaign's document says it is, so that a reader
// can tell it from a Document.
const CampaignDocument = "campaign"

// Campaign is what exploring one service of one scenario came to: a header,
// and every crash point with its outcome. Document, Version, Outcome, Totals,
// Operations and Rate are computed by Tally; the rest is for the caller to fill.
type Campaign struct {
	Document   string            `json:"document"` // CampaignDocument
	Version    int               `json:"version"`
	Killpoint  string            `json:"killpoint"`
	Scenario   string            `json:"scenario"`
	File       string            `json:"file"`
	Target     string            `json:"target"`
	Model      string            `json:"model"` // process-crash or power-loss
	Seed       string            `json:"seed,omitempty"`
	Depth      int               `json:"depth"`           // crashes in one run, at most; but for chains
	Chain      bool              `json:"chain,omitempty"` // one crash in each unit of work of a run, from rest to rest
	Shard      string            `json:"shard,omitempty"` // such as 2/4; empty for a whole campaign, a merged one too
	Note       string            `json:"note,omitempty"`
	Started    time.Time         `json:"started"`
	Seconds    float64           `json:"seconds"`
	Rate       float64           `json:"rate"` // points that were run, a minute
	Outcome    Outcome           `json:"outcome"`
	ExitCode   int               `json:"exitCode"`
	Totals     PointTotals       `json:"totals"`
	Operations []OperationTotals `json:"operations"`
	Recorded   int               `json:"recorded"` // operations in the recording that the points were made from
	Replay     string            `json:"replay,omitempty"`
	Smallest   *SmallestCase     `json:"smallest,omitempty"`
	Engine     string            `json:"engine,omitempty"`
	Images     map[string]string `json:"images,omitempty"`
	Trouble    []string          `json:"trouble,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Points     []CrashPoint      `json:"points"`
}

// PointTotals counts crash points by outcome; the counts before Unconfirmed
// add up to Points.
type PointTotals struct {
	Points       int `json:"points"`
	Passed       int `json:"passed"`
	Failed       int `json:"failed"`
	Inconclusive int `json:"inconclusive"`
	Broken       int `json:"broken"`
	NotRun       int `json:"notRun"`
	// Diverged counts those that did not come as planned, which was known to
	// be possible: the operation is not the same in every undisturbed run. They
	// make no campaign inconclusive.
	Diverged int `json:"diverged,omitempty"`
	// Unconfirmed counts those of Failed that did not fail each time.
	Unconfirmed int `json:"unconfirmed"`
}

// OperationTotals is PointTotals of the points of one kind of operation.
type OperationTotals struct {
	Operation string `json:"operation"`
	PointTotals
}

// SmallestCase is the least that still fails, and the command that shows it.
type SmallestCase struct {
	Point  string `json:"point"`
	Text   string `json:"text"` // what was left out and what remained, in a sentence
	Replay string `json:"replay"`
}

// CrashPoint is one crash point of a campaign and what came of it. A point
// under power-loss is one way in which the un-synced changes were lost.
type CrashPoint struct {
	// Point is the text form that replay takes: a sequence, where crash
	// points came before.
	Point      string `json:"point"`
	Operation  string `json:"operation"`
	Path       string `json:"path,omitempty"`
	Other      string `json:"other,omitempty"` // the second name of a rename or link
	Queue      string `json:"queue,omitempty"`
	Occurrence int    `json:"occurrence"`
	Timing     string `json:"timing"`         // before, during or after
	Kept       *int64 `json:"kept,omitempty"` // bytes that take effect, where Timing is during
	// Incarnation is the life of the service that the point is in, from 1.
	Incarnation int `json:"incarnation"`
	// Index is the place of the operation in the recording, from 1: of the
	// recovery's recording, where After is set.
	Index  int    `json:"index"`
	Size   int64  `json:"size,omitempty"`
	Offset *int64 `json:"offset,omitempty"`
	// After is the crash points that came before in the same run, first to
	// last: set where the point is in a recovery.
	After []string `json:"after,omitempty"`
	// Lost says which un-synced changes the power cut took, as
	// lose-unsynced does; under power-loss alone.
	Lost string `json:"lost,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Divergent says that the operation is not the same in every undisturbed
	// run of the system, as recordings or, where nothing makes runs equal, the
	// trials of the point have shown.
	Divergent bool      `json:"divergent,omitempty"`
	Outcome   Outcome   `json:"outcome"` // passed, failed, inconclusive, broken or not-run
	Reason    string    `json:"reason,omitempty"`
	Findings  []Finding `json:"findings,omitempty"`
	// Failures of Attempts runs of this point failed; a point that failed
	// and was tried again says by these whether the finding repeats.
	Failures int `json:"failures,omitempty"`
	Attempts int `json:"attempts"`
	// Confirmed says that a finding was seen with a real container kill too.
	Confirmed bool    `json:"confirmed,omitempty"`
	Seconds   float64 `json:"seconds"`
	Replay    string  `json:"replay,omitempty"`
	Report    string  `json:"report,omitempty"` // folder of a saved run of this point
}

// Object is what the point's operation is done to: the row of the matrix.
func (p *CrashPoint) Object() string {
	if p.Queue != "" {
		return "queue " + p.Queue
	}
	return p.Path
}

// Unconfirmed says whether the point failed, but not each time.
func (p *CrashPoint) Unconfirmed() bool {
	return p.Outcome == Failed && p.Failures < p.Attempts
}

// operationOrder is the order in which kinds of operation are listed.
var operationOrder = []string{"write", "fsync", "rename", "create", "truncate", "unlink", "mkdir", "read", "publish", "ack"}

// Tally computes from the points what the header says of them. A campaign
// with trouble is broken, one without points inconclusive.
func (c *Campaign) Tally() {
	c.Document, c.Version = CampaignDocument, CampaignVersion
	c.Totals, c.Operations = PointTotals{}, []OperationTotals{}
	if c.Points == nil {
		c.Points = []CrashPoint{}
	}
	at := map[string]int{}
	for index := range c.Points {
		point := &c.Points[index]
		kind, known := at[point.Operation]
		if !known {
			kind = len(c.Operations)
			at[point.Operation] = kind
			c.Operations = append(c.Operations, OperationTotals{Operation: point.Operation})
		}
		c.Totals.add(point)
		c.Operations[kind].add(point)
	}
	slices.SortStableFunc(c.Operations, func(a, b OperationTotals) int {
		return operationRank(a.Operation) - operationRank(b.Operation)
	})
	c.Rate = 0
	if run := c.Totals.Points - c.Totals.NotRun; run > 0 && c.Seconds > 0 {
		c.Rate = math.Round(600*float64(run)/c.Seconds) / 10
	}
	c.Outcome = c.outcome()
}

func (c *Campaign) outcome() Outcome {
	switch {
	case c.Outcome == Interrupted:
		return Interrupted // only the caller knows
	case len(c.Trouble) > 0 || c.Totals.Broken > 0:
		return Broken
	case c.Totals.Failed > 0:
		return Failed
	case c.Totals.Inconclusive > 0 || c.Totals.Points == c.Totals.NotRun+c.Totals.Diverged:
		return Inconclusive
	default:
		return Passed
	}
}

func (t *PointTotals) add(point *CrashPoint) {
	t.Points++
	switch point.Outcome {
	case Passed:
		t.Passed++
	case Failed:
		t.Failed++
		if point.Unconfirmed() {
			t.Unconfirmed++
		}
	case Broken:
		t.Broken++
	case NotRun:
		t.NotRun++
	default:
		if point.Divergent {
			t.Diverged++
		} else {
			t.Inconclusive++
		}
	}
}

// operationRank puts kinds that nobody knows yet last.
func operationRank(operation string) int {
	if rank := slices.Index(operationOrder, operation); rank >= 0 {
		return rank
	}
	return len(operationOrder)
}

// WriteCampaignJSON writes the campaign as docs/json.md describes it: the
// header over several lines, then a point a line, which tools that work by
// line can read and compare.
func WriteCampaignJSON(to io.Writer, campaign *Campaign) error {
	buffered := bufio.NewWriterSize(to, 1<<16)
	if err := errors.Join(writeCampaign(buffered, campaign), buffered.Flush()); err != nil {
		return fmt.Errorf("write campaign: %w", err)
	}
	return nil
}

func writeCampaign(to *bufio.Writer, campaign *Campaign) error {
	header := *campaign
	header.Points = []CrashPoint{}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(header); err != nil {
		return err
	}
	// Points is the last field, and empty here.
	to.Write(bytes.TrimSuffix(text.Bytes(), []byte("[]\n}\n")))
	to.WriteString("[")
	encoder.SetIndent("", "")
	for index := range campaign.Points {
		text.Reset()
		if err := encoder.Encode(&campaign.Points[index]); err != nil {
			return fmt.Errorf("point %d: %w", index+1, err)
		}
		if index > 0 {
			to.WriteString(",")
		}
		to.WriteString("\n    ")
		to.Write(bytes.TrimSpace(text.Bytes()))
	}
	if len(campaign.Points) > 0 {
		to.WriteString("\n  ")
	}
	_, err := to.WriteString("]\n}\n")
	return err
}

// ErrNoCampaign says that a document is not one of a campaign.
var ErrNoCampaign = errors.New("not the document of a campaign")

// ReadCampaign reads what WriteCampaignJSON wrote.
func ReadCampaign(from io.Reader) (*Campaign, error) {
	campaign := &Campaign{}
	if err := json.NewDecoder(bufio.NewReaderSize(from, 1<<16)).Decode(campaign); err != nil {
		return nil, fmt.Errorf("read campaign: %w", err)
	}
	if campaign.Document != CampaignDocument {
		return nil, fmt.Errorf("read campaign: %w", ErrNoCampaign)
	}
	if campaign.Version > CampaignVersion {
		return nil, fmt.Errorf("read campaign: version %d is newer than this killpoint reads (%d)", campaign.Version, CampaignVersion)
	}
	return campaign, nil
}
