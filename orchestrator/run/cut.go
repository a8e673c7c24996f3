package run

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// collectCrash fetches the files of a crash point while its service is dead:
// the bytes that its next life finds.
func (r *run) collectCrash(ctx context.Context, p *plannedFault) error {
	if !p.holds() || p.target.now().running {
		return nil
	}
	defer r.recorder.Span(history.SpanCollect, "file of the crash point")()
	for _, path := range p.files() {
		if err := r.collectCut(ctx, p, path, history.AtCrash); err != nil {
			return fmt.Errorf("collect %s of %s at the crash: %w", path, p.planned.Service, err)
		}
	}
	return nil
}

// collectRecovered fetches the files of crash points once more when the run
// has ended, those that no check has asked for: what recovery made of them.
func (r *run) collectRecovered(ctx context.Context, planned []*plannedFault) error {
	type place struct{ service, path string }
	known := map[place]bool{}
	for _, file := range r.recorder.History().Files {
		if file.Stage == history.AtEnd {
			known[place{file.Service, file.Path}] = true
		}
	}
	for _, p := range planned {
		for _, path := range p.files() {
			at := place{p.planned.Service, path}
			if known[at] {
				continue
			}
			known[at] = true
			if err := r.collectCut(ctx, p, path, history.Recovered); err != nil {
				return fmt.Errorf("collect %s of %s at the end: %w", path, p.planned.Service, err)
			}
		}
	}
	return nil
}

// files are the names of the file that the program was held at; none where it
// was not held, or not at a file.
func (p *plannedFault) files() []string {
	if !p.holds() {
		return nil
	}
	point := p.target.interposer.met(p.number)
	switch {
	case point == nil || point.Path == "":
		return nil
	case point.Other == "":
		return []string{point.Path}
	}
	return []string{point.Path, point.Other}
}

// errNoContent says that a path is no file that has bytes.
var errNoContent = errors.New("no regular file")

// collectCut fetches one file of a crash point. One that is not there, or is
// a folder, leaves none: that too is what the crash left.
func (r *run) collectCut(ctx context.Context, p *plannedFault, path string, stage history.Stage) error {
	err := p.target.home.copyFrom(ctx, path, func(header *tar.Header, content io.Reader) error {
		if header.Typeflag != tar.TypeReg {
			return errNoContent // before the engine sends all that is in a folder
		}
		_, err := r.recorder.StoreCut(p.number, p.planned.Service, path, stage, content)
		return err
	})
	if errors.Is(err, engine.ErrNoFile) || errors.Is(err, errNoContent) {
		return nil
	}
	return err
}
