package config

import (
	"os"
	"path/filepath"

	"github.com/killpoint/killpoint/workers/queue"
)

// The settings that more than one worker has, each read in one place, so that
// the workers cannot disagree about a default.

// Partitions is the number of partitions, NUM_PARTITIONS.
func Partitions(r *Reader) int { return r.Int("NUM_PARTITIONS", 5, 1, 1000) }

// MaxGroup is how many deliveries are handled at once, MAX_GROUP.
func MaxGroup(r *Reader) int { return r.Int("MAX_GROUP", 64, 1, queue.MaxInFlight/2) }

// Queue01 is the queue into worker-1.
func Queue01(r *Reader) string { return r.String("QUEUE_0_1", "queue-0-1") }

// Queue12 is the queue from worker-1 to worker-2.
func Queue12(r *Reader) string { return r.String("QUEUE_1_2", "queue-1-2") }

// Queue23 is the queue from worker-2 to worker-3.
func Queue23(r *Reader) string { return r.String("QUEUE_2_3", "queue-2-3") }

// QueueDone is where worker-3 names the chunks that it has judged.
func QueueDone(r *Reader) string { return r.String("QUEUE_3_DONE", "queue-3-done") }

// FeedsOne says whether a chunk is sent only when the one before was judged,
// FEED=one. What each worker does is then the same in every run.
func FeedsOne(r *Reader) bool { return r.OneOf("FEED", "window", "window", "one") == "one" }

// PartitionsDir is where the partition files are, below DATA_DIR.
func PartitionsDir(r *Reader) string { return filepath.Join(dataDir(r), "partitions") }

// StateDir is where the writer keeps its state, below DATA_DIR.
func StateDir(r *Reader) string { return filepath.Join(dataDir(r), "state") }

func dataDir(r *Reader) string { return r.String("DATA_DIR", "/app/worker-data") }

// Broker is the connection to RabbitMQ, which shows as name there.
func Broker(r *Reader, name string) queue.Options {
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return queue.Options{
		URL:     r.BrokerURL("RABBITMQ_URL", "amqp://killpoint:killpoint@rabbitmq:5672/"),
		Name:    name,
		Durable: r.Bool("QUEUE_DURABLE", false),
	}
}
