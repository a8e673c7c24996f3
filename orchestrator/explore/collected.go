package explore

import (
	"path"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Collected gives globs of the files, as one service sees them, from which the
// checks of a scenario are computed: those that a read of which is a crash
// point, whoever writes them.
func Collected(sc *scenario.Scenario, sys *system.System, service string) []string {
	var globs []string
	add := func(of, glob string) {
		if seen, sees := seenFrom(sys, of, service, glob); sees {
			globs = append(globs, seen)
		}
	}
	if facts := sc.Facts; facts != nil && facts.Rows != nil {
		add(facts.Rows.Output.Service, facts.Rows.Output.Files)
		add(facts.Rows.Sent.Service, facts.Rows.Sent.File)
	}
	for _, stable := range sc.Expect.Stable {
		add(stable.Service, stable.Files)
	}
	return globs
}

// seenFrom is how another service sees a path or glob: where both mount the
// same volume or folder, below its own mount.
func seenFrom(sys *system.System, of, service, glob string) (seen string, sees bool) {
	if of == service {
		return glob, true
	}
	theirs := mountsOf(sys, of)
	ours := mountsOf(sys, service)
	mounted := system.Mount{}
	for _, mount := range theirs {
		if isBelow(glob, mount.Target) && len(mount.Target) > len(mounted.Target) {
			mounted = mount
		}
	}
	if mounted.Target == "" || mounted.Kind == system.MountTmpfs {
		return "", false
	}
	for _, mount := range ours {
		if mount.Kind == mounted.Kind && mount.Source == mounted.Source {
			return path.Join(mount.Target, strings.TrimPrefix(glob, path.Clean(mounted.Target))), true
		}
	}
	return "", false
}

func isBelow(file, folder string) bool {
	return strings.HasPrefix(file, path.Clean(folder)+"/")
}

func mountsOf(sys *system.System, service string) []system.Mount {
	for i := range sys.Services {
		if sys.Services[i].Name == service {
			return sys.Services[i].Mounts
		}
	}
	return nil
}
