package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/explore"
)

// mergeOptions are the flags of report merge.
type mergeOptions struct {
	files resultFiles
	into  string
}

func (w *world) mergeCommand() *cobra.Command {
	o := &mergeOptions{}
	command := &cobra.Command{
		Use:   "merge FOLDER… --into FOLDER",
		Short: "Join the parts of a campaign into one",
		Long: `Join the folders of a campaign's shards into one, as if it had been run in one
piece, and show what the whole came to. The parts must be of the same scenario,
target, model and seed, and must have recorded the same operations.

It ends with the exit code that explore would have ended with.`,
		Example: `killpoint report merge shard-1 shard-2 shard-3 shard-4 --into campaign
killpoint report merge shard-* --into campaign --html campaign.html`,
		RunE: func(_ *cobra.Command, folders []string) error {
			if err := o.files.check(); err != nil {
				return err
			}
			if len(folders) == 0 || o.into == "" {
				return errors.New("say what to merge, and --into which folder")
			}
			return w.mergeCampaigns(o, folders)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.into, "into", "", "the new `folder` of the whole campaign")
	o.files.register(flags)
	return command
}

func (w *world) mergeCampaigns(o *mergeOptions, folders []string) (err error) {
	if err := o.files.touch(); err != nil {
		return err
	}
	campaign, err := explore.MergeFolders(o.into, folders)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, campaign.Close()) }()
	document, err := campaign.Document(explore.Facts{Killpoint: w.version})
	if err != nil {
		return broken(err)
	}
	document.ExitCode = exitCodeOf(document.Outcome)
	if err := errors.Join(campaign.Save(document), w.renderCampaign(&reportOptions{files: o.files}, document)); err != nil {
		return broken(err)
	}
	fmt.Fprintf(w.stderr, "merged %d folders into %s\n", len(folders), o.into)
	return ended(document.ExitCode)
}
