package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/report"
)

// reportOptions are the flags of the report command.
type reportOptions struct {
	files resultFiles
	quiet bool
}

func (w *world) reportCommand() *cobra.Command {
	o := &reportOptions{}
	command := &cobra.Command{
		Use:   "report FOLDER…",
		Short: "Render saved runs and campaigns again",
		Long: `Render again what --report has saved: a folder of one run, a folder that holds
several, or a campaign, by its folder or its JSON file. Runs are judged again
from their histories alone; no Docker is needed.

It ends with 0 when everything was rendered, whatever the runs came to.`,
		Example: `killpoint report reports
killpoint report reports/restart --html restart.html
killpoint report reports --json - --quiet > result.json`,
		GroupID: "scenarios",
		RunE: func(_ *cobra.Command, places []string) error {
			if err := o.files.check(); err != nil {
				return err
			}
			if len(places) == 0 {
				return errors.New("say what to render: a folder that --report has written")
			}
			return w.renderAgain(o, places)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	o.files.register(flags)
	flags.BoolVar(&o.quiet, "quiet", false, "no details of runs that passed")
	command.AddCommand(w.mergeCommand())
	return command
}

// renderAgain renders what was saved in the places: runs, or one campaign.
func (w *world) renderAgain(o *reportOptions, places []string) error {
	var runs []report.Saved
	var took time.Duration
	var campaigns []*report.Campaign
	for _, place := range places {
		if report.HoldsCampaign(place) {
			campaign, err := report.LoadCampaign(place)
			if err != nil {
				return err
			}
			campaigns = append(campaigns, campaign)
			continue
		}
		found, err := report.LoadAll(place)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("report %s: nothing that was saved is in it (killpoint run --report %s saves runs there)", place, place)
		}
		runs = append(runs, found...)
		took += report.Span(found)
	}
	switch {
	case len(campaigns) == 0:
		return w.renderRuns(o, runs, took)
	case len(campaigns) == 1 && len(runs) == 0:
		return w.renderCampaign(o, campaigns[0])
	default:
		return errors.New("report: give one campaign at a time, and no runs beside it")
	}
}

func (w *world) renderRuns(o *reportOptions, saved []report.Saved, took time.Duration) error {
	options := report.ConsoleOptions{
		Stdout: w.stdout, Out: w.style(w.stdout), Stderr: w.stderr, Err: w.style(w.stderr),
		Quiet: o.quiet, Total: len(saved), Now: w.now, Width: func() int { return w.width(w.stderr) },
	}
	if o.files.haveStdout() {
		options.Stdout, options.Out = options.Stderr, options.Err
	}
	console := report.NewConsole(options)
	defer console.Close()
	kept := newPages(o.files.html != "")
	var results []report.Result
	var codes []int
	taken := map[string]bool{}
	for _, one := range saved {
		result := one.Judged(w.judge)
		// Folders of several commands may hold runs of one name.
		plain := result.Name
		for number := 2; taken[result.Name]; number++ {
			result.Name = fmt.Sprintf("%s.%d", plain, number)
		}
		taken[result.Name] = true
		results, codes = append(results, result), append(codes, exitCodeOf(result.Outcome))
		kept.keep(result.Name, one.Scenario, one.History)
		console.End(result)
	}
	document := report.NewDocument(saved[0].History.Meta.Killpoint, saved[0].History.Meta.Started, took, results)
	document.ExitCode = worst(codes...)
	console.Closing(document)
	if err := w.writeFiles(o.files, kept.renderings(document)); err != nil {
		return broken(err)
	}
	return nil
}

func (w *world) renderCampaign(o *reportOptions, campaign *report.Campaign) error {
	to := w.stdout
	if o.files.haveStdout() {
		to = w.stderr
	}
	forms := renderings{
		json:  func(to io.Writer) error { return report.WriteCampaignJSON(to, campaign) },
		junit: func(to io.Writer) error { return report.WriteCampaignJUnit(to, campaign) },
		html:  func(to io.Writer) error { return report.WriteCampaignHTML(to, campaign) },
	}
	if err := errors.Join(w.style(to).WriteCampaign(to, campaign), w.writeFiles(o.files, forms)); err != nil {
		return broken(err)
	}
	return nil
}
