package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// WriteAnnotations writes a workflow command of GitHub Actions for each
// finding, on the line of the scenario that asked for it, and for whatever
// else kept a run from passing, on the scenario's first line. Files are named
// relative to the workspace, as GitHub wants them.
func WriteAnnotations(to io.Writer, document Document, workspace string) {
	for _, result := range document.Scenarios {
		if result.Outcome == Passed || result.Outcome == NotRun || result.Outcome == Interrupted {
			continue
		}
		title := result.Name + " " + outcomeWords(result.Outcome)
		rest := result.Trouble
		for _, check := range result.Checks {
			if result.Outcome == Broken {
				break // the trouble is what a person must look at
			}
			if check.Status == CheckUncomputed {
				rest = append(rest[:len(rest):len(rest)], check.Name+": "+check.Reason)
			}
			for _, finding := range check.Findings {
				file, line := result.File, result.Line
				if finding.Line > 0 {
					file, line = finding.File, finding.Line
				}
				message := check.Name + ": " + strings.Join(Style{}.findingLines(finding), "\n")
				annotate(to, workspace, file, line, finding.Column, title, withReplay(message, result))
			}
		}
		if len(rest) == 0 && !result.explainedByChecks() {
			rest = result.Reasons
		}
		if len(rest) > 0 {
			annotate(to, workspace, result.File, result.Line, 0, title, withReplay(strings.Join(rest, "\n"), result))
		}
	}
}

// AnnotateProblems writes a workflow command for each problem of scenarios
// that cannot be run.
func AnnotateProblems(to io.Writer, problems scenario.Problems, workspace string) {
	for _, problem := range problems {
		text := problem.Text
		if problem.Hint != "" {
			text += "\nhint: " + problem.Hint
		}
		annotate(to, workspace, problem.Position.File, problem.Position.Line, problem.Position.Column, "bad scenario", text)
	}
}

func annotate(to io.Writer, workspace, file string, line, column int, title, message string) {
	place := fmt.Sprintf("file=%s,line=%d", githubProperty(relativeTo(workspace, file)), max(line, 1))
	if column > 0 {
		place += fmt.Sprintf(",col=%d", column)
	}
	fmt.Fprintf(to, "::error %s,title=%s::%s\n", place, githubProperty(title), githubData(printable(message)))
}

func withReplay(message string, result Result) string {
	if result.Replay == "" {
		return message
	}
	return message + "\nreplay: " + result.Replay
}

func firstLines(text string, count int) string {
	lines := strings.Split(text, "\n")
	if len(lines) <= count {
		return text
	}
	return strings.Join(lines[:count], "\n") + fmt.Sprintf("\nand %d more", len(lines)-count)
}

// githubData and githubProperty escape what would end a workflow command or
// one of its properties.
func githubData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func githubProperty(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(text)
}

// relativeTo names a file from the workspace on, and leaves it as it is when
// it lies elsewhere.
func relativeTo(workspace, file string) string {
	absolute, err := filepath.Abs(file)
	if workspace == "" || err != nil {
		return filepath.ToSlash(file)
	}
	relative, err := filepath.Rel(workspace, absolute)
	if err != nil || strings.HasPrefix(relative, "..") {
		return filepath.ToSlash(file)
	}
	return filepath.ToSlash(relative)
}

// WriteStepSummary writes a Markdown table of all runs, and below it what went
// wrong in those that did not pass.
func WriteStepSummary(to io.Writer, document Document) error {
	var text strings.Builder
	took := shortTime(time.Duration(document.Seconds * float64(time.Second)))
	fmt.Fprintf(&text, "### Killpoint: %s in %s\n\n", Style{}.counts(document.Totals), took)
	text.WriteString("| scenario | outcome | time | checks |\n| --- | --- | ---: | --- |\n")
	for _, result := range document.Scenarios {
		fmt.Fprintf(&text, "| %s | %s %s | %.1fs | %s |\n", markdown(result.Name),
			Style{Unicode: true}.mark(result.Outcome), outcomeWords(result.Outcome), result.Seconds, markdown(checkList(result)))
	}
	for _, result := range document.Scenarios {
		if result.Outcome == Passed || result.Outcome == NotRun {
			continue
		}
		// Four backquotes: a log line may hold three.
		fmt.Fprintf(&text, "\n<details><summary>%s</summary>\n\n````text\n%s````\n\n</details>\n",
			markdown(result.Name), strings.ReplaceAll(Style{Unicode: true}.resultBlock(result), "````", "'```"))
	}
	if _, err := io.WriteString(to, text.String()); err != nil {
		return fmt.Errorf("write step summary: %w", err)
	}
	return nil
}

// checkList names the checks that did not pass, or says how many passed.
func checkList(result Result) string {
	var wrong []string
	passed := 0
	for _, check := range result.Checks {
		if !result.proves(check) {
			continue
		}
		switch check.Status {
		case CheckPassed:
			passed++
		case CheckFailed:
			wrong = append(wrong, check.Name+explained(findingTexts(check)))
		case CheckUncomputed:
			wrong = append(wrong, check.Name+explained(check.Reason))
		}
	}
	switch {
	case len(wrong) > 0:
		return strings.Join(wrong, "; ")
	case result.Outcome != Passed:
		return strings.Join(result.Reasons, "; ")
	default:
		return plural(passed, "check") + " passed"
	}
}

func findingTexts(check Check) string {
	var texts []string
	for _, finding := range check.Findings {
		texts = append(texts, finding.Text)
	}
	return strings.Join(texts, "; ")
}

// markdown makes text safe for a table's cell.
func markdown(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "'").Replace(oneLine(text))
}
