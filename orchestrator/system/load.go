package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Load makes the scenario's compose file into a system and binds the scenario
// to it. The file is found relative to the scenario's. Variables come from the
// scenario's env, then from environ (NAME=value, as os.Environ gives them),
// then from the .env file beside the compose file. Profiles are the scenario's
// or, where it names none, those of COMPOSE_PROFILES.
//
// It gives every problem that it finds, of the compose file and of the
// scenario's use of it; the system is nil when there is one.
func Load(ctx context.Context, sc *scenario.Scenario, environ []string) (*System, scenario.Problems) {
	shown := sc.System
	if !filepath.IsAbs(shown) {
		shown = filepath.Join(filepath.Dir(sc.File), shown)
	}
	path, err := filepath.Abs(shown)
	if err != nil {
		return nil, scenario.Problems{inScenario(sc, "system", "", "find compose file: %v", err)}
	}
	written, err := readDocument(path, shown)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, scenario.Problems{inScenario(sc, "system", "system is a path relative to the scenario file", "there is no compose file %s", shown)}
	}
	if err != nil && written == nil {
		return nil, scenario.Problems{inScenario(sc, "system", "", "read compose file: %v", err)}
	}
	if err != nil {
		return nil, scenario.Problems{written.explain(path, err)}
	}
	l := &load{ctx: ctx, scenario: sc, written: written, path: path, used: map[string]bool{}}
	l.readVariables(environ)
	return l.load()
}

// load is one compose file being loaded.
type load struct {
	ctx      context.Context
	scenario *scenario.Scenario
	written  *document
	path     string // of the compose file, absolute

	variables types.Mapping
	used      map[string]bool // variables that the file interpolates
	project   *types.Project
	system    *System
	problems  scenario.Problems
}

// inScenario is a problem with the place of a key of the scenario.
func inScenario(sc *scenario.Scenario, key, hint, format string, arguments ...any) scenario.Problem {
	position, ok := sc.Positions[key]
	if !ok {
		position = scenario.Position{File: sc.File}
	}
	problem := scenario.Problem{Position: position, Text: fmt.Sprintf(format, arguments...), Hint: hint}
	if lines, err := readDocument(sc.File, sc.File); lines != nil && position.Line > 0 && position.Line <= len(lines.lines) {
		_ = err // a scenario that is no YAML has been refused long before
		problem.Source = lines.lines[position.Line-1]
	}
	return problem
}

// show is how messages name a file: as the compose file is named.
func (l *load) show(path string) string {
	relative, err := filepath.Rel(filepath.Dir(l.path), path)
	if err != nil || !filepath.IsLocal(relative) {
		return path
	}
	return filepath.Join(filepath.Dir(l.written.file), relative)
}

// add records a problem at a path of the compose file.
func (l *load) add(path []string, hint, format string, arguments ...any) {
	l.problems = append(l.problems, l.written.problem(path, hint, format, arguments...))
}

func (l *load) load() (*System, scenario.Problems) {
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	project, unsupported, warnings, err := l.read()
	if err != nil {
		problem := l.written.explain(l.path, err)
		problem.Hint = l.profileHint(err)
		return nil, scenario.Problems{problem}
	}
	l.project = project
	l.refuse(unsupported)
	l.system = &System{
		File: l.written.file, Dir: filepath.Dir(l.path), Name: project.Name, Warnings: warnings,
	}
	l.overrideEnvironment()
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		l.system.Services = append(l.system.Services, l.service(project.Services[name]))
	}
	l.shared()
	l.refuseUnused()
	if len(l.system.Services) == 0 {
		l.add([]string{"services"}, "enable one with profiles: […] in the scenario", "no service is enabled")
	}
	l.bind()
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return l.system, nil
}

// readVariables puts together what the compose file may interpolate.
func (l *load) readVariables(environ []string) {
	outer := types.NewMapping(environ)
	beside := filepath.Join(filepath.Dir(l.path), ".env")
	l.variables = types.Mapping{}
	if info, err := os.Stat(beside); err == nil && !info.IsDir() {
		fromFile, err := dotenv.GetEnvFromFile(l.scenarioOver(outer), []string{beside})
		if err != nil {
			shown := filepath.Join(filepath.Dir(l.written.file), ".env")
			l.problems = append(l.problems, scenario.Problem{Position: scenario.Position{File: shown}, Text: err.Error()})
		}
		maps.Copy(l.variables, fromFile)
	}
	maps.Copy(l.variables, l.scenarioOver(outer))
}

func (l *load) scenarioOver(outer map[string]string) map[string]string {
	all := maps.Clone(outer)
	maps.Copy(all, l.scenario.Env)
	return all
}

// profilesVariable is where Compose looks for profiles to enable.
const profilesVariable = "COMPOSE_PROFILES"

func (l *load) profiles() []string {
	if l.scenario.Profiles != nil {
		return l.scenario.Profiles
	}
	return strings.FieldsFunc(l.variables[profilesVariable], func(r rune) bool { return r == ',' || r == ' ' })
}

