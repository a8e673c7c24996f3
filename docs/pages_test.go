package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// pages are all that people read: the README and the pages beside this test.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil || len(found) < 5 {
		t.Fatalf("pages %q, %v", found, err)
	}
	return append(found, "../README.md")
}

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	code    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

// TestLinks holds that every link and every picture leads to a file, and to a heading in it
// where it names one.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text := read(t, page)
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllStringFunc(text, blank), -1) {
			target := found[1]
			if strings.Contains(target, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			path := page
			if file != "" {
				path = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", page, target, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s: there is no such heading, but %q", page, target, anchors(read(t, path)))
			}
		}
	}
}

// blank keeps the brackets of a link's text, whose inside may be code.
func blank(string) string { return "code" }

// anchors is what a page's headings are called in links.
func anchors(text string) []string {
	var names []string
	for _, found := range heading.FindAllStringSubmatch(code.ReplaceAllStringFunc(text, func(block string) string {
		if strings.HasPrefix(block, "```") {
			return ""
		}
		return strings.Trim(block, "`")
	}), -1) {
		name := strings.Map(func(char rune) rune {
			switch {
			case char == ' ':
				return '-'
			case char == '-' || char == '_' || char >= '0' && char <= '9' || char >= 'a' && char <= 'z' || char > 127:
				return char
			}
			return -1
		}, strings.ToLower(found[1]))
		names = append(names, name)
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```")

// TestYAMLOnPages holds that what the pages show as YAML is YAML, and that
// facts, expectations and faults among it are what the language takes. (The
// scenarios of scenarios.md are held by the tests of package scenario.)
func TestYAMLOnPages(t *testing.T) {
	looked := 0
	for _, page := range pages(t) {
		for _, found := range yamlBlock.FindAllStringSubmatch(read(t, page), -1) {
			var document yaml.Node
			if err := yaml.Unmarshal([]byte(found[1]), &document); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, found[1])
				continue
			}
			looked++
			top := document.Content[0]
			if top.Kind != yaml.MappingNode || len(top.Content) != 2 {
				continue
			}
			var problems scenario.Problems
			switch key := top.Content[0].Value; key {
			case "x-killpoint":
				_, problems = scenario.ParseFacts(page, top.Content[1])
			case "expect", "faults":
				_, problems = scenario.ParseBytes(page, []byte("system: compose.yaml\n"+found[1]+"\n"))
			}
			if len(problems) > 0 {
				t.Errorf("%s: %v\n%s", page, problems, found[1])
			}
		}
	}
	if looked < 6 {
		t.Errorf("only %d blocks of YAML were found", looked)
	}
}

var tablePoint = regexp.MustCompile("(?m)^\\| `(\\{[^`]+\\})`")

// TestPointsOfYourProject holds that the crash points that are recommended
// are crash points.
func TestPointsOfYourProject(t *testing.T) {
	points := tablePoint.FindAllStringSubmatch(read(t, "your-project.md"), -1)
	if len(points) < 5 {
		t.Fatalf("%d points were found", len(points))
	}
	for _, point := range points {
		sc, problems := scenario.ParseBytes("page.yaml", []byte("system: compose.yaml\nfaults:\n  - {kill: worker, restart: 1s, when: "+point[1]+"}\n"))
		if len(problems) > 0 || !sc.Faults[0].When.IsCrashPoint() {
			t.Errorf("%s: %v", point[1], problems)
		}
	}
}
