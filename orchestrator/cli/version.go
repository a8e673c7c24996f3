package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (w *world) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "killpoint version",
		GroupID: "tool",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(w.stdout, "killpoint %s %s/%s\n", w.version, runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// buildVersion is what the Go toolchain stamped into the binary: the module's
// version, which it makes from the git tag and commit, so that no build flag
// has to carry it. Without git at build time it is the commit or nothing.
func buildVersion(info *debug.BuildInfo, known bool) string {
	if !known {
		return "unknown"
	}
	if version := info.Main.Version; version != "" && version != "(devel)" {
		return version
	}
	revision, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = "+dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision[:min(12, len(revision))] + modified
}
