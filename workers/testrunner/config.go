package testrunner

import (
	"math/rand/v2"

	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/queue"
)

// Config says what to send and how.
type Config struct {
	Broker queue.Options
	Queue  string // where to send it
	Done   string // where it is said that a chunk was judged, to wait for that; empty not to wait

	Chunks        int    // how many; without meaning when Input is set
	RowsPerChunk  int    // at most, when Input is set
	Partitions    int    // what worker-2 has, for the record
	Client        string // whose rows they are
	Seed          uint64 // of ids and rows; printed, so that a run can be repeated
	DuplicateEach int    // send each n-th chunk twice; 0 for none
	Malformed     int    // how many broken messages to mix in
	Input         string // CSV file to chunk instead of generated rows

	Window   int     // messages on their way at once: not confirmed yet, or in the queue and not handed out
	Rate     float64 // messages a second; 0 without limit
	SentFile string  // the record of what was attempted and confirmed
}

// ReadConfig reads the settings; r keeps the problems.
func ReadConfig(r *config.Reader) Config {
	c := Config{
		Chunks:        r.Int("NUM_CHUNKS", 20, 1, 100_000_000),
		RowsPerChunk:  r.Int("ROWS_PER_CHUNK", 10, 1, 1_000_000),
		Partitions:    config.Partitions(r),
		Client:        "TEST",
		Seed:          r.Uint64("SEED", rand.Uint64()),
		DuplicateEach: r.Int("DUPLICATE_EVERY", 0, 0, 100_000_000),
		Malformed:     r.Int("MALFORMED", 0, 0, 1_000_000),
		Input:         r.String("INPUT", ""),
		Window:        r.Int("WINDOW", 16, 1, queue.MaxInFlight),
		Rate:          r.Rate("RATE"),
		SentFile:      r.String("SENT_FILE", "/app/sent.jsonl"),
	}
	c.Broker = config.Broker(r, "test-runner")
	c.Queue = config.Queue12(r)
	if r.OneOf("ENTRY", "worker-2", "worker-1", "worker-2") == "worker-1" {
		c.Queue = config.Queue01(r)
	}
	if config.FeedsOne(r) {
		c.Done, c.Window = config.QueueDone(r), 1
	}
	return c
}
