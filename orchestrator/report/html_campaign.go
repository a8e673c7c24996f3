package report

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// objectsListed is how many files and queues the table of a campaign lists;
// the matrix has all of them.
const objectsListed = 60

// WriteCampaignHTML writes the page of a campaign: the verdict, the matrix of
// its crash points, and their list.
func WriteCampaignHTML(to io.Writer, campaign *Campaign) error {
	matrix := newMatrix(campaign)
	encoded, err := embedJSON(matrix)
	if err != nil {
		return err
	}
	totals := campaign.Totals
	data := struct {
		frame
		Headline, Target, File, Note, Points, Survived, Model, Rate, Took, Seed, Shard, Replay string
		Others                                                                                 [][2]string
		Kinds                                                                                  []htmlKind
		Smallest                                                                               *SmallestCase
		Trouble, Warnings                                                                      []string
		OperationNames                                                                         []string
		ByOperation, ByObject                                                                  []htmlCounts
		MoreObjects                                                                            int
		About                                                                                  [][3]string
		Data                                                                                   template.JS
	}{
		Headline: campaign.headline(), Target: campaign.Target, File: campaign.File, Note: printable(campaign.Note),
		Points: grouped(totals.Points), Survived: grouped(totals.Passed), Model: campaign.Model,
		Rate: grouped(int(campaign.Rate)), Took: shortTime(time.Duration(campaign.Seconds * float64(time.Second))),
		Seed: campaign.Seed, Shard: campaign.Shard, Replay: campaign.Replay, Smallest: campaign.Smallest,
		Kinds: kindsOf(campaign.findings()), Trouble: printed(campaign.Trouble), Warnings: printed(campaign.Warnings),
		OperationNames: matrix.Operations, About: campaign.about(), Data: encoded,
	}
	for _, other := range []struct {
		name  string
		count int
	}{{"failed", totals.Failed}, {"inconclusive", totals.Inconclusive}, {"broken", totals.Broken}, {"diverged", totals.Diverged}, {"not run", totals.NotRun}} {
		if other.count > 0 || other.name == "failed" || other.name == "inconclusive" {
			data.Others = append(data.Others, [2]string{other.name, grouped(other.count)})
		}
	}
	for _, kind := range campaign.Operations {
		data.ByOperation = append(data.ByOperation, newHTMLCounts(kind.Operation, kind.PointTotals))
	}
	data.ByObject, data.MoreObjects = campaign.byObject()
	data.frame = newFrame(data.Headline+" – Killpoint", campaign.Killpoint, campaign.Outcome, campaignScript)
	data.Date, data.From = campaign.Started.UTC().Format("2 January 2006, 15:04 UTC"), "the saved campaign"
	return render(to, "campaign", data)
}

// headline is what a campaign came to, in a sentence.
func (c *Campaign) headline() string {
	totals := c.Totals
	points := func(count int) string {
		return fmt.Sprintf("%s of %s crash points", grouped(count), grouped(totals.Points))
	}
	switch {
	case c.Outcome == Interrupted:
		return fmt.Sprintf("%s: interrupted after %s", c.Target, points(totals.Points-totals.NotRun))
	case totals.Failed > 0:
		return fmt.Sprintf("%s failed at %s", c.Target, points(totals.Failed))
	case c.Outcome == Broken:
		return fmt.Sprintf("%s: the campaign is broken", c.Target)
	case totals.Inconclusive > 0:
		return fmt.Sprintf("%s: %s are inconclusive", c.Target, points(totals.Inconclusive))
	case totals.Passed == 0:
		return fmt.Sprintf("%s: no crash point was run", c.Target)
	case totals.Passed < totals.Points:
		return fmt.Sprintf("%s survived the %s that were run", c.Target, points(totals.Passed))
	default:
		return fmt.Sprintf("%s survived all %s crash points", c.Target, grouped(totals.Points))
	}
}

