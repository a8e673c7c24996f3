package cli

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

var seed = flag.Uint64("seed", 1, "the seed of the mutants")

// The package of scenarios holds its own parser to mutants. Here they go the
// whole way that a person's do: from a file through the command validate and
// the compose file to an exit code and what is printed.

// project is a copy of the repository's scenarios and compose files, to be
// spoilt.
func project(t *testing.T) *terminalUser {
	t.Helper()
	u := newUser(t)
	u.world.load = system.Load
	root := filepath.Join(packageFolder, "..", "..")
	for _, pattern := range []string{"scenarios/**/*", "compose/*.yaml", "compose/rabbitmq/*.conf", "Dockerfile.worker"} {
		files, err := doublestar.Glob(os.DirFS(root), pattern, doublestar.WithFilesOnly())
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			u.write(file, string(text))
		}
	}
	os.Remove("compose/.env") // images of this machine
	return u
}

// compose says whether a file is a compose file by its name.
func compose(file string) bool {
	return strings.HasPrefix(filepath.Base(file), "compose") || filepath.Base(filepath.Dir(file)) == "compose"
}

// yamlFiles gives the scenarios of the copy, or its compose files.
func yamlFiles(t *testing.T, composeFiles bool) []string {
	t.Helper()
	files, err := doublestar.FilepathGlob("{scenarios,compose}/**/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return compose(file) != composeFiles })
	slices.Sort(files)
	return files
}

// spoilt is a YAML text with one thing changed, and whether it can be right.
type spoilt struct {
	text, how string
	wrong     bool // whatever it is, it must be refused
}

// mark is in every key that spoiling makes up.
const mark = "qqq"

// spoil changes one place, chosen at random.
func spoil(random *rand.Rand, text string) (spoilt, bool) {
	if random.IntN(4) == 0 {
		return spoilText(random, text), true
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return spoilt{}, false
	}
	var keys []keyPlace
	collectKeys(&document, nil, &keys)
	at := keys[random.IntN(len(keys))]
	made := spoilKey(random, at)
	encoded, err := yaml.Marshal(&document)
	if err != nil {
		return spoilt{}, false
	}
	made.how += " at " + strings.Join(at.path, ".")
	made.text = string(encoded)
	return made, true
}

// keyPlace is one key of one mapping; path ends in it.
type keyPlace struct {
	mapping *yaml.Node
	index   int
	path    []string
}

func collectKeys(node *yaml.Node, path []string, keys *[]keyPlace) {
	for i, inner := range node.Content {
		switch {
		case node.Kind != yaml.MappingNode:
			collectKeys(inner, path, keys)
		case i%2 == 0:
			here := append(slices.Clone(path), inner.Value)
			*keys = append(*keys, keyPlace{node, i, here})
			collectKeys(node.Content[i+1], here, keys)
		}
	}
}

// chosen says whether the key is a name that people choose, by the mapping
// that it is in.
func (k keyPlace) chosen() bool {
	if len(k.path) == 1 {
		return strings.HasPrefix(k.path[0], "x-")
	}
	switch k.path[len(k.path)-2] {
	case "env", "exits", "environment", "args", "labels", "services", "volumes", "networks", "depends_on", "build":
		return true
	}
	return strings.HasPrefix(k.path[0], "x-") && k.path[0] != "x-killpoint" // anything may stand there
}

func spoilKey(random *rand.Rand, at keyPlace) spoilt {
	key, value := at.mapping.Content[at.index], at.mapping.Content[at.index+1]
	switch random.IntN(5) {
	case 0:
		at.mapping.Content = slices.Delete(at.mapping.Content, at.index, at.index+2)
		return spoilt{how: "deleted"}
	case 1:
		made := spoilt{how: "renamed", wrong: !at.chosen() && key.Value != "<<"}
		key.Value, key.Tag = mark+key.Value, "!!str"
		return made
	case 2:
		again, same := *key, *value
		at.mapping.Content = append(at.mapping.Content, &again, &same)
		return spoilt{how: "doubled", wrong: key.Value != "<<"}
	case 3:
		*value = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Tag: "!!str", Value: mark}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: "x"},
		}}
		return spoilt{how: "a mapping of something unknown"}
	default:
		values := []yaml.Node{
			{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, {Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle},
			{Kind: yaml.ScalarNode, Tag: "!!int", Value: "-1"}, {Kind: yaml.ScalarNode, Tag: "!!float", Value: ".nan"},
			{Kind: yaml.ScalarNode, Tag: "!!str", Value: "(["}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: "${"},
			{Kind: yaml.SequenceNode, Tag: "!!seq"}, {Kind: yaml.MappingNode, Tag: "!!map"},
		}
		*value = values[random.IntN(len(values))]
		return spoilt{how: fmt.Sprintf("%q (%s)", value.Value, value.Tag)}
	}
}

