package proof_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/proof"
)

var (
	explored = flag.Bool("explored", false, "explore every variant")
	whole    = flag.Bool("whole", false, "explore every variant to its end, and count the points at which it fails")
)

// exploration is what came of exploring one variant.
type exploration struct {
	variant proof.Variant
	model   string
	found   bool
	by      string // what found it: the number of points, the run without any, or a scenario
	share   string // failing points of all, where all were run
	took    time.Duration
	finding string
	trouble string // why it proves nothing
}

// Every variant is found by an exploration that knows nothing of it, and the
// correct worker survives three hundred points of each model, and more with a
// second crash in recoveries. What no crash shows is found by its scenario.
func TestExplorationsFindEveryVariant(t *testing.T) {
	if !*explored {
		t.Skip("takes some minutes; make proof runs it")
	}
	began := time.Now()
	b := newBench(t)
	all := variants(t)
	correct := proof.Correct()
	b.build(t, append(slices.Clone(all), correct))
	var pending []*exploration
	for _, model := range []string{proof.ProcessCrash, proof.PowerLoss} {
		pending = append(pending, &exploration{variant: correct, model: model})
	}
	slices.SortStableFunc(all, func(a, b proof.Variant) int { // the longest first
		return cmp.Or(cmp.Compare(b.Depth, a.Depth), cmp.Compare(chunksOf(b), chunksOf(a)))
	})
	for _, variant := range all {
		pending = append(pending, &exploration{variant: variant, model: variant.Model})
	}
	queue := make(chan *exploration, len(pending))
	for _, one := range pending {
		queue <- one
	}
	close(queue)
	t.Run("lanes", func(t *testing.T) { // ends when all have
		for range flag.Lookup("test.parallel").Value.(flag.Getter).Get().(int) {
			t.Run("lane", func(t *testing.T) {
				t.Parallel()
				for one := range queue {
					t.Run(one.variant.Name+" "+one.model, func(t *testing.T) { b.judge(t, one) })
				}
			})
		}
	})
	found := 0
	for _, one := range pending {
		if one.variant.Name != correct.Name && one.found {
			found++
		}
	}
	printTable(pending)
	fmt.Printf("%d of %d variants found in %s\n", found, len(all), time.Since(began).Round(time.Second))
}

// judge explores one variant, and says whether what came of it is right.
func (b *bench) judge(t *testing.T, one *exploration) {
	start := time.Now()
	b.explore(t, one)
	one.took = time.Since(start)
	switch isCorrect := one.variant.Name == proof.Correct().Name; {
	case one.trouble != "":
		t.Errorf("it proves nothing: %s", one.trouble)
	case isCorrect && one.found:
		t.Errorf("the correct worker fails: %s", one.finding)
	case !isCorrect && !one.found:
		t.Errorf("it survived: %s", one.variant.Mistake)
	}
}

func chunksOf(v proof.Variant) int {
	number, _ := strconv.Atoi(v.Env["NUM_CHUNKS"])
	return number
}

func printTable(all []*exploration) {
	slices.SortStableFunc(all, func(a, b *exploration) int { return strings.Compare(a.variant.Name, b.variant.Name) })
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "variant\tmodel\tfound\tby\tfailing\ttime\tfinding")
	for _, one := range all {
		found := "no"
		if one.found {
			found = "yes"
		}
		if one.trouble != "" {
			found = "?"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.0f s\t%s\n", one.variant.Name, one.model, found, one.by, one.share, one.took.Seconds(), one.finding)
	}
	table.Flush()
}

// explore explores one variant with the command that people use. All of them
// are run in this process, so that they share a broker.
func (b *bench) explore(t *testing.T, one *exploration) {
	image := "WORKER_2_IMAGE=" + b.images[one.variant.Name]
	if one.variant.Unexplored != "" {
		b.byScenario(t, one, image)
		return
	}
	folder := filepath.Join(t.TempDir(), "campaign")
	arguments := []string{
		"explore", exploring, "--target", one.variant.Service, "--model", one.model, "--env", image,
		"--depth", strconv.Itoa(max(one.variant.Depth, 1)), "--parallel", "1", "--confirm", "1", "--as-found", "--quiet", "--report", folder,
	}
	switch {
	case *whole:
	case one.variant.Name == proof.Correct().Name:
		arguments = append(arguments, "--max", "300", "--pairs", "40")
	case one.variant.Depth > 1: // a sample of first crashes leaves time for second ones
		arguments = append(arguments, "--max", "100", "--fail-fast")
	default:
		arguments = append(arguments, "--fail-fast")
	}
	for _, name := range slices.Sorted(maps.Keys(one.variant.Env)) {
		arguments = append(arguments, "--env", name+"="+one.variant.Env[name])
	}
	var text bytes.Buffer
	code := b.session.Run(t.Context(), &text, &text, arguments...)
	output := text.String()
	if _, undisturbed, fails := strings.Cut(output, undisturbedFails); fails && code == 1 {
		one.found, one.by, one.finding = true, "no crash needed", firstLine(undisturbed)
		return
	}
	campaign, err := report.LoadCampaign(folder)
	if err != nil {
		one.trouble = fmt.Sprintf("exit code %d, %v: …%s", code, err, output[max(0, len(output)-500):])
		return
	}
	one.take(campaign, code)
}

// undisturbedFails is what killpoint says of a system that fails by itself.
const undisturbedFails = "the undisturbed run does not pass\n"

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// take is what a campaign came to.
func (one *exploration) take(campaign *report.Campaign, code int) {
	totals := campaign.Totals
	ran := totals.Points - totals.NotRun
	one.by = fmt.Sprintf("%d points", ran)
	if totals.NotRun == 0 {
		one.share = fmt.Sprintf("%d of %d (%.1f %%)", totals.Failed, totals.Points, 100*float64(totals.Failed)/float64(max(totals.Points, 1)))
	}
	for _, point := range campaign.Points {
		if point.Outcome != report.Failed || len(point.Findings) == 0 || one.found && !point.Confirmed {
			continue
		}
		one.found = true
		one.finding = fmt.Sprintf("%s: %s", point.Point, firstLine(point.Findings[0].Kind+": "+point.Findings[0].Text))
		if !point.Confirmed {
			one.finding += fmt.Sprintf(" (unconfirmed, %d of %d)", point.Failures, point.Attempts)
		}
		if point.Confirmed {
			break
		}
	}
	wantCode := 0
	if one.found {
		wantCode = 1
	}
	if code != wantCode {
		one.trouble = fmt.Sprintf("exit code %d, %d inconclusive, %d broken: %v", code, totals.Inconclusive, totals.Broken, campaign.Trouble)
	}
}

// byScenario runs the scenario that finds what no crash shows.
func (b *bench) byScenario(t *testing.T, one *exploration, image string) {
	code, document, output := run(t, one.variant.Scenario, "--env", image)
	if code > 1 {
		one.trouble = fmt.Sprintf("exit code %d: …%s", code, output[max(0, len(output)-500):])
		return
	}
	one.found, one.by = code == 1, one.variant.Scenario
	for _, result := range document.Scenarios {
		for _, check := range result.Checks {
			for _, finding := range check.Findings {
				if one.finding == "" {
					one.finding = firstLine(finding.Kind + ": " + finding.Text)
				}
			}
		}
	}
}
