package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/killpoint/killpoint/partition"
)

// The growth is measured with one kind of chunk; what grows is what is already
// there.
const (
	growthRows       = 16 // a chunk
	growthPartitions = 5
	million          = 1_000_000
)

// Targets of the growth.
const (
	growthSlower = 0.15
	openLimit    = time.Second
	memoryLimit  = 200_000_000 // bytes
)

// scale is how much is written.
type scale struct {
	step   int // rows that are timed together
	held   []int
	chunks int // of one row each
}

func (b *bench) scale() scale {
	if b.quick {
		return scale{step: million / 10, held: []int{0, million / 10, million / 2}, chunks: million / 10}
	}
	return scale{step: million, held: []int{0, million, 10 * million}, chunks: 10 * million}
}

// growth measures what a writer costs that holds much already.
func (b *bench) growth(ctx context.Context) error {
	to := b.scale()
	speeds, err := b.growthSpeeds(ctx, to)
	if err != nil {
		return err
	}
	b.printSpeeds(to, speeds)
	openings, err := b.openings(ctx, to)
	if err != nil {
		return err
	}
	b.printOpenings(openings)
	many, err := b.manyChunks(ctx, to)
	if err != nil {
		return err
	}
	b.printOpenings([]opening{many})
	if b.plot == "" {
		return nil
	}
	return os.WriteFile(b.plot, plotGrowth(to, speeds, openings), 0o644)
}

// speeds has, for every number of rows held in steps, the rows a second of the
// next step, a value a round.
type speeds [][]float64