// spoilText changes a line's indentation or one of its characters, or cuts
// the text off.
func spoilText(random *rand.Rand, text string) spoilt {
	lines := strings.SplitAfter(text, "\n")
	number := random.IntN(len(lines))
	line := lines[number]
	at := random.IntN(len(line) + 1)
	switch random.IntN(5) {
	case 0:
		lines[number] = " " + line
	case 1:
		lines[number] = "\t" + line
	case 2:
		lines[number] = line[:at] + string("{}[]:,-'\"#&*!|>%@`\x00\xff"[random.IntN(20)]) + line[at:]
	case 3:
		lines[number] = line[:at]
	default:
		lines = append(lines[:number], line[:at])
	}
	return spoilt{how: fmt.Sprintf("line %d changed", number+1), text: strings.Join(lines, "")}
}

// validated runs validate on a file and checks what holds whatever it says:
// it ends with 0 and says that the file is valid, or it ends with 2, and each
// problem names a file and gives a reason, most also a line that is quoted.
func validated(t *testing.T, u *terminalUser, file, how string) bool {
	t.Helper()
	out, err := len(u.out.String()), len(u.err.String())
	code := u.types("validate", file)
	stdout, stderr := u.out.String()[out:], u.err.String()[err:]
	switch {
	case code == exitPassed:
		if stdout != file+" is valid\n" {
			t.Errorf("%s, %s: accepted, and stdout says %q", file, how, stdout)
		}
		return true
	case code != exitUsage || stdout != "":
		t.Errorf("%s, %s: exit code %d, stdout %q\n%s", file, how, code, stdout, stderr)
	}
	checkProblems(t, file, how, stderr)
	return false
}

// place is how a problem begins: file, then line and column where it has them.
var place = regexp.MustCompile(`^([^\s:]+\.(?:yaml|yml|env)):(?:(\d+):(\d+):)? (.+)$`)

func checkProblems(t *testing.T, file, how, stderr string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	first := place.FindStringSubmatch(lines[0])
	if first == nil {
		t.Errorf("%s, %s: it begins without a place: %q", file, how, stderr)
		return
	}
	for number, line := range lines {
		found := place.FindStringSubmatch(line)
		if found == nil || found[2] == "" {
			continue
		}
		text, err := os.ReadFile(found[1])
		if err != nil {
			t.Errorf("%s, %s: it names a file that is not there: %s", file, how, line)
			continue
		}
		at, _ := strconv.Atoi(found[2])
		// What the file holds there is shown, as far as it can be printed.
		written := strings.Split(string(text), "\n")
		if at < 1 || at > len(written) {
			t.Errorf("%s, %s: there is no such line: %s", file, how, line)
		} else if strings.TrimSpace(written[at-1]) != "" && number+1 < len(lines) && !strings.HasPrefix(lines[number+1], "  "+found[2]+" | ") {
			t.Errorf("%s, %s: the line is not shown: %q", file, how, lines[number:min(number+3, len(lines))])
		}
	}
	if strings.Contains(stderr, "panic") || strings.Contains(stderr, "goroutine ") {
		t.Errorf("%s, %s: %s", file, how, stderr)
	}
}

