// Package doctor looks at what runs need of a machine and its engine, and
// says what works, what does not, and how to put it right. It changes
// nothing: the one container that it starts, it removes.
//
// What it finds is values; how they are shown is left to its caller.
package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Health is how it stands with one thing.
type Health int

// The states of health, from the best on.
const (
	Works   Health = iota
	Limited        // runs work; something is slower, or must be known
	Fails          // runs do not work, or a part of them does not
)

// Finding is what was found out about one thing.
type Finding struct {
	Subject string
	Health  Health
	Text    string
	Fix     string // what to do about it; empty when nothing needs to be done
}

// Failing says whether anything does not work.
func Failing(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Health == Fails })
}

// Engine is what is asked of the engine: *engine.Engine, or a fake in tests.
type Engine interface {
	Info() engine.Info
	Host() string
	Image(ctx context.Context, reference string) (engine.Image, error)
	InRegistry(ctx context.Context, reference string) error
}

// Case is what is looked at.
type Case struct {
	// Connect finds the engine.
	Connect func(context.Context) (Engine, error)
	// Probe tries the interposer in a container.
	Probe func(context.Context, Engine) (run.Probed, error)
	// Systems are those whose images must be there or be had.
	Systems []*system.System
	// Folders are the ones on this machine that runs write to, each with what
	// it holds. Engine's own is added when it is on this machine.
	Folders []Folder
	// Free gives the bytes that are free where a folder is.
	Free func(folder string) (int64, error)
}

// Folder is one that runs write to.
type Folder struct {
	Path, Holds string
	Variable    string // the one by which another can be named
}

// Examine looks at everything, tells each finding as it comes, and gives all
// of them. Without an engine it looks at what does not need one.
func Examine(ctx context.Context, c Case, tell func(Finding)) []Finding {
	var findings []Finding
	add := func(found ...Finding) {
		for _, finding := range found {
			findings = append(findings, finding)
			tell(finding)
		}
	}
	connected, err := c.Connect(ctx)
	add(connection(connected, err))
	if err == nil {
		info := connected.Info()
		add(storage(info), kernel(info), cgroups(info), security(info))
		add(c.interposer(ctx, connected)...)
		add(c.images(ctx, connected)...)
	}
	add(c.folders(connected)...)
	return findings
}

// gigabytes is an amount as people read it.
func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }
