// Package worker2 writes chunks into partition files, exactly once, and tells
// worker-3 of each. How rows come to be written once and for good is left to
// package partition.
//
// The order is what makes a death at any instant harmless: rows are visible and
// durable, then the chunk is forwarded and the broker has confirmed it, then
// the delivery is acknowledged. A death in between brings the delivery back;
// the rows are then recognised by the chunk's id and not written again, but
// the chunk is forwarded again, since the first forward may not have happened.
package worker2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/workers/chunk"
	"github.com/killpoint/killpoint/workers/config"
	"github.com/killpoint/killpoint/workers/queue"
)

// Config says what to write where.
type Config struct {
	Broker   queue.Options
	From, To string
	MaxGroup int // chunks that one commit takes
	Files    partition.Options
}

// ReadConfig reads the settings; r keeps the problems.
func ReadConfig(r *config.Reader) Config {
	c := Config{
		Broker: config.Broker(r, "worker-2"),
		From:   config.Queue12(r), To: config.Queue23(r),
		MaxGroup: config.MaxGroup(r),
		Files:    ReadFiles(r),
	}
	c.Files.Partitions = config.Partitions(r)
	durability := r.OneOf("DURABILITY", partition.Power.String(), partition.Power.String(), partition.Process.String())
	c.Files.Durability, _ = partition.ParseDurability(durability)
	// One chunk after the other is for those who compare the calls of runs.
	c.Files.Sequential = c.MaxGroup == 1
	c.Files.JournalBytes = int64(r.Int("JOURNAL_BYTES", partition.DefaultJournalBytes, partition.MinimumJournalBytes, partition.MaxGroupBytes))
	return c
}

// ReadFiles reads where the files are.
func ReadFiles(r *config.Reader) partition.Options {
	return partition.Options{Dir: config.PartitionsDir(r), StateDir: config.StateDir(r), Header: chunk.Header}
}

// writer is what a worker needs of a partition.Manager.
type writer interface {
	Write(context.Context, []*partition.Chunk) ([]partition.Result, error)
}

// Run recovers the files and then writes until ctx ends. It finishes the group
// that it has in hand, closes the files and returns nil.
func Run(ctx context.Context, c Config, log func(string, ...any)) (err error) {
	w := &worker{config: c, log: func(format string, args ...any) { log(prefix+format, args...) }}
	c.Broker.Log = w.log
	files, err := partition.Open(ctx, c.Files)
	if errors.Is(err, partition.ErrPartitionCount) {
		return fmt.Errorf("%w: NUM_PARTITIONS=%d: %w", config.ErrBad, c.Files.Partitions, err)
	}
	if err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	defer func() {
		if closing := files.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("close partitions: %w", closing))
		}
		if err == nil {
			w.log("Stopped")
		}
	}()
	w.files = files
	w.logRecovery(files.Recovery())

	queues := []string{c.From, c.To, queue.Rejected(c.From)}
	err = queue.New(c.Broker).Run(ctx, queues, func(s *queue.Session) error {
		ready := func() { w.log("Ready") }
		return s.Each(ctx, c.From, c.MaxGroup, ready, func(group []queue.Delivery) (queue.Left, error) {
			return w.handle(ctx, s, group)
		})
	})
	return queue.Stopped(ctx, err)
}

// prefix begins every line that is logged.
const prefix = "Worker 2: "

type worker struct {
	config Config
	files  writer
	log    func(string, ...any)
	told   []byte             // lines of a group that are not logged yet
	chunks []*partition.Chunk // that groups are written with, one after the other
}

// tell logs a line of a group's, together with the others up to flush, since a
// call into the kernel for each line costs more than the line. Where groups
// have one chunk, each line goes out by itself, and is a crash point.
func (w *worker) tell(format string, args ...any) {
	if len(w.told) > 0 {
		w.told = append(w.told, "\n"+prefix...)
	}
	w.told = fmt.Appendf(w.told, format, args...)
	if w.config.MaxGroup == 1 {
		w.flush()
	}
}

func (w *worker) flush() {
	if len(w.told) > 0 {
		w.log("%s", w.told)
		w.told = w.told[:0]
	}
}

// handle brings one group to where it may be acknowledged once the broker has
// taken the forwarded chunks over.
func (w *worker) handle(ctx context.Context, s *queue.Session, group []queue.Delivery) (left queue.Left, err error) {
	chunks, sent, err := s.Sort(w.config.From, group, func(id, reason string) {
		w.log("Rejected message %s: %s", id, reason)
	})
	if err != nil {
		return left, err
	}
	if err := w.write(ctx, chunks); err != nil {
		return left, err
	}
	for _, d := range chunks {
		pending, err := s.Publish(w.config.To, d.Message)
		if err != nil {
			return left, err
		}
		sent = append(sent, pending)
	}
	return queue.Left{Arriving: sent, Acknowledged: func() {
		for _, d := range chunks {
			w.tell("Completed processing chunk %s", d.ID)
		}
		w.flush()
	}}, nil
}

// write commits the chunks as one group.
func (w *worker) write(ctx context.Context, chunks []queue.Decoded) error {
	if len(chunks) == 0 {
		return nil
	}
	for len(w.chunks) < len(chunks) {
		w.chunks = append(w.chunks, new(partition.Chunk))
	}
	group := w.chunks[:len(chunks)]
	for i, d := range chunks {
		w.tell("Processing chunk %s", d.ID)
		group[i].Reset(d.ID, d.Client+"-users")
		for _, row := range d.Chunk.Rows {
			if err := group[i].Add(chunk.Partition(row.UserID, w.config.Files.Partitions), row.Line); err != nil {
				return fmt.Errorf("write chunk %s: %w", d.ID, err)
			}
		}
	}
	w.flush()
	results, err := w.commit(ctx, group)
	if err != nil {
		return err
	}
	for _, r := range results {
		w.tellResult(r)
	}
	w.flush()
	return nil
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// commit writes a group, and tries again when a disk was full, say: nothing is
// acknowledged meanwhile, so nothing is lost by waiting. After a failed sync
// only a new life, which recovers from disk, can go on.
func (w *worker) commit(ctx context.Context, group []*partition.Chunk) ([]partition.Result, error) {
	pause := firstRetry
	for {
		// A group in hand is finished even when ctx has ended.
		results, err := w.files.Write(context.WithoutCancel(ctx), group)
		if err == nil {
			return results, nil
		}
		if errors.Is(err, partition.ErrFailed) || errors.Is(err, partition.ErrClosed) || errors.Is(err, partition.ErrBadChunk) {
			return nil, fmt.Errorf("write %d chunks: %w", len(group), err)
		}
		w.log("Could not write %d chunks, trying again in %v: %v", len(group), pause, err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("stopped while %d chunks could not be written: %w", len(group), err)
		case <-time.After(pause):
		}
		pause = min(2*pause, lastRetry)
	}
}

func (w *worker) tellResult(r partition.Result) {
	if r.Duplicate {
		w.tell("Skipping duplicate chunk %s, forwarding it again", r.ID)
		return
	}
	for _, p := range r.Skipped {
		w.tell(alreadyWritten, p, r.ID)
	}
	for _, p := range r.Partitions {
		w.tell("Wrote partition %d from chunk %s", p, r.ID)
	}
}

const alreadyWritten = "Partition %d of chunk %s was already written"