// TestValidateMutatedScenarios spoils every scenario of the repository. A
// mutant is refused with a place and a reason, or it is right, which is judged
// by others than the parser: the published schema, a walk over its keys, and
// the services of its compose file.
func TestValidateMutatedScenarios(t *testing.T) {
	u := project(t)
	random := rand.New(rand.NewPCG(*seed, 6))
	schema := scenarioSchema(t)
	accepted, refused := 0, 0
	files := yamlFiles(t, false)
	for range max(1, 230/len(files)) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			made, possible := spoil(random, string(text))
			if !possible {
				continue
			}
			mutant := filepath.Join(filepath.Dir(file), "mutant.yaml")
			u.write(mutant, made.text)
			how := filepath.Base(file) + " " + made.how
			if !validated(t, u, mutant, how) {
				refused++
				continue
			}
			accepted++
			if made.wrong {
				t.Errorf("%s: accepted\n%s", how, made.text)
			}
			checkAccepted(t, schema, mutant, how)
		}
	}
	t.Logf("seed %d: %d accepted, %d refused", *seed, accepted, refused)
	if accepted+refused < 200 || accepted < 20 || refused < 100 {
		t.Errorf("%d accepted and %d refused: too few to say anything", accepted, refused)
	}
}

func scenarioSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(scenario.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile("schema.json")
}

// checkAccepted judges a scenario that was accepted by other means than the
// command did.
func checkAccepted(t *testing.T, schema *jsonschema.Schema, file, how string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		t.Errorf("%s: accepted, and it is no YAML: %v", how, err)
		return
	}
	if err := schema.Validate(plain); err != nil {
		t.Errorf("%s: accepted, but not by the schema: %v\n%s", how, err, text)
	}
	sc, _ := scenario.Parse(file)
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for _, path := range keyPaths(document.Content[0], "") {
		if _, read := sc.Positions[path]; !read {
			t.Errorf("%s: accepted, but %s was not read\n%s", how, path, text)
		}
	}
	services := servicesOf(t, sc.SystemFile())
	for _, fault := range sc.Faults {
		if !slices.Contains(services, fault.Service) {
			t.Errorf("%s: accepted, but %s is no service of %s", how, fault.Service, sc.SystemFile())
		}
	}
}

// keyPaths gives each key of a document as scenario.Positions names it.
func keyPaths(node *yaml.Node, path string) []string {
	var paths []string
	switch node.Kind {
	case yaml.AliasNode:
		return keyPaths(node.Alias, path)
	case yaml.SequenceNode:
		for i, item := range node.Content {
			paths = append(paths, keyPaths(item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Value == "<<" {
				continue
			}
			inner := strings.TrimPrefix(path+"."+node.Content[i].Value, ".")
			paths = append(append(paths, inner), keyPaths(node.Content[i+1], inner)...)
		}
	}
	return paths
}

// servicesOf reads a compose file's services with nothing but YAML.
func servicesOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Services map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range document.Services {
		names = append(names, name)
	}
	return names
}

// TestValidateMutatedComposeFiles spoils the compose files: a key that nobody
// knows is never passed over, in x-killpoint or in a service.
func TestValidateMutatedComposeFiles(t *testing.T) {
	u := project(t)
	random := rand.New(rand.NewPCG(*seed, 7))
	accepted, refused := 0, 0
	scenarios := map[string]string{}
	for _, file := range yamlFiles(t, false) {
		if sc, problems := scenario.Parse(file); len(problems) == 0 {
			scenarios[sc.SystemFile()] = file
		}
	}
	files := yamlFiles(t, true)
	for range max(1, 100/len(files)) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			made, possible := spoil(random, string(text))
			if !possible {
				continue
			}
			u.write(file, made.text)
			how := file + " " + made.how
			if validated(t, u, scenarios[file], how) {
				accepted++
				if made.wrong {
					t.Errorf("%s: accepted\n%s", how, made.text)
				}
			} else {
				refused++
			}
			u.write(file, string(text))
		}
	}
	t.Logf("seed %d: %d accepted, %d refused", *seed, accepted, refused)
	if accepted < 5 || refused < 50 {
		t.Errorf("%d accepted and %d refused: too few to say anything", accepted, refused)
	}
}
