// Command bench measures what exactly-once appends cost: this library beside
// what people would use in its place, the pipeline beside the same pipeline
// that neither writes nor checks, and a writer that already holds much beside
// a new one.
//
// It is a module of its own, so that the databases that it compares with are
// no dependencies of anybody who uses the library.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if work := os.Getenv(childVariable); work != "" {
		os.Exit(runChild(ctx, work, os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0 // measured; targets that were missed are printed, and change nothing here
	exitFailed = 1 // could not measure, or a contender lost or doubled a row
	exitUsage  = 2
)

// options are the command line.
type options struct {
	parts    []string
	quick    bool
	dir      string // below which everything is written
	profiles string // directory; empty for none
	plot     string // file; empty for none
	cells    *regexp.Regexp
	rounds   int
	time     time.Duration // of one measurement of the table
	inFlight int           // chunks
}

// The parts, in their order.
const (
	partTable    = "table"
	partPipeline = "pipeline"
	partGrowth   = "growth"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	if err := measure(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	parts := flags.String("parts", "table,pipeline,growth", "what to measure; the pipeline needs Docker and the broker's image")
	cells := flags.String("cells", "", "regular `expression`: measure only these cells of the table, such as 'power natural 16 rows 5 partitions'")
	flags.BoolVar(&o.quick, "quick", false, "one short round of everything, to see that it works")
	flags.StringVar(&o.dir, "dir", "", "`directory` for the data, on the disk that is to be measured (the system's for temporary files)")
	flags.StringVar(&o.profiles, "cpuprofile", "", "write CPU profiles into this `directory`; those of the table are labelled with contender and cell")
	flags.StringVar(&o.plot, "plot", "", "draw the growth into this SVG `file`")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each is measured, by turns; medians count")
	flags.DurationVar(&o.time, "time", 250*time.Millisecond, "how long each measurement of the table lasts")
	flags.IntVar(&o.inFlight, "in-flight", 128, "chunks that are on their way at once; worker-2's prefetch is the default")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; see -help", flags.Arg(0))
	}
	if o.rounds < 1 || o.time <= 0 || o.inFlight < 1 {
		return o, errors.New("-rounds, -time and -in-flight must be positive")
	}
	for _, part := range strings.Split(*parts, ",") {
		switch part {
		case partTable, partPipeline, partGrowth:
			o.parts = append(o.parts, part)
		default:
			return o, fmt.Errorf("-parts: %q is none of %s, %s and %s", part, partTable, partPipeline, partGrowth)
		}
	}
	var err error
	if o.cells, err = regexp.Compile(*cells); err != nil {
		return o, fmt.Errorf("-cells: %w", err)
	}
	if o.quick {
		o.rounds, o.time = 1, min(o.time, 50*time.Millisecond)
	}
	return o, nil
}

// measure does all parts in a directory of its own.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "killpoint-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	disk, err := describeDisk(dir)
	if err != nil {
		return err
	}
	if o.profiles != "" {
		if o.profiles, err = filepath.Abs(o.profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%s, %s/%s, %d CPUs, data on %s; medians of %d rounds; load before %.1f\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), disk, o.rounds, load())
	if load() > float64(runtime.NumCPU())/2 {
		fmt.Fprintln(stdout, "The machine is busy with something else: these figures say little.")
	}
	b := bench{options: o, dir: dir, out: stdout, progress: func(format string, args ...any) {
		fmt.Fprintf(stderr, "bench: "+format+"\n", args...)
	}}
	for _, part := range o.parts {
		begin := time.Now()
		switch part {
		case partTable:
			err = b.table(ctx)
		case partPipeline:
			err = b.pipeline(ctx)
		case partGrowth:
			err = b.growth(ctx)
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", part, err)
		}
		b.progress("%s took %v", part, time.Since(begin).Round(time.Second))
	}
	return nil
}

// bench is what all parts share.
type bench struct {
	options
	dir      string
	out      io.Writer
	progress func(format string, args ...any)
}