// findings gives of each point one finding of each kind, so that kinds are
// counted by points.
func (c *Campaign) findings() []Finding {
	var all []Finding
	for index := range c.Points {
		from := len(all)
		for _, finding := range c.Points[index].Findings {
			if !slices.ContainsFunc(all[from:], func(other Finding) bool { return other.Kind == finding.Kind }) {
				all = append(all, finding)
			}
		}
	}
	return all
}

func (c *Campaign) about() (pairs [][3]string) {
	add := func(name, value, kind string) {
		if value != "" {
			pairs = append(pairs, [3]string{name, printable(value), kind})
		}
	}
	add("scenario", c.Scenario+" ("+c.File+")", "")
	add("target", c.Target, "")
	add("started", c.Started.UTC().Format("2006-01-02 15:04:05 UTC"), "")
	add("operations recorded", grouped(c.Recorded), "")
	if c.Chain {
		add("crashes in one run", "a chain: one in each unit of work", "")
	} else {
		add("crashes in one run", fmt.Sprintf("at most %d", max(c.Depth, 1)), "")
	}
	add("replay of all", c.Replay, "code")
	add("engine", c.Engine, "")
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		add("image of "+name, c.Images[name], "code")
	}
	return pairs
}

// htmlCounts is a row of a table of totals.
type htmlCounts struct {
	Name                                         string
	Points, Passed, Failed, Inconclusive, Unseen int // Unseen: of which there is no verdict
}

func newHTMLCounts(name string, totals PointTotals) htmlCounts {
	return htmlCounts{
		Name: printable(name), Points: totals.Points, Passed: totals.Passed, Failed: totals.Failed,
		Inconclusive: totals.Inconclusive + totals.Broken, Unseen: totals.NotRun + totals.Diverged,
	}
}

// byObject counts points by file and queue, the weakest first.
func (c *Campaign) byObject() (rows []htmlCounts, more int) {
	totals := map[string]*PointTotals{}
	var order []string
	for index := range c.Points {
		point := &c.Points[index]
		object := point.Object()
		if totals[object] == nil {
			totals[object] = &PointTotals{}
			order = append(order, object)
		}
		totals[object].add(point)
	}
	slices.SortStableFunc(order, func(a, b string) int {
		return cmp.Or(totals[b].Failed-totals[a].Failed, totals[b].Inconclusive-totals[a].Inconclusive)
	})
	for index, object := range order {
		if index == objectsListed {
			return rows, len(order) - index
		}
		rows = append(rows, newHTMLCounts(object, *totals[object]))
	}
	return rows, 0
}

// matrix is the points of a campaign by column, as the page reads them: a
// hundred thousand of them are a few megabytes. Texts that many points share
// are kept once.
type matrix struct {
	Objects    []string   `json:"objects"`
	Operations []string   `json:"operations"`
	Heads      []string   `json:"heads"`
	Afters     [][]string `json:"afters"`

	Outcomes   string   `json:"outcomes"` // a letter a point, see outcomeLetters
	Timings    string   `json:"timings"`  // b, d, a: before, during, after
	Object     []int    `json:"object"`
	Operation  []int    `json:"operation"`
	Index      []int    `json:"index"`
	Occurrence []int    `json:"occurrence"`
	Life       []int    `json:"life"`
	Kept       []int64  `json:"kept"`
	Size       []int64  `json:"size"`
	Offset     []int64  `json:"offset"`
	Head       []int    `json:"head"`
	Tails      []string `json:"tails"` // the text form is a head and a tail
	After      []int    `json:"after"` // -1 for a first crash

	// What few points have, by the point's number.
	Attempts map[string][3]int      `json:"attempts"`
	Findings map[string][][2]string `json:"findings"`
	Reasons  map[string]string      `json:"reasons"`
	Replays  map[string]string      `json:"replays"`
	Reports  map[string]string      `json:"reports"`
}

// The letters of outcomes, as the page knows them.
const (
	letterPassed       = 'p'
	letterFailed       = 'f'
	letterUnconfirmed  = 'u'
	letterInconclusive = 'i'
	letterBroken       = 'b'
	letterDiverged     = 'd'
	letterNotRun       = 'n'
)

