package system

import (
	"maps"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// overrideEnvironment gives the scenario's variables to every service whose
// environment has them, also where the compose file writes their values out.
func (l *load) overrideEnvironment() {
	l.noteEnvFileLookups()
	for name, value := range l.scenario.Env {
		for _, service := range l.project.Services {
			if _, has := service.Environment[name]; has {
				service.Environment[name] = &value
				l.used[name] = true
			}
		}
	}
}

// refuseUnused reports the scenario's variables that have no effect at all.
func (l *load) refuseUnused() {
	for _, name := range slices.Sorted(maps.Keys(l.scenario.Env)) {
		if l.used[name] || name == profilesVariable {
			continue
		}
		l.problems = append(l.problems, inScenario(l.scenario, "env."+name,
			"check its name, or add it to a service's environment in the compose file",
			"%s neither uses the variable %s nor sets it in the environment of an enabled service", l.written.file, name))
	}
}

// noteEnvFileLookups finds the variables that env files interpolate; the
// loader reads those files without asking through the templates' lookup.
func (l *load) noteEnvFileLookups() {
	for _, service := range l.project.Services {
		for _, file := range service.EnvFiles {
			text, err := os.ReadFile(file.Path)
			if err != nil {
				continue // the loader has accepted that it is not there
			}
			for name := range template.ExtractVariables(map[string]any{"text": string(text)}, template.DefaultPattern) {
				l.used[name] = true
			}
		}
	}
}

// environment drops the variables without a value: Compose gives those to a
// container only when they are set outside.
func environment(from types.MappingWithEquals) map[string]string {
	all := map[string]string{}
	for name, value := range from {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}
