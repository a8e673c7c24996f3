package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/doctor"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

func (w *world) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [SCENARIO.yaml | folder | pattern]…",
		Short: "Say what works on this machine, and how to fix what does not",
		Long: `Look at everything that runs need: the Docker Engine and this user's right to
use it, its storage driver, kernel, cgroups and seccomp profile, the interposer,
which is tried in a container, the images of the scenarios and whether they can
be had, and the disk. Without arguments it looks at the scenarios of the folder
scenarios, when there is one.

Exit codes:
  0    everything works; where something is limited, it says so
  2    bad usage or a bad scenario
  3    something does not work`,
		Example: `killpoint doctor
killpoint doctor scenarios/restart.yaml`,
		GroupID:           "tool",
		ValidArgsFunction: completeScenarios,
		RunE: func(command *cobra.Command, arguments []string) error {
			return w.runDoctor(command.Context(), arguments)
		},
	}
}

func (w *world) runDoctor(ctx context.Context, arguments []string) error {
	if info, err := os.Stat(defaultFolder); len(arguments) == 0 && err == nil && info.IsDir() {
		arguments = []string{defaultFolder}
	}
	files, err := suite.Find(arguments)
	if err != nil {
		return err
	}
	scenarios, problems := w.loadScenarios(ctx, files, func(*scenario.Scenario) {})
	if len(problems) > 0 {
		return badScenario(problems)
	}
	style := w.style(w.stdout)
	findings := doctor.Examine(ctx, w.patient(scenarios), func(found doctor.Finding) {
		fmt.Fprint(w.stdout, findingLine(style, found))
	})
	if ctx.Err() != nil {
		return broken(fmt.Errorf("doctor: %w", context.Cause(ctx)))
	}
	fmt.Fprintln(w.stdout, diagnosis(findings))
	if doctor.Failing(findings) {
		return ended(exitBroken)
	}
	return nil
}

// diagnosis is the last line: what it all comes to.
func diagnosis(findings []doctor.Finding) string {
	count := map[doctor.Health]int{}
	for _, found := range findings {
		count[found.Health]++
	}
	switch {
	case count[doctor.Fails] == 1:
		return "one thing does not work"
	case count[doctor.Fails] > 1:
		return fmt.Sprintf("%d things do not work", count[doctor.Fails])
	case count[doctor.Limited] == 1:
		return "everything works; one thing is limited"
	case count[doctor.Limited] > 1:
		return fmt.Sprintf("everything works; %d things are limited", count[doctor.Limited])
	}
	return "everything works"
}

// examination is what the doctor is given; tests give another.
func examination() doctor.Case {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return doctor.Case{
		Connect: func(ctx context.Context) (doctor.Engine, error) {
			connected, err := engine.Connect(ctx)
			if err != nil {
				return nil, err // not the engine, which as a doctor.Engine would not be nil
			}
			return connected, nil
		},
		Probe: func(ctx context.Context, connected doctor.Engine) (run.Probed, error) {
			return run.Probe(ctx, connected.(*engine.Engine))
		},
		Folders: []doctor.Folder{
			{Path: os.TempDir(), Holds: "what runs write while they go on", Variable: "TMPDIR"},
			{Path: cache, Holds: "lock files", Variable: "XDG_CACHE_HOME"},
		},
		Free: freeBytes,
	}
}

func freeBytes(folder string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}

// patient is the machine, with the systems of these scenarios, each once.
func (w *world) patient(scenarios []suite.Loaded) doctor.Case {
	patient := w.examine()
	seen := map[string]bool{}
	for _, one := range scenarios {
		images := imagesOf(one.System)
		if !seen[images] {
			seen[images] = true
			patient.Systems = append(patient.Systems, one.System)
		}
	}
	return patient
}

// imagesOf tells systems apart by what they need: one compose file may need
// other images with other variables.
func imagesOf(sys *system.System) string {
	names := []string{sys.File}
	for _, service := range sys.Services {
		names = append(names, service.Name+" "+service.Image)
	}
	return strings.Join(names, "\n")
}

// findingLine is a finding, and what to do about it below.
func findingLine(style report.Style, found doctor.Finding) string {
	outcome := map[doctor.Health]report.Outcome{
		doctor.Works: report.Passed, doctor.Limited: report.Interrupted, doctor.Fails: report.Failed,
	}[found.Health]
	mark := style.Mark(outcome)
	if !style.Unicode {
		// The letters differ in width; their colour has none.
		letters := report.Style{}.Mark(outcome)
		mark += strings.Repeat(" ", len("FAIL")-len(letters))
	}
	line := fmt.Sprintf("%s %-10s  %s\n", mark, found.Subject, strings.ReplaceAll(found.Text, "\n", "\n    "))
	if found.Fix != "" {
		line += fmt.Sprintf("    fix: %s\n", found.Fix)
	}
	return line
}
