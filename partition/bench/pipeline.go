package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// What goes through the pipeline. The window is as large as worker-2's
// prefetch, so that its groups are full.
const (
	pipelinePartitions = 5
	pipelinePatience   = 2 * time.Minute
	pipelineGroup      = 64
	pipelineWindow     = 4 * pipelineGroup
)

var pipelineTarget = target{0.8, true}

// sending is how much is sent.
type sending struct{ rows, chunks int }

func (b *bench) loads() []sending {
	if b.quick {
		return []sending{{16, 4_000}, {256, 1_000}}
	}
	return []sending{{16, 60_000}, {256, 20_000}}
}

// pipeline measures the whole pipeline, beside the same one that neither
// writes nor checks.
func (b *bench) pipeline(ctx context.Context) (err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	working, err := buildWorker(ctx, root, b.dir, "working", profiled())
	if err != nil {
		return fmt.Errorf("%w (run this in partition/bench)", err)
	}
	idling, err := buildWorker(ctx, root, b.dir, "idle", append(idle(), profiled()...))
	if err != nil {
		return err
	}
	b.progress("booting a broker")
	url, remove, err := startBroker(ctx, imageOf(root))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	fmt.Fprintf(b.out, "\nThrough RabbitMQ: test-runner, worker-2, worker-3 as processes, %d partitions, power, groups of at most %d chunks, window %d; without the work: the same, but worker-2 writes nothing and worker-3 checks nothing.\n\n",
		pipelinePartitions, pipelineGroup, pipelineWindow)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rows/chunk\trows/s\tlowest\thighest\twithout the work\tlowest\thighest\tratio\t")
	var times bytes.Buffer
	t := tabwriter.NewWriter(&times, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "rows/chunk\t%s\t\n", strings.Join(pipelineServices, "\t"))
	for _, l := range b.loads() {
		var with, without pipelineRates
		for round := range b.rounds {
			b.progress("pipeline, round %d of %d: %d chunks of %d rows", round+1, b.rounds, l.chunks, l.rows)
			for _, kind := range []struct {
				binary string
				writes bool
				rates  *pipelineRates
			}{{working, true, &with}, {idling, false, &without}} {
				r := pipelineRun{binary: kind.binary, url: url, dir: filepath.Join(b.dir, "pipeline"), load: l, writes: kind.writes}
				r.queues = fmt.Sprintf("%d-%d-%t", l.rows, round, kind.writes)
				if round == 0 && b.profiles != "" {
					r.profiles = filepath.Join(b.profiles, fmt.Sprintf("%%s-%d-rows-%s.prof", l.rows, filepath.Base(filepath.Dir(kind.binary))))
				}
				settle()
				rate, err := r.run(ctx)
				if err != nil {
					return fmt.Errorf("%d chunks of %d rows: %w", l.chunks, l.rows, err)
				}
				kind.rates.add(rate, r.workers)
			}
		}
		a, z, ratio := spreadOf(with.rows), spreadOf(without.rows), spreadOf(ratios(with.rows, without.rows))
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.rows, count(a.median), count(a.low), count(a.high),
			count(z.median), count(z.low), count(z.high), pipelineTarget.judge(ratio.median))
		fmt.Fprintf(t, "%d\t", l.rows)
		for _, service := range pipelineServices {
			fmt.Fprintf(t, "%.0f, %.0f without\t", with.cost(service, l.chunks), without.cost(service, l.chunks))
		}
		fmt.Fprintln(t)
	}
	_ = w.Flush()
	_ = t.Flush()
	fmt.Fprintf(b.out, "Target: %s of it.\n\nProcessor time of each process, in us a chunk; the broker has the rest of %d processors:\n\n%s",
		pipelineTarget, runtime.NumCPU(), &times)
	return nil
}

var pipelineServices = []string{"test-runner", "worker-2", "worker-3"}

// pipelineRates are what the rounds of one pipeline gave.
type pipelineRates struct {
	rows []float64            // a second
	used map[string][]float64 // by service: seconds of processor time
}

func (p *pipelineRates) add(rate float64, workers []*worker) {
	p.rows = append(p.rows, rate)
	if p.used == nil {
		p.used = map[string][]float64{}
	}
	for _, w := range workers {
		used := w.command.ProcessState.UserTime() + w.command.ProcessState.SystemTime()
		p.used[w.name] = append(p.used[w.name], used.Seconds())
	}
}

// cost is in microseconds a chunk.
func (p *pipelineRates) cost(service string, chunks int) float64 {
	return 1e6 * spreadOf(p.used[service]).median / float64(chunks)
}

// pipelineRun is one run of the pipeline, as processes of this machine.
type pipelineRun struct {
	binary   string
	url      string
	dir      string
	load     sending
	queues   string // what the queues' names end with
	writes   bool
	profiles string // pattern for a worker's name; empty for none

	workers []*worker
}

