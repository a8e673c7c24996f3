package run

import (
	"context"
	"fmt"
	"os"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// What a child process is told: a scenario to run, on which host it is, what
// image to use, where to write and whether to keep the containers.
const (
	childScenario = "KPR_SCENARIO"
	childHost     = "KPR_HOST"
	childImage    = "KPR_IMAGE"
	childDir      = "KPR_DIR"
	childKeep     = "KPR_KEEP"
)

// beChild is an orchestrator in a process of its own, to be killed. It says
// by what name its things are labelled, and when its containers are up.
func beChild() error {
	ctx := context.Background()
	sc, sys, err := load(os.Getenv(childScenario), os.Getenv(childImage), os.Environ()...)
	if err != nil {
		return err
	}
	e, err := engine.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	o, err := New(ctx, Options{Engine: e, Dir: os.Getenv(childDir), Keep: os.Getenv(childKeep) != "", OnEvent: func(_ string, event history.Event) {
		if event.Kind == history.Phase && event.Text == "running" {
			fmt.Println("up")
		}
	}})
	if err != nil {
		return err
	}
	fmt.Println("owner", o.owner.name)
	o.Run(ctx, sc, sys)
	return o.Close(ctx)
}
