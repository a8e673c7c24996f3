package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/killpoint/killpoint/proof"
)

// The workers that are measured are built from their source, with these
// changes made while they are compiled, as the broken workers of package proof
// are: no switch for it is in what ships.

// profiled writes a CPU profile of a worker's whole life.
func profiled() []proof.Change {
	return []proof.Change{
		{
			File: "workers/main.go",
			Old:  `	os.Exit(cli.Run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))`,
			New: `	var stop func()
	if name := os.Getenv("` + profileVariable + `"); name != "" {
		file, err := os.Create(name)
		if err != nil {
			panic(err)
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			panic(err)
		}
		stop = pprof.StopCPUProfile
	}
	code := cli.Run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	if stop != nil {
		stop()
	}
	os.Exit(code)`,
		},
		{File: "workers/main.go", Old: `	"os"`, New: `	"os"
	"runtime/pprof"`},
	}
}

const profileVariable = "KILLPOINT_BENCH_PROFILE"

// idle takes the work out of the pipeline and leaves the messages: worker-2
// takes them, forwards each, waits for the confirms and acknowledges; worker-3
// takes them and calls them good. Neither looks into them.
func idle() []proof.Change {
	return []proof.Change{
		{
			File: "workers/queue/sorted.go",
			Old:  `c, err := chunk.DecodeInto(*rows, d.ID, d.Client, d.Body)`,
			New:  `c, err := chunk.Chunk{ID: d.ID, Client: d.Client}, error(nil)`,
		},
		{
			File: "workers/worker2/worker2.go",
			Old: `	if err := w.write(ctx, chunks); err != nil {
		return left, err
	}
`,
			New: "",
		},
		{
			File: "workers/worker3/worker3.go",
			Old:  `there, err := w.look(wanted...)`,
			New:  `there, err := make([]bool, len(wanted)), error(nil)`,
		},
		{
			File: "workers/worker3/worker3.go",
			Old:  `if !there[i] {`,
			New:  `if there[i] {`,
		},
	}
}

// buildWorker compiles the workers with some changes.
func buildWorker(ctx context.Context, root, scratch, name string, changes []proof.Change) (binary string, err error) {
	scratch = filepath.Join(scratch, name)
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return "", err
	}
	binary = filepath.Join(scratch, "worker")
	return binary, proof.Variant{Name: name, Changes: changes}.Build(ctx, root, scratch, binary)
}