// worker is one process.
type worker struct {
	name    string
	command *exec.Cmd
	printed *os.File // what it printed, read as it grows
	at      int64
}

// run gives the rows a second from the first message to the last verdict.
func (r *pipelineRun) run(ctx context.Context) (rate float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pipelinePatience)
	defer cancel()
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return 0, err
	}
	defer func() {
		for _, w := range r.workers {
			_ = w.command.Process.Kill() // those that have ended do not mind
			_ = w.command.Wait()
			err = errors.Join(err, w.printed.Close())
		}
		err = errors.Join(err, os.RemoveAll(r.dir))
	}()
	for _, name := range []string{"worker-2", "worker-3"} {
		w, err := r.start(ctx, name)
		if err != nil {
			return 0, err
		}
		if _, err := w.await(ctx, "Ready", 1); err != nil {
			return 0, err
		}
	}
	sender, err := r.start(ctx, "test-runner")
	if err != nil {
		return 0, err
	}
	begin, err := sender.await(ctx, "Connected to", 1)
	if err != nil {
		return 0, err
	}
	end, err := r.workers[1].await(ctx, "SUCCESS [", r.load.chunks)
	if err != nil {
		return 0, err
	}
	if err := r.finish(ctx, sender); err != nil {
		return 0, err
	}
	return float64(r.load.rows*r.load.chunks) / end.Sub(begin).Seconds(), nil
}

// finish ends the workers and checks what they left.
func (r *pipelineRun) finish(ctx context.Context, sender *worker) error {
	if err := sender.command.Wait(); err != nil {
		return fmt.Errorf("test-runner: %w", err)
	}
	for _, w := range r.workers[:2] {
		if err := w.command.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if err := w.command.Wait(); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if !r.writes {
		return nil
	}
	verify, err := r.start(ctx, "verify")
	if err != nil {
		return err
	}
	if err := verify.command.Wait(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	rows := 0
	for p := range pipelinePartitions {
		text, err := os.ReadFile(filepath.Join(r.dir, "partitions", fmt.Sprintf("TEST-users-partition-%03d.csv", p)))
		if err != nil {
			return err
		}
		rows += bytes.Count(text, []byte{'\n'}) - 1
	}
	if rows != r.load.rows*r.load.chunks {
		return fmt.Errorf("%d rows were sent and %d are there", r.load.rows*r.load.chunks, rows)
	}
	return nil
}

func (r *pipelineRun) start(ctx context.Context, name string) (*worker, error) {
	printed, err := os.Create(filepath.Join(r.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	w := &worker{name: name, command: exec.CommandContext(ctx, r.binary, name), printed: printed}
	w.command.Stdout, w.command.Stderr = printed, os.Stderr
	w.command.Env = append(os.Environ(),
		"RABBITMQ_URL="+r.url, "DATA_DIR="+r.dir, "SENT_FILE="+filepath.Join(r.dir, "sent.jsonl"), "SEED=1",
		"QUEUE_1_2=1-2-"+r.queues, "QUEUE_2_3=2-3-"+r.queues,
		fmt.Sprintf("NUM_PARTITIONS=%d", pipelinePartitions), fmt.Sprintf("NUM_CHUNKS=%d", r.load.chunks),
		fmt.Sprintf("ROWS_PER_CHUNK=%d", r.load.rows), fmt.Sprintf("WINDOW=%d", pipelineWindow), fmt.Sprintf("MAX_GROUP=%d", pipelineGroup),
		"DURABILITY=power",
	)
	if r.profiles != "" {
		w.command.Env = append(w.command.Env, profileVariable+"="+fmt.Sprintf(r.profiles, name))
	}
	if err := w.command.Start(); err != nil {
		return nil, errors.Join(err, printed.Close())
	}
	r.workers = append(r.workers, w)
	return w, nil
}

// await waits until the worker has printed so many lines with some text and
// gives the time at which it had. The files are looked at rarely, since a pipe
// with a reader would cost the workers more than the lines do.
func (w *worker) await(ctx context.Context, text string, times int) (time.Time, error) {
	buffer := make([]byte, 1<<20)
	kept := 0
	for found := 0; ; {
		n, err := w.printed.ReadAt(buffer[kept:], w.at)
		now := time.Now()
		w.at += int64(n)
		whole := bytes.LastIndexByte(buffer[:kept+n], '\n') + 1
		found += bytes.Count(buffer[:whole], []byte(text))
		if found >= times {
			return now, nil
		}
		kept = copy(buffer, buffer[whole:kept+n])
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("%s printed %q %d times of %d: %w", w.name, text, found, times, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
