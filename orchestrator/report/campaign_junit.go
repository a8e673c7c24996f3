package report

import (
	"fmt"
	"io"
	"strings"
)

// pointsNamed is how many points the text of one failure names.
const pointsNamed = 20

// WriteCampaignJUnit writes a campaign as JUnit XML: a suite for each file or
// queue, in it a case for each kind of operation. A case for each point would
// be too many for CI systems to show, and their names would change with every
// campaign; these stay. The text of a failure names the points.
func WriteCampaignJUnit(to io.Writer, campaign *Campaign) error {
	all := junitSuites{Name: "killpoint"}
	bySuite, byCase := map[string]int{}, map[string]int{}
	type group struct {
		suite  int
		points []*CrashPoint
	}
	var groups []group
	for index := range campaign.Points {
		point := &campaign.Points[index]
		object := point.Object()
		suite, known := bySuite[object]
		if !known {
			suite = len(all.Suites)
			bySuite[object] = suite
			all.Suites = append(all.Suites, junitSuite{
				Name: campaign.Target + " " + printable(object), Timestamp: campaign.Started.UTC().Format("2006-01-02T15:04:05"),
			})
		}
		name := object + "\n" + caseName(point)
		at, known := byCase[name]
		if !known {
			at = len(groups)
			byCase[name] = at
			groups = append(groups, group{suite: suite})
		}
		groups[at].points = append(groups[at].points, point)
	}
	for _, group := range groups {
		test := campaign.junitCase(group.points)
		suite := &all.Suites[group.suite]
		suite.add(test)
		suite.Cases = append(suite.Cases, test)
		all.add(test)
	}
	if whole := campaign.wholeCase(); whole != nil {
		suite := junitSuite{Name: campaign.Target, Cases: []junitCase{*whole}}
		suite.add(*whole)
		all.Suites = append(all.Suites, suite)
		all.add(*whole)
	}
	return writeXML(to, all)
}

func caseName(point *CrashPoint) string {
	if len(point.After) > 0 {
		return point.Operation + " during recovery"
	}
	return point.Operation
}

func (c *Campaign) junitCase(points []*CrashPoint) junitCase {
	test := junitCase{Name: caseName(points[0]), Class: c.Scenario, File: c.File}
	var totals PointTotals
	var wrong, unsure []string
	for _, point := range points {
		totals.add(point)
		test.Time += seconds3(point.Seconds)
		switch point.Outcome {
		case Failed:
			wrong = append(wrong, point.story())
		case Passed, NotRun:
		default:
			unsure = append(unsure, point.story())
		}
	}
	message := &junitMessage{Message: Style{}.pointCounts(totals)}
	switch {
	case len(wrong) > 0:
		message.Type, message.Text = string(Failed), firstOf(append(wrong, unsure...))
		test.Failure = message
	case len(unsure) > 0:
		message.Type, message.Text = string(Inconclusive), firstOf(unsure)
		if totals.Broken > 0 {
			message.Type = string(Broken)
		}
		test.Error = message
	case totals.NotRun == totals.Points:
		message.Type = string(NotRun)
		test.Skipped = message
	}
	return test
}

// wholeCase tells what belongs to no point, so that a campaign that did not
// pass is never all green.
func (c *Campaign) wholeCase() *junitCase {
	explained := c.Totals.Failed+c.Totals.Inconclusive+c.Totals.Broken > 0 && len(c.Trouble) == 0 && c.Outcome != Interrupted
	if c.Outcome == Passed || explained {
		return nil
	}
	return &junitCase{Name: runCase, Class: c.Scenario, File: c.File, Time: seconds3(0), Error: &junitMessage{
		Type: string(c.Outcome), Message: c.headline(), Text: printable(strings.Join(c.Trouble, "\n")),
	}}
}

// story is a point and what came of it, over a few lines.
func (p *CrashPoint) story() string {
	lines := []string{oneLine(p.Point)}
	if p.Lost != "" {
		lines = append(lines, "lost: "+oneLine(p.Lost))
	}
	for _, finding := range p.Findings {
		lines = append(lines, strings.Join(Style{}.findingLines(finding), "\n    "))
	}
	if p.Reason != "" {
		lines = append(lines, string(p.Outcome)+": "+oneLine(p.Reason))
	}
	if p.Outcome == Failed {
		lines = append(lines, p.attempts())
	}
	if p.Replay != "" {
		lines = append(lines, "replay: "+oneLine(p.Replay))
	}
	return strings.Join(lines, "\n  ")
}

// attempts says whether a finding repeats.
func (p *CrashPoint) attempts() string {
	text := fmt.Sprintf("failed %d of %d", p.Failures, p.Attempts)
	if p.Unconfirmed() {
		text = fmt.Sprintf("unconfirmed (%d of %d)", p.Failures, p.Attempts)
	}
	if p.Confirmed {
		text += ", with a real container kill too"
	}
	return text
}

func firstOf(stories []string) string {
	if more := len(stories) - pointsNamed; more > 0 {
		stories = append(stories[:pointsNamed:pointsNamed], fmt.Sprintf("and %s more", grouped(more)))
	}
	return strings.Join(stories, "\n")
}