// read has the loader read the file, and keeps account of which variables it
// looks up and which keys it meets that are not accepted.
func (l *load) read() (project *types.Project, unsupported []loader.UnsupportedAttribute, warnings []string, err error) {
	details := types.ConfigDetails{
		WorkingDir:  filepath.Dir(l.path),
		ConfigFiles: []types.ConfigFile{{Filename: l.path}},
		Environment: l.variables.Clone(),
	}
	warnings = captureWarnings(func() {
		project, err = loader.LoadWithContext(l.ctx, details, func(options *loader.Options) {
			options.SetProjectName(projectName(l.path), false)
			options.Profiles = l.profiles()
			l.recordLookups(options.Interpolate)
		}, loader.WithSupportedAttributes(acceptedPaths(), func(found []loader.UnsupportedAttribute) { unsupported = found }))
	})
	return project, unsupported, warnings, err
}

// projectName is what Compose calls a project whose file names none.
func projectName(path string) string {
	if name := loader.NormalizeProjectName(filepath.Base(filepath.Dir(path))); name != "" {
		return name
	}
	return "system"
}

// recordLookups notes every variable that a template asks for, wherever the
// loader takes its value from: included files have variables of their own.
func (l *load) recordLookups(options *interpolation.Options) {
	substitute := options.Substitute
	options.Substitute = func(text string, mapping template.Mapping) (string, error) {
		return substitute(text, func(name string) (string, bool) {
			l.used[name] = true
			return mapping(name)
		})
	}
}

// captureMutex guards the loader's logger, which is one for the process.
var captureMutex sync.Mutex

// captureWarnings gives what the loader logs instead of printing it: what
// goes to the standard streams is decided by the command line alone.
func captureWarnings(load func()) []string {
	captureMutex.Lock()
	defer captureMutex.Unlock()
	logger, capture := logrus.StandardLogger(), &warningHook{}
	output := logger.Out
	hooks := logger.ReplaceHooks(logrus.LevelHooks{})
	logger.SetOutput(io.Discard)
	defer func() {
		logger.SetOutput(output)
		logger.ReplaceHooks(hooks)
	}()
	logger.AddHook(capture)
	load()
	return capture.warnings
}

type warningHook struct{ warnings []string }

func (*warningHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *warningHook) Fire(entry *logrus.Entry) error {
	if entry.Level <= logrus.WarnLevel && !slices.Contains(h.warnings, entry.Message) &&
		!strings.Contains(entry.Message, "attribute `version` is obsolete") {
		h.warnings = append(h.warnings, entry.Message)
	}
	return nil
}

// refuse reports the keys that are not accepted, of enabled services only.
func (l *load) refuse(found []loader.UnsupportedAttribute) {
	for _, attribute := range found {
		keys := attribute.Path.Parts()
		if len(keys) > 1 && keys[0] == "services" {
			if _, enabled := l.project.Services[keys[1]]; !enabled {
				continue
			}
		}
		general := slices.Clone(keys)
		if len(general) > 1 {
			general[1] = "*"
		}
		// Below a service's keys, names that people choose stand for themselves.
		decided, ok := ruleFor(strings.Join(general, "."))
		if !ok || decided.decision != refused {
			decided, ok = ruleForChosen(general)
		}
		hint := "killpoint does not know this key"
		if ok && decided.decision == refused {
			hint = decided.reason
		}
		l.add(keys, hint, "%s is not supported", describeKey(keys))
	}
}

// ruleForChosen tries the path with its fourth part as a chosen name, as in
// services.a.networks.b.mac_address.
func ruleForChosen(keys []string) (rule, bool) {
	if len(keys) < 4 {
		return rule{}, false
	}
	general := slices.Clone(keys)
	general[3] = "*"
	return ruleFor(strings.Join(general, "."))
}

// describeKey says which key of what: "devices of service web".
func describeKey(keys []string) string {
	kind := map[string]string{"services": "service", "networks": "network", "volumes": "volume", "configs": "config", "secrets": "secret"}
	if len(keys) < 3 || kind[keys[0]] == "" {
		return strings.Join(keys, ".")
	}
	return fmt.Sprintf("%s of %s %s", strings.ReplaceAll(strings.Join(keys[2:], "."), ".[]", "[]"), kind[keys[0]], keys[1])
}

// profileHint says which profile would enable a service that the error names.
func (l *load) profileHint(err error) string {
	for _, name := range quoted(err.Error()) {
		_, node, depth := l.written.find("services", name, "profiles")
		if depth == 3 && len(node.Content) > 0 {
			return fmt.Sprintf("service %s has the profile %s: add profiles: [%s] to the scenario", name, node.Content[0].Value, node.Content[0].Value)
		}
	}
	return ""
}

func quoted(text string) []string {
	var names []string
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 {
			names = append(names, part)
		}
	}
	return names
}

// bind reads the file's x-killpoint and binds the scenario to the system.
func (l *load) bind() {
	if _, node, depth := l.written.find("x-killpoint"); depth == 1 {
		facts, problems := scenario.ParseFacts(l.written.file, node)
		l.problems = append(l.problems, problems...)
		l.system.Facts = facts
	}
	problems := l.scenario.Bind(scenario.Binding{
		Services: l.system.ServiceNames(),
		Facts:    l.system.Facts,
		Variable: func(service, name string) (string, bool) {
			found, ok := l.system.Service(service)
			if !ok {
				return "", false
			}
			value, ok := found.Environment[name]
			return value, ok
		},
	})
	for i := range problems {
		if hint := l.profileHint(problems[i]); hint != "" {
			problems[i].Hint = hint
		}
	}
	l.problems = append(l.problems, problems...)
}
