package report

import (
	"strings"
	"testing"
	"time"
)

func TestResultBlocks(t *testing.T) {
	d := document()
	for name, style := range map[string]Style{
		"results.txt":        {Unicode: true},
		"results-ascii.txt":  {},
		"results-colour.txt": {Unicode: true, Colour: true, Width: 80},
	} {
		var text strings.Builder
		for _, result := range d.Scenarios {
			text.WriteString(style.resultBlock(result))
		}
		text.WriteString(style.closing(d))
		golden(t, name, text.String())
	}
}

func TestColourIsNeverAlone(t *testing.T) {
	d := document()
	coloured, plain := Style{Unicode: true, Colour: true}, Style{Unicode: true}
	for _, result := range d.Scenarios {
		if got, want := withoutColour(coloured.resultBlock(result)), plain.resultBlock(result); got != want {
			t.Errorf("without its colours the result is %q, want %q", got, want)
		}
	}
}

func withoutColour(text string) string {
	for _, code := range []string{red, green, yellow, bold, faint, "0"} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	return text
}

func TestAsciiStyleIsAscii(t *testing.T) {
	d := document()
	for _, result := range d.Scenarios {
		for _, char := range (Style{}).resultBlock(result) {
			if char > 127 {
				t.Errorf("%q in the result of %s", char, result.Name)
			}
		}
	}
}

func TestLongFindingsAreCut(t *testing.T) {
	finding := Finding{Kind: "lost", Text: "many", Count: 400}
	for range 50 {
		finding.Rows = append(finding.Rows, Row{Text: "1,x"})
	}
	lines := Style{}.findingLines(finding)
	if len(lines) != rowsShown+2 || lines[len(lines)-1] != "and 392 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestClosingLine(t *testing.T) {
	results := make([]Result, 12)
	for index := range results {
		results[index] = Result{Outcome: Passed, Replay: "killpoint run good.yaml"}
	}
	results[3] = Result{Outcome: Failed, Replay: "killpoint run bad.yaml"}
	results[4] = Result{Outcome: Failed, Replay: "killpoint run bad.yaml"} // repeated: shown once
	got := Style{}.closing(NewDocument("v", time.Now(), 41200*millisecond, results))
	if want := "12 scenarios, 10 passed, 2 failed in 41s\n  killpoint run bad.yaml\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShortTime(t *testing.T) {
	for took, want := range map[time.Duration]string{
		0: "0.0s", 7449 * millisecond: "7.4s", 9949 * millisecond: "9.9s", 9950 * millisecond: "10s",
		41200 * millisecond: "41s", 59499 * millisecond: "59s", 59500 * millisecond: "1m00s", 125 * time.Second: "2m05s", time.Hour: "60m00s",
	} {
		if got := shortTime(took); got != want {
			t.Errorf("%v is %q, want %q", took, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain ✓ text\n\tnext": "plain ✓ text\n\tnext",
		"\x1b]0;title\x07":     `\x1b]0;title\x07`,
		"\x9b31m\xff":          `\x9b31m\xff`,
		"\u009b31m":            `\x9b31m`,
		"a\rb":                 `a\x0db`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
}

func TestStyleFor(t *testing.T) {
	environment := func(entries ...string) func(string) string {
		return func(name string) string {
			for _, entry := range entries {
				if value, found := strings.CutPrefix(entry, name+"="); found {
					return value
				}
			}
			return ""
		}
	}
	for _, test := range []struct {
		name  string
		width int
		env   []string
		want  Style
	}{
		{"terminal", 80, []string{"LANG=de_DE.UTF-8"}, Style{Colour: true, Unicode: true, Width: 80}},
		{"no terminal", 0, []string{"LANG=C.utf8"}, Style{Unicode: true}},
		{"NO_COLOR", 80, []string{"LANG=C.UTF-8", "NO_COLOR=1"}, Style{Unicode: true, Width: 80}},
		{"dumb", 80, []string{"TERM=dumb"}, Style{}},
		{"LC_ALL wins", 80, []string{"LC_ALL=C", "LANG=C.UTF-8"}, Style{Colour: true, Width: 80}},
	} {
		if got := StyleFor(test.width, environment(test.env...)); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}
