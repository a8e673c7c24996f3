package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// What a child process is told: a scenario to run, on which host it is, what
// image to use and whether to keep the containers.
const (
	childScenario = "KPR_SCENARIO"
	childHost     = "KPR_HOST"
	childImage    = "KPR_IMAGE"
	childKeep     = "KPR_KEEP"
)

// beChild is an orchestrator in a process of its own, to be killed. It says
// its run's id when its containers are up, and again when the run has ended.
func beChild() (err error) {
	ctx := context.Background()
	sc, sys, err := load(os.Getenv(childScenario), os.Getenv(childImage))
	if err != nil {
		return err
	}
	e, err := engine.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	dir, err := os.MkdirTemp("", "kpr-child-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o, err := New(ctx, Options{Engine: e, Dir: dir, Keep: os.Getenv(childKeep) != "", OnEvent: func(_ string, event history.Event) {
		if event.Kind == history.Phase && event.Text == "running" {
			fmt.Println("up")
		}
	}})
	if err != nil {
		return err
	}
	h := o.Run(ctx, sc, sys)
	fmt.Println("ended", h.Meta.RunID)
	return o.Close(ctx)
}
