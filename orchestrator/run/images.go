package run

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// images sees to it that each image is there once, however many runs want it.
type images struct {
	engine *engine.Engine
	build  bool

	mu    sync.Mutex
	known map[string]*imageOnce
}

type imageOnce struct {
	mu    sync.Mutex
	image *engine.Image
}

func newImages(e *engine.Engine, build bool) *images {
	return &images{engine: e, build: build, known: map[string]*imageOnce{}}
}

// ensure gives the service's image: the one that is there, else one built as
// the compose file says, else one pulled; pull_policy changes that as it does
// in Compose. An image that is only built is named after its project.
func (i *images) ensure(ctx context.Context, project string, service system.Service, recorder *history.Recorder) (engine.Image, error) {
	if service.Image == "" {
		service.Image = fileName(project) + "-" + fileName(service.Name)
	}
	i.mu.Lock()
	once := i.known[service.Image]
	if once == nil {
		once = &imageOnce{}
		i.known[service.Image] = once
	}
	i.mu.Unlock()

	once.mu.Lock()
	defer once.mu.Unlock()
	if once.image != nil {
		return *once.image, nil
	}
	defer recorder.Span(history.SpanImages, service.Image)()
	image, err := i.make(ctx, service, recorder)
	if err != nil {
		return engine.Image{}, fmt.Errorf("image %s of %s: %w", service.Image, service.Name, err)
	}
	once.image = &image
	return image, nil
}

func (i *images) make(ctx context.Context, service system.Service, recorder *history.Recorder) (engine.Image, error) {
	policy := service.PullPolicy
	if policy != "always" && policy != "build" && !(i.build && service.Build != nil) {
		image, err := i.engine.Image(ctx, service.Image)
		if err == nil || !errors.Is(err, engine.ErrNoImage) {
			return image, err
		}
	}
	switch {
	case service.Build != nil && policy != "always":
		recorder.Add(history.Event{Kind: history.Phase, Text: "building " + service.Image})
		if _, err := i.engine.Build(ctx, engine.BuildSpec{Build: *service.Build, Tag: service.Image}, nil); err != nil {
			return engine.Image{}, err
		}
	case policy == "never":
		return engine.Image{}, errors.New("it is not on this engine, and pull_policy says never")
	default:
		recorder.Add(history.Event{Kind: history.Phase, Text: "pulling " + service.Image})
		if err := i.engine.Pull(ctx, service.Image, service.Platform, nil); err != nil {
			return engine.Image{}, fmt.Errorf("it is not on this engine and cannot be pulled: %w (build it first, or name one that is there; the example's are built by make images)", err)
		}
	}
	return i.engine.Image(ctx, service.Image)
}