// growthSpeeds fills a writer from nothing, several times.
func (b *bench) growthSpeeds(ctx context.Context, to scale) (speeds, error) {
	last := to.held[len(to.held)-1]
	list := make(speeds, last/to.step+1)
	for round := range b.rounds {
		b.progress("growth, round %d of %d: %s rows", round+1, b.rounds, count(float64(last+to.step)))
		dir := filepath.Join(b.dir, "growth")
		w := work{Dir: dir, Durability: power, Rows: growthRows, Chunks: (last + to.step) / growthRows, Step: to.step, InFlight: b.inFlight}
		if b.profiles != "" && round == 0 {
			w.Profile = filepath.Join(b.profiles, "growth.prof")
		}
		settle()
		done, err := runWork(ctx, w, false)
		if err != nil {
			return nil, err
		}
		for i, rate := range done.Rates {
			list[i] = append(list[i], rate)
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// opening is how a writer opened.
type opening struct {
	rows   int // held
	chunks int
	killed bool
	times  []float64 // seconds
	memory int64     // most that was resident, in bytes
	redone int       // chunks that the journal held
	limit  bool      // the target counts
}

// openings opens writers of several sizes, after a checkpoint and after kills.
func (b *bench) openings(ctx context.Context, to scale) ([]opening, error) {
	dir := filepath.Join(b.dir, "openings")
	defer os.RemoveAll(dir)
	w := work{Dir: dir, Durability: power, Rows: growthRows, InFlight: b.inFlight}
	var list []opening
	for _, held := range to.held {
		b.progress("opening with %s rows", count(float64(held)))
		if missing := held/growthRows - w.First; missing > 0 {
			w.Chunks = missing
			if _, err := runWork(ctx, w, false); err != nil {
				return nil, err
			}
			w.First += missing
		}
		clean, err := b.open(ctx, w, false)
		if err != nil {
			return nil, err
		}
		killed := opening{killed: true}
		for range b.rounds {
			// As much as may stand in a journal, and at another place of it
			// each time.
			w.Chunks = to.step/2/growthRows + w.First%1000
			if _, err := runWork(ctx, w, true); err != nil {
				return nil, err
			}
			w.First += w.Chunks
			once, err := b.open(ctx, w, true)
			if err != nil {
				return nil, err
			}
			killed.times = append(killed.times, once.times...)
			killed.memory, killed.redone = max(killed.memory, once.memory), max(killed.redone, once.redone)
			killed.rows, killed.chunks = once.rows, once.chunks
		}
		list = append(list, clean, killed)
	}
	return list, verify(w)
}

// manyChunks opens a writer that has seen very many chunks.
func (b *bench) manyChunks(ctx context.Context, to scale) (opening, error) {
	b.progress("opening with %s chunks of one row", count(float64(to.chunks)))
	dir := filepath.Join(b.dir, "chunks")
	defer os.RemoveAll(dir)
	w := work{Dir: dir, Durability: process, Rows: 1, Chunks: to.chunks, Step: to.chunks / 10, InFlight: 64 * b.inFlight}
	done, err := runWork(ctx, w, false)
	if err != nil {
		return opening{}, err
	}
	w.First = to.chunks
	clean, err := b.open(ctx, w, false)
	if err != nil {
		return opening{}, err
	}
	clean.limit = true
	fmt.Fprintf(b.out, "\n%s chunks of one row, process: the first tenth at %s chunks/s, the last at %s; %.0f MB resident at most while writing\n",
		count(float64(to.chunks)), count(done.Rates[0]), count(done.Rates[len(done.Rates)-1]), float64(done.Memory)/1e6)
	return clean, nil
}

// open opens a directory in fresh processes. After a kill only the first time
// counts, since it recovers.
func (b *bench) open(ctx context.Context, w work, killed bool) (opening, error) {
	o := opening{rows: w.First * w.Rows, chunks: w.First, killed: killed}
	times := b.rounds
	if killed {
		times = 1
	}
	for range times {
		settle()
		w.Chunks = 0
		done, err := runWork(ctx, w, false)
		if err != nil {
			return o, err
		}
		o.times = append(o.times, done.Opened)
		o.memory, o.redone = max(o.memory, done.OpenMemory), max(o.redone, done.Replayed)
	}
	return o, nil
}

// verify lets the library compare all that it wrote, and count it.
func verify(w work) error {
	report, err := partition.Verify(killpointOptions(w.Dir, growthPartitions, w.Durability))
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return err
	}
	if report.Chunks != w.First || report.Rows != int64(w.First*w.Rows) {
		return fmt.Errorf("%d chunks of %d rows were committed; %d chunks and %d rows are there", w.First, w.Rows, report.Chunks, report.Rows)
	}
	return nil
}

func (b *bench) printSpeeds(to scale, speeds speeds) {
	fmt.Fprintf(b.out, "\nA writer that holds rows already, %d rows a chunk, %d partitions, power, natural batching; the next %s rows (target: within %.0f %% of 0 rows):\n\n",
		growthRows, growthPartitions, count(float64(to.step)), 100*growthSlower)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rows held\trows/s\tlowest\thighest\tto 0 rows\t")
	for _, held := range to.held {
		at := held / to.step
		s := spreadOf(speeds[at])
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", count(float64(held)), count(s.median), count(s.low), count(s.high),
			target{1 - growthSlower, true}.judge(spreadOf(ratios(speeds[at], speeds[0])).median))
	}
	_ = w.Flush()
}

func (b *bench) printOpenings(openings []opening) {
	fmt.Fprintf(b.out, "\nOpening (targets: after a checkpoint under %v; with many chunks under %d MB):\n\n", openLimit, memoryLimit/million)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rows\tchunks\tafter\tin\tat most\tchunks redone\tresident\t")
	for _, o := range openings {
		after, verdict := "checkpoint", ""
		s := spreadOf(o.times)
		if o.killed {
			after = "kill"
		} else {
			verdict = judged(s.median < openLimit.Seconds())
		}
		memory := fmt.Sprintf("%.0f MB", float64(o.memory)/1e6)
		if o.limit {
			memory += judged(o.memory < memoryLimit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f ms%s\t%.0f ms\t%d\t%s\t\n", count(float64(o.rows)), count(float64(o.chunks)), after,
			1e3*s.median, verdict, 1e3*s.high, o.redone, memory)
	}
	_ = w.Flush()
}

func judged(met bool) string {
	if met {
		return " met"
	}
	return " MISSED"
}

// childVariable makes of this program one that does a work, so that what it
// needs is its own, and it can be killed.
const childVariable = "KILLPOINT_BENCH_CHILD"

// work is what a child does: it opens a directory, writes chunks and closes it.
type work struct {
	Dir        string
	Durability durability
	First      int // number of the first chunk
	Chunks     int // that it writes; 0 to open and close only
	Rows       int // a chunk
	Step       int // rows that are timed together; 0 for all
	InFlight   int
	Stay       bool // wait to be killed instead of closing
	Profile    string
}

// done is what a child says about it.
type done struct {
	Opened     float64   // seconds
	OpenMemory int64     // most that was resident until then, in bytes
	Replayed   int       // chunks that the journal held
	Rates      []float64 // rows a second of each step
	Memory     int64     // most that was resident at the end, in bytes
}

// runWork does a work in a process of its own, which is killed when it is done
// if kill is set.
func runWork(ctx context.Context, w work, kill bool) (d done, err error) {
	w.Stay = kill
	text, err := json.Marshal(w)
	if err != nil {
		return d, err
	}
	self, err := os.Executable()
	if err != nil {
		return d, err
	}
	child := exec.CommandContext(ctx, self)
	child.Env = append(os.Environ(), childVariable+"="+string(text))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return d, err
	}
	if err := child.Start(); err != nil {
		return d, err
	}
	answer, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(answer, &d)
	}
	if kill || err != nil {
		_ = child.Process.Kill()
	}
	ended := child.Wait()
	if kill && err == nil {
		return d, nil
	}
	if err := cmp.Or(ended, err); err != nil {
		return d, fmt.Errorf("child with %s: %w", text, err)
	}
	return d, nil
}

