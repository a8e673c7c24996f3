package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// testCase is one case of a file in testdata: a title line "=== name", the
// input, a line "----" and what is expected of it.
type testCase struct {
	name  string
	input string
	// marks are the words in brackets behind the name.
	marks string
	want  string
}

// readCases gives the cases of a file.
func readCases(t testing.TB, path string) []testCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	for _, part := range strings.Split("\n"+string(text), "\n=== ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		name, marks, _ := strings.Cut(strings.TrimSuffix(title, ")"), " (")
		input, want, found := strings.Cut(body, "\n----\n")
		if !found && !*update {
			t.Fatalf("%s: case %s has no ---- line", path, name)
		}
		cases = append(cases, testCase{
			name: name, marks: marks, input: unescape(input), want: strings.TrimRight(want, "\n"),
		})
	}
	return cases
}

// unescape lets a case hold what editors would change or hide: <tab>, <cr>,
// <nul>, <bom> and <bad>, a byte that is not UTF-8.
func unescape(text string) string {
	return strings.NewReplacer("<tab>", "\t", "<cr>", "\r", "<nul>", "\x00", "<bom>", "\uFEFF", "<bad>", "\xff").Replace(text)
}

func escape(text string) string {
	return strings.NewReplacer("\t", "<tab>", "\r", "<cr>", "\x00", "<nul>", "\uFEFF", "<bom>", "\xff", "<bad>").Replace(text)
}

// runCases compares what judge says of each case's input with what the file
// expects, and writes the file anew with -update.
func runCases(t *testing.T, path string, judge func(t *testing.T, test testCase) string) {
	t.Helper()
	var renewed strings.Builder
	for _, test := range readCases(t, path) {
		t.Run(test.name, func(t *testing.T) {
			got := strings.TrimRight(judge(t, test), "\n")
			title := test.name
			if test.marks != "" {
				title += " (" + test.marks + ")"
			}
			fmt.Fprintf(&renewed, "=== %s\n%s\n----\n%s\n\n", title, escape(test.input), got)
			if !*update && got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
	if *update {
		if err := os.WriteFile(path, []byte(renewed.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefused holds every message of Parse: the place, the text, the line
// and the hint. Each file is one theme.
func TestRefused(t *testing.T) {
	for _, theme := range []string{"syntax", "keys", "values", "rules", "facts", "points"} {
		t.Run(theme, func(t *testing.T) {
			runCases(t, filepath.Join("testdata", theme+".txt"), func(t *testing.T, test testCase) string {
				_, problems := ParseBytes("s.yaml", []byte(test.input))
				if problems == nil {
					t.Error("accepted, want it refused")
				}
				checkSound(t, []byte(test.input), problems)
				return problems.Error()
			})
		})
	}
}

// checkSound checks what holds for the problems of any text: they stand in
// the file, quote the line that they are in, say something, and are sorted.
func checkSound(t *testing.T, text []byte, problems Problems) {
	t.Helper()
	lines := sourceOf(text)
	for i, problem := range problems {
		at := problem.Position
		if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > len([]rune(lines.line(at.Line)))+1 {
			t.Errorf("%s: the place is not in the file", problem.Error())
		}
		if problem.Source != lines.line(at.Line) {
			t.Errorf("%s: quotes %q", problem.Error(), problem.Source)
		}
		if problem.Text == "" || strings.ContainsAny(problem.Hint, "\n") {
			t.Errorf("%s: text %q, hint %q", at, problem.Text, problem.Hint)
		}
		if i > 0 && (at.Line < problems[i-1].Position.Line || at.Line == problems[i-1].Position.Line && at.Column < problems[i-1].Position.Column) {
			t.Errorf("%s: comes after %s", problem.Error(), problems[i-1].Error())
		}
	}
}

// TestAccepted holds what good scenarios are read as.
func TestAccepted(t *testing.T) {
	runCases(t, filepath.Join("testdata", "accepted.txt"), func(t *testing.T, test testCase) string {
		scenario, problems := ParseBytes("folder/s.yaml", []byte(test.input))
		if problems != nil {
			t.Fatalf("refused:\n%v", problems)
		}
		return dump(t, scenario)
	})
}

// dump gives a scenario as the YAML of its JSON, without the places.
func dump(t *testing.T, scenario *Scenario) string {
	t.Helper()
	var text strings.Builder
	for _, fault := range scenario.Faults {
		fmt.Fprintf(&text, "# %s\n", fault)
	}
	var plain any
	decodeJSON(t, scenario, &plain)
	dropPlaces(plain)
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(plain); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func dropPlaces(value any) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "position")
		delete(value, "positions")
		for _, inner := range value {
			dropPlaces(inner)
		}
	case []any:
		for _, inner := range value {
			dropPlaces(inner)
		}
	}
}

// bindSystem is the system that the cases of bind.txt are bound to.
var bindVariables = map[string]map[string]string{
	"rabbitmq":    {},
	"worker-2":    {"NUM_PARTITIONS": "5", "RABBITMQ_URL": "amqp://rabbitmq", "WORD": "many"},
	"worker-3":    {"RABBITMQ_URL": "amqp://rabbitmq"},
	"test-runner": {"RABBITMQ_URL": "amqp://rabbitmq"},
}

// bindCase parses the parts of a case: a scenario and, below a line
// "-- compose", the value of x-killpoint.
func bindCase(t *testing.T, test testCase) (*Scenario, Binding) {
	t.Helper()
	text, compose, hasFacts := strings.Cut(test.input, "\n-- compose\n")
	scenario, problems := ParseBytes("s.yaml", []byte(text))
	if problems != nil {
		t.Fatalf("refused before it is bound:\n%v", problems)
	}
	binding := Binding{
		Services: []string{"worker-3", "worker-2", "test-runner", "rabbitmq"},
		Variable: func(service, name string) (string, bool) {
			text, given := bindVariables[service][name]
			return text, given
		},
	}
	if hasFacts {
		binding.Facts = factsOf(t, compose)
	}
	return scenario, binding
}

// factsOf parses the value of x-killpoint as it would stand in compose.yaml.
func factsOf(t *testing.T, text string) *Facts {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	facts, problems := ParseFacts("compose.yaml", &node)
	if problems != nil {
		t.Fatalf("facts refused:\n%v", problems)
	}
	return facts
}

// factsNode gives the value of x-killpoint in a compose file.
func factsNode(t *testing.T, compose string) *yaml.Node {
	t.Helper()
	var file struct {
		Facts yaml.Node `yaml:"x-killpoint"`
	}
	if err := yaml.Unmarshal([]byte(compose), &file); err != nil {
		t.Fatal(err)
	}
	return &file.Facts
}

// TestBind holds what binding says, or what the scenario is afterwards; and
// that binding again changes nothing, nor anything of the shared facts.
func TestBind(t *testing.T) {
	runCases(t, filepath.Join("testdata", "bind.txt"), func(t *testing.T, test testCase) string {
		scenario, binding := bindCase(t, test)
		facts := encodeJSON(t, binding.Facts)
		problems := scenario.Bind(binding)
		first := encodeJSON(t, scenario)
		again := scenario.Bind(binding)
		if problems.Error() != again.Error() || first != encodeJSON(t, scenario) {
			t.Errorf("binding again gives\n%v%s\nfirst it was\n%v%s", again, encodeJSON(t, scenario), problems, first)
		}
		if now := encodeJSON(t, binding.Facts); now != facts {
			t.Errorf("binding changed the facts of the system to\n%s\nfrom\n%s", now, facts)
		}
		if problems != nil {
			return problems.Error()
		}
		return dump(t, scenario)
	})
}
