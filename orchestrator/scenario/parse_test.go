package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts files into a new folder and gives its path.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestParseFile(t *testing.T) {
	folder := write(t, map[string]string{
		"scenarios/restart.yaml": "system: ../compose/pipeline.yaml\n",
		"scenarios/bad.yaml":     "system: ../compose/pipline.yaml\nexpct: {}\n",
		"scenarios/folder.yaml":  "system: ../compose\n",
		"scenarios/far.yaml":     "system: ../nowhere/pipeline.yaml\n",
		"compose/pipeline.yaml":  "services: {}\n",
	})
	tests := []struct {
		file string
		want []string
	}{
		{"restart.yaml", nil},
		{"bad.yaml", []string{":1:9: system: ", "no such file", `did you mean "pipeline.yaml"?`, `:2:1: unknown key "expct"`, `did you mean "expect"?`}},
		{"folder.yaml", []string{":1:9: system: ", "is a directory", "name the compose file in it"}},
		{"far.yaml", []string{":1:9: system: ", "no such file", "there is no directory "}},
		{"restrat.yaml", []string{"cannot be read: no such file", `did you mean "restart.yaml"?`}},
		{".", []string{"cannot be read: is a directory"}},
	}
	for _, test := range tests {
		scenario, problems := Parse(filepath.Join(folder, "scenarios", test.file))
		if test.want == nil {
			if problems != nil || scenario.Name != "restart" {
				t.Errorf("%s: %v, %+v", test.file, problems, scenario)
			}
			if want := filepath.Join(folder, "compose", "pipeline.yaml"); scenario.SystemFile() != want {
				t.Errorf("system file is %s, want %s", scenario.SystemFile(), want)
			}
			continue
		}
		text := problems.Error()
		for _, want := range test.want {
			at := strings.Index(text, want)
			if at < 0 {
				t.Errorf("%s: %q does not stand (in this order) in:\n%s", test.file, want, problems.Error())
				break
			}
			text = text[at+len(want):]
		}
	}
}

func TestParseLimits(t *testing.T) {
	fault := "  - {kill: a, restart: 1s, when: {log: x}}\n"
	tests := []struct {
		name, text, want string
	}{
		{"largest file", "system: a.yaml\n#" + strings.Repeat("x", fileLimit-20) + "\n", ""},
		{"file too large", "system: a.yaml\n#" + strings.Repeat("x", fileLimit) + "\n", "is larger than 1048576 bytes"},
		{"most faults", "system: a.yaml\nfaults:\n" + strings.Repeat(fault, listLimit), ""},
		{"too many faults", "system: a.yaml\nfaults:\n" + strings.Repeat(fault, listLimit+1), "faults has 1001 entries, at most 1000 are taken"},
		{"many aliases", "system: a.yaml\nexpect:\n  run:\n    - &a {service: a, command: [" + strings.Repeat("x, ", 999) + "]}\n" + strings.Repeat("    - *a\n", 900), "more than 200000 values"},
		{"deep", "system: a.yaml\nfaults: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n", "a fault must be a mapping"},
		{"deeper", "system: " + strings.Repeat("[", 12000) + "\n", "not YAML"},
		{"merge of itself", "system: a.yaml\nexpect: &e {<<: *e}\n", "*e stands inside &e"},
		{"many problems", "system: a.yaml\n" + strings.Repeat("? [a]\n: b\n", 20000), "and 19950 more problems"},
		{"long broken text", "system: a.yaml\n" + strings.Repeat("# line\n", 100000) + "faults: [\n", "not YAML"},
		{"laughs", laughs(), "unknown key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			_, problems := ParseBytes("s.yaml", []byte(test.text))
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			switch {
			case test.want == "" && problems != nil:
				t.Errorf("refused: %v", problems)
			case test.want != "" && !strings.Contains(problems.Error(), test.want):
				t.Errorf("got %.500s, want %q in it", problems.Error(), test.want)
			}
		})
	}
}

// laughs is a text whose anchors repeat each other until there are 10^9.
func laughs() string {
	text := "system: a.yaml\na0: &a0 [x]\n"
	for i := range 9 {
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return text
}

// TestPartialScenario holds that a scenario with problems can be bound, so
// that unknown services are reported together with them.
func TestPartialScenario(t *testing.T) {
	scenario, problems := ParseBytes("s.yaml", []byte("system: a.yaml\nfaults:\n  - {kill: worker-9, restrat: 1s, when: {log: x}}\n"))
	if len(problems) != 1 || scenario == nil {
		t.Fatalf("got %v and %v", problems, scenario)
	}
	more := scenario.Bind(Binding{Services: []string{"worker-2"}})
	if len(more) != 1 || !strings.Contains(more[0].Text, "worker-9") {
		t.Errorf("binding gives %v", more)
	}
}

// TestFactsOfAFile holds that problems of a compose file quote its lines.
func TestFactsOfAFile(t *testing.T) {
	compose := "services: {}\nx-killpoint:\n  broker: {servce: rabbitmq}\n  verdicts: {service: nobody, success: '(x)'}\n"
	folder := write(t, map[string]string{"compose.yaml": compose})
	file := filepath.Join(folder, "compose.yaml")
	facts, problems := ParseFacts(file, factsNode(t, compose))
	want := file + ":3:12: unknown key \"servce\" in broker\n" +
		"  3 |   broker: {servce: rabbitmq}\n" +
		"    |            ^\n" +
		"  hint: did you mean \"service\"?"
	if problems.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", problems, want)
	}
	scenario, _ := ParseBytes("s.yaml", []byte("system: compose.yaml\n"))
	bound := scenario.Bind(Binding{Services: []string{"rabbitmq"}, Facts: facts})
	if len(bound) != 1 || bound[0].Position != (Position{file, 4, 23}) || bound[0].Source == "" {
		t.Errorf("binding gives %+v", bound)
	}
}

func TestFactsThatAreNone(t *testing.T) {
	if facts, problems := ParseFacts("c.yaml", nil); facts != nil || problems != nil {
		t.Errorf("no node gives %v and %v", facts, problems)
	}
	facts, problems := ParseFacts("c.yaml", factsNode(t, "x-killpoint: [a]\n"))
	if facts != nil || len(problems) != 1 {
		t.Errorf("a list gives %v and %v", facts, problems)
	}
}

func TestNoProblemsIsNoError(t *testing.T) {
	_, problems := ParseBytes("s.yaml", []byte("system: a.yaml\n"))
	if problems != nil || problems.Err() != nil {
		t.Errorf("got %#v and %v", problems, problems.Err())
	}
	_, problems = ParseBytes("s.yaml", nil)
	if problems.Err() == nil {
		t.Error("an empty file is no error")
	}
}
