package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/fleet"
	"github.com/killpoint/killpoint/orchestrator/run"
)

// agentOptions are the flags of the agent command.
type agentOptions struct{ parallel int }

func (w *world) agentCommand() *cobra.Command {
	o := &agentOptions{}
	command := &cobra.Command{
		Use:   "agent [amqp://USER:PASSWORD@HOST/VHOST]",
		Short: "Run the crash points of other machines' campaigns on this one",
		Long: `Wait for campaigns (killpoint explore --fleet, with the same broker), and run
their crash points on the engine of this machine, one campaign after the other,
until Ctrl-C. All that a campaign needs comes with it, except images: those that
the compose file says how to build are built, others are pulled, or named.

The broker's URL is the argument, or the variable KILLPOINT_FLEET, where other
users of this machine do not see the password.

An agent runs what the broker's messages tell it to run: who may publish to that
virtual host can run any container on this engine.

Exit codes:
  2    bad usage
  3    broken: the engine gives trouble, or the broker refuses the user
  130  interrupted; what it held is run by another agent`,
		Example: `killpoint agent amqp://fleet:secret@broker.example:5672/fleet
KILLPOINT_FLEET=amqp://fleet:secret@broker.example:5672/fleet killpoint agent --parallel 4`,
		GroupID:           "scenarios",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, arguments []string) error {
			return w.runAgent(command.Context(), o, arguments)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.parallel, "parallel", 0, "run this `number` of points side by side; one for each core when left out, at most 8")
	return command
}

func (w *world) runAgent(ctx context.Context, o *agentOptions, arguments []string) (err error) {
	url := w.getenv(fleetVariable)
	if len(arguments) > 0 {
		url = arguments[0]
	}
	switch {
	case len(arguments) > 1:
		return errors.New("an agent works for one broker")
	case url == "":
		return fmt.Errorf("say where the broker is: an amqp:// URL, or the variable %s", fleetVariable)
	case o.parallel < 0:
		return fmt.Errorf("--parallel %d: must be 0 or more", o.parallel)
	}
	if _, err := broker.ParseURL(url); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return broken(fmt.Errorf("ask the name of this host: %w", err))
	}
	running, err := os.MkdirTemp("", "killpoint-running-")
	if err != nil {
		return broken(fmt.Errorf("create folder for histories: %w", err))
	}
	defer os.RemoveAll(running)
	opened, err := w.machines(ctx, run.Options{Version: w.version, Dir: running})
	if err != nil {
		return broken(err)
	}
	for _, thing := range opened.Swept() {
		w.say("removed " + thing + ", which an earlier killpoint had left")
	}
	agent := &fleet.Agent{
		URL: url, Name: fmt.Sprintf("%s-%d", host, os.Getpid()), Version: w.version, Engine: opened,
		Lanes: cmp.Or(o.parallel, min(runtime.NumCPU(), lanesLimit)), Judge: w.judge, Note: w.say,
	}
	err = agent.Run(ctx)
	if errors.Is(err, ctx.Err()) {
		err = nil // as it was asked to
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err = errors.Join(err, opened.Close(bounded)); err != nil {
		return broken(err)
	}
	return ended(exitInterrupted)
}

// say tells a person of something, a line at a time.
func (w *world) say(text string) { fmt.Fprintln(w.stderr, "agent: "+text) }
