package cli

import (
	"context"
	"fmt"
	"net/url"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/fleet"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// fleetVariable holds the broker's URL for both sides of a fleet.
const fleetVariable = variablePrefix + "FLEET"

// exploreOnFleet has the points of the campaign run by agents. This machine
// has containers only while it records, or confirms what failed.
func (e *exploration) exploreOnFleet(ctx context.Context) error {
	if err := fleet.Check(ctx, e.fleet); err != nil {
		return err
	}
	coordinator := &fleet.Coordinator{
		URL: e.fleet, Version: e.version, Campaign: e.campaign, System: e.loaded.System,
		Way: func() explore.Way { return e.way }, Recorder: recorder{e}, Fingerprint: e.machine.Fingerprint, Note: e.view.Note,
	}
	err := e.exploreOn(ctx, coordinator)
	if e.lasting && (err != nil || ctx.Err() != nil) {
		return err // --resume takes what agents hand in meanwhile
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if failed := coordinator.Close(bounded); failed != nil {
		e.view.Note(fmt.Sprintf("%v (the campaign's queues go by themselves in a week)", failed))
	}
	return err
}

// recorder records on this machine, on lanes that are there no longer than
// that.
type recorder struct{ *exploration }

// Work: see explore.Worker.
func (r recorder) Work(ctx context.Context, items <-chan explore.Item, tell func(explore.Item, explore.Outcome)) error {
	return r.onLanes(ctx, min(r.parallel, r.record), func(lanes explore.Worker) error { return lanes.Work(ctx, items, tell) })
}

// quotedBroker is a broker's URL for a command that is printed. One with a
// user in it is left to the variable.
func quotedBroker(text string) string {
	if parsed, err := url.Parse(text); err != nil || parsed.User != nil {
		return `"$` + fleetVariable + `"`
	}
	return suite.Quoted(text)
}