// runChild does the work that its parent asks for.
func runChild(ctx context.Context, text string, stdout, stderr io.Writer) int {
	var w work
	err := json.Unmarshal([]byte(text), &w)
	if err == nil {
		err = w.do(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return exitOK
}

func (w work) do(ctx context.Context, stdout io.Writer) (err error) {
	if err := os.Mkdir(w.Dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if w.Profile != "" {
		stop, err := startProfile(w.Profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	var d done
	begin := time.Now()
	s, err := openKillpoint(w.Dir, cell{durability: w.Durability, partitions: growthPartitions}, w.InFlight)
	if err != nil {
		return err
	}
	manager := s.(*killpointStore).manager
	d.Opened, d.Replayed = time.Since(begin).Seconds(), manager.Recovery().Replayed
	if d.OpenMemory, err = peakMemory(); err != nil {
		return err
	}
	if w.Chunks > 0 {
		if d.Rates, err = w.write(ctx, s); err != nil {
			return err
		}
	}
	if d.Memory, err = peakMemory(); err != nil {
		return err
	}
	answer, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if !w.Stay {
		if err := s.close(); err != nil {
			return err
		}
	}
	if _, err := stdout.Write(append(answer, '\n')); err != nil {
		return err
	}
	if w.Stay {
		<-ctx.Done()
	}
	return nil
}

// write commits the chunks and gives the rate of each step.
func (w work) write(ctx context.Context, s store) ([]float64, error) {
	step := cmp.Or(w.Step, w.Chunks*w.Rows) / w.Rows
	d := newData(min(million, w.Chunks*w.Rows), seed)
	var rates []float64
	begin, from := time.Now(), 0
	run := drive{
		store: s, data: d, rows: w.Rows, natural: true, inFlight: w.InFlight,
		first: w.First, limit: w.Chunks,
		done: func(chunks int) {
			if chunks-from >= step || chunks == w.Chunks {
				now := time.Now()
				rates = append(rates, float64((chunks-from)*w.Rows)/now.Sub(begin).Seconds())
				begin, from = now, chunks
			}
		},
	}
	_, err := run.run(ctx)
	return slices.Clip(rates), err
}
