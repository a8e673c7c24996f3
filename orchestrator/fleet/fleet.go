// Package fleet shares the crash points of one campaign between machines. It
// has no scheduler: RabbitMQ delivers, and delivers again what a dead agent
// held.
//
// A Coordinator announces its campaign on a fanout exchange, publishes batches
// of points to a quorum queue, and takes outcomes from another. An Agent hears
// of the campaign, asks for what it needs, opens lanes of its own engine as
// explore does, and takes one batch at a time:
//
//	coordinator ──▶ killpoint.campaigns (fanout) ──▶ agents
//	     │   ▲ ▲───── asks for the parcel ───────────│ │ │
//	     │   └─────── killpoint.ID.answers ◀─────────┘ │ │
//	     └──────────▶ killpoint.ID.batches ────────────▶ one of them
//	     ▲                  │ delivered too often
//	     └───── killpoint.ID.dead
//
// A batch is acknowledged after its answer was confirmed, and an answer after
// its outcomes were written to the journal, so whatever dies in between is done
// again. What is done twice is told once: the coordinator knows by its text
// which points it is waiting for.
//
// What a campaign makes of outcomes is left to package explore, and how trials
// are run to its lanes.
package fleet

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/killpoint/killpoint/orchestrator/explore"
)

// format is the version of the messages. Agents leave campaigns of another one
// alone.
const format = 1

// campaigns is the exchange on which campaigns are announced.
const campaigns = "killpoint.campaigns"

// Bounds and times.
const (
	// DefaultBatch is how many points a batch has: an agent that dies costs no
	// more of them.
	DefaultBatch = 10
	// deliveryLimit is how often a batch is delivered again before it is taken
	// for the reason why agents die.
	deliveryLimit = 3
	// expiry is when queues go that nobody uses: those of a campaign of which
	// the coordinator was killed, and which nobody went on with.
	expiry = 7 * 24 * time.Hour
	// pulse is how often a campaign is announced.
	pulse = time.Second
	// silence is after how long an agent with nothing to do leaves a campaign
	// that is not announced any more.
	silence = time.Minute
	// again is when an agent looks once more at a campaign that it could not
	// take part in: somebody may have loaded the image that it lacked.
	again = 15 * time.Second
)

// announcement says that a campaign is going on.
type announcement struct {
	Format    int    `json:"format"`
	Killpoint string `json:"killpoint"` // version
	// Campaign is the hash of the parcel.
	Campaign string `json:"campaign"`
	Name     string `json:"name"` // in words
	// Ask is the queue in which the coordinator is asked.
	Ask string `json:"ask"`
	// Generation counts the queues that the broker could not go on with.
	Generation int `json:"generation,omitempty"`
}

// Batch is points that one agent runs.
type Batch struct {
	ID string `json:"id"`
	// Timeout is how long one trial may take.
	Timeout time.Duration  `json:"timeout"`
	Items   []explore.Item `json:"items"`
}

// Answer is what an agent made of a batch.
type Answer struct {
	Batch    string            `json:"batch,omitempty"`
	Agent    string            `json:"agent"`
	Outcomes []explore.Outcome `json:"outcomes,omitempty"`
	// Trouble says why outcomes are missing, or why the agent takes no batches.
	Trouble string `json:"trouble,omitempty"`
}

// queues are those of one campaign.
type queues struct{ batches, answers, dead string }

func queuesOf(campaign string, generation int) queues {
	name := "killpoint." + campaign
	if generation > 0 {
		name += "." + strconv.Itoa(generation)
	}
	return queues{name + ".batches", name + ".answers", name + ".dead"}
}

// hashOf identifies content.
func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:10])
}

// encode makes a message: JSON says everything several times.
func encode(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return compress(text)
}

func decode(message []byte, into any) error {
	text, err := decompress(message)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	return nil
}

func compress(content []byte) ([]byte, error) {
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	if _, err := writer.Write(content); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return compressed.Bytes(), nil
}

func decompress(compressed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return io.ReadAll(reader)
}