func newMatrix(c *Campaign) matrix {
	count := len(c.Points)
	m := matrix{
		Objects: []string{}, Operations: []string{}, Heads: []string{}, Afters: [][]string{},
		Object: make([]int, count), Operation: make([]int, count), Index: make([]int, count), Occurrence: make([]int, count),
		Life: make([]int, count), Kept: make([]int64, count), Size: make([]int64, count), Offset: make([]int64, count),
		Head: make([]int, count), Tails: make([]string, count), After: make([]int, count),
		Attempts: map[string][3]int{}, Findings: map[string][][2]string{}, Reasons: map[string]string{},
		Replays: map[string]string{}, Reports: map[string]string{},
	}
	outcomes, timings := make([]byte, count), make([]byte, count)
	objects, operations, heads, afters := known{}, known{}, known{}, known{}
	for index := range c.Points {
		point := &c.Points[index]
		outcomes[index], timings[index] = letterOf(point), timingLetter(point.Timing)
		m.Object[index] = objects.number(&m.Objects, printable(point.Object()))
		m.Operation[index] = operations.number(&m.Operations, point.Operation)
		m.Index[index], m.Occurrence[index], m.Life[index], m.Size[index] = point.Index, point.Occurrence, point.Incarnation, point.Size
		m.Kept[index], m.Offset[index], m.After[index] = -1, -1, -1
		if point.Kept != nil {
			m.Kept[index] = *point.Kept
		}
		if point.Offset != nil {
			m.Offset[index] = *point.Offset
		}
		head, tail := cutPoint(point.Point)
		m.Head[index], m.Tails[index] = heads.number(&m.Heads, head), tail
		if len(point.After) > 0 {
			var names []string
			m.After[index] = afters.number(&names, strings.Join(point.After, "\n"))
			if len(names) > 0 {
				m.Afters = append(m.Afters, point.After)
			}
		}
		m.tell(strconv.Itoa(index), point)
	}
	m.Outcomes, m.Timings = string(outcomes), string(timings)
	return m
}

// tell adds what few points have.
func (m *matrix) tell(name string, point *CrashPoint) {
	if point.Outcome == Failed {
		confirmed := 0
		if point.Confirmed {
			confirmed = 1
		}
		m.Attempts[name] = [3]int{point.Failures, point.Attempts, confirmed}
	}
	for _, finding := range point.Findings {
		m.Findings[name] = append(m.Findings[name], [2]string{finding.Kind, printable(finding.Text)})
	}
	for _, text := range []struct {
		to    map[string]string
		value string
	}{{m.Reasons, point.Reason}, {m.Replays, point.Replay}, {m.Reports, point.Report}} {
		if text.value != "" {
			text.to[name] = printable(text.value)
		}
	}
}

// known numbers texts in the order in which they come first.
type known map[string]int

func (k known) number(list *[]string, text string) int {
	number, seen := k[text]
	if !seen {
		number = len(k)
		k[text] = number
		*list = append(*list, text)
	}
	return number
}

// cutPoint parts the text form of a point behind its path or queue, which many
// points share.
func cutPoint(text string) (head, tail string) {
	begin := max(0, strings.LastIndex(text, ":then:"))
	at := begin
	if begin > 0 {
		at += len(":then:")
	}
	for range 3 { // service, operation, path or queue
		next := strings.IndexByte(text[at:], ':')
		if next < 0 {
			return text, ""
		}
		at += next + 1
	}
	return text[:at], text[at:]
}

func letterOf(point *CrashPoint) byte {
	switch {
	case point.Unconfirmed():
		return letterUnconfirmed
	case point.Outcome == Failed:
		return letterFailed
	case point.Outcome == Passed:
		return letterPassed
	case point.Outcome == Broken:
		return letterBroken
	case point.Outcome == NotRun:
		return letterNotRun
	case point.Divergent:
		return letterDiverged
	default:
		return letterInconclusive
	}
}

func timingLetter(timing string) byte {
	switch timing {
	case "during":
		return 'd'
	case "after":
		return 'a'
	default:
		return 'b'
	}
}
