package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// hostile is text that a container might log to do something to who reads the
// report.
const hostile = `</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">`

// runPage is the page of a run that failed at a crash point.
func runPage(t *testing.T, verdict check.Verdict, change func(*history.History)) string {
	t.Helper()
	sc, h := tornScenario(), tornHistory(t)
	if change != nil {
		change(h)
	}
	result := NewResult(sc, h, verdict)
	page, err := NewPage(sc, h)
	if err != nil {
		t.Fatal(err)
	}
	document := NewDocument("v0.1.0", h.Meta.Started, end(h), []Result{result})
	return written(t, func(to *os.File) error { return WriteHTML(to, document, map[string]Page{result.Name: page}) })
}

func withHostileText(h *history.History) {
	h.Meta.Replay = "killpoint run '" + hostile + "'"
	for _, text := range []string{hostile, "\x1b[2J clear\u2028line"} {
		h.Events = append(h.Events, history.Event{At: end(h), Kind: history.Log, Service: "worker-2", Incarnation: 2, Stream: "stderr", Text: text})
	}
	h.Events = append(h.Events, history.Event{At: end(h), Kind: history.Warning, Text: hostile})
	for index := 0; index < 6; index++ {
		point := &history.Point{Operation: "write", Call: "pwrite64", Path: tornFile, Occurrence: index + 1, Size: 19, Offset: int64(20 + 19*index)}
		for at, event := range h.Events {
			if event.Kind == history.PointReached && event.Fault == 1 {
				operation := history.Event{At: event.At, Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: point}
				h.Events = append(h.Events[:at:at], append([]history.Event{operation}, h.Events[at:]...)...)
				break
			}
		}
	}
}

// A page shows, without any script, everything that matters: who sees it in a
// mail or on a CI system that strips scripts still knows what happened.
func TestRunPageWithoutScript(t *testing.T) {
	text, err := os.ReadFile(runPage(t, failedVerdict(), withHostileText))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		`torn <span class="failed">failed</span>`, "2 rows of acknowledged chunks are in no file", "18,Grace",
		"TEST-users-partition-003.csv:17", "scenarios/restart.yaml:14:7",
		"was held after 11 bytes of write 7 of " + tornFile, "worker-2:write:/app/worker-data/partitions/%2A.csv:7:&#43;11",
		"31 bytes, cut at byte 31", `32 31<b class="cut">│</b>0a`, "write 6", "✕ held after 11 bytes",
		"process-crash", "Docker Engine 20.10.24", "sha256:abc", "broker boot", "v0.1.0",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if strings.Contains(page, "<script>window.hacked") || strings.Contains(page, "<img") {
		t.Error("what a container logs is markup on the page")
	}
	for _, address := range []string{"http:", "https:", "src=\"", "@import", "url("} {
		if rest := strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""); strings.Contains(strings.ReplaceAll(rest, hostile, ""), address) {
			t.Errorf("the page asks for something: %s", address)
		}
	}
}

func TestRunPageInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.open(runPage(t, failedVerdict(), withHostileText), 1200, 900, false)
	if got := eval[string](b, `document.querySelector('h1').innerText`); got != "torn failed" {
		t.Errorf("the verdict is %q", got)
	}
	if eval[bool](b, `'hacked' in window`) || eval[int](b, `performance.getEntriesByType('resource').length`) != 0 {
		t.Error("the page ran what a container had logged, or asked for something")
	}
	if got := eval[int](b, `document.querySelector('canvas').height`); got < 200 {
		t.Errorf("the timeline is %d high", got)
	}
	if !eval[bool](b, `(() => { const c = document.querySelector('canvas'); return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v) })()`) {
		t.Error("nothing is drawn on the timeline")
	}

	// The filters.
	all := eval[string](b, `document.querySelector('.filters .count').innerText`)
	filter := func(script string) string {
		eval[bool](b, script+`; true`)
		b.drawn()
		return eval[string](b, `document.querySelector('.filters .count').innerText + ': ' + document.querySelector('.list').innerText`)
	}
	got := filter(`(i => { i.value = 'SUCCESS [C2]'; i.dispatchEvent(new Event('input')) })(document.querySelector('input[type=search]'))`)
	if !strings.HasPrefix(got, "2 of ") || strings.Count(got, "SUCCESS [c2]") != 2 {
		t.Errorf("filtered by text there is %q", got)
	}
	got = filter(`(i => { i.value = 'nothing like it'; i.dispatchEvent(new Event('input')) })(document.querySelector('input[type=search]'))`)
	if !strings.Contains(got, "No event matches") {
		t.Errorf("filtered by what is nowhere there is %q", got)
	}
	got = filter(`(i => { i.value = ''; i.dispatchEvent(new Event('input')) })(document.querySelector('input[type=search]'));
		for (const i of document.querySelectorAll('.filters input[type=checkbox]')) if (i.value !== 'f' && i.checked) i.click()`)
	if !strings.Contains(got, "fault 1 fired") || strings.Contains(got, "SUCCESS") || strings.HasPrefix(got, all) {
		t.Errorf("of the faults there is %q", got)
	}

	// By keyboard, on the timeline and in the list.
	eval[bool](b, `document.querySelector('.plot').focus() ?? true`)
	chosen := func() string { return eval[string](b, `document.querySelector('.selected').innerText`) }
	b.press(kb.ArrowRight)
	first := chosen()
	b.press(kb.ArrowRight)
	if second := chosen(); !strings.Contains(first, " s") || second == first {
		t.Errorf("the right key goes from %q to %q", first, second)
	}
	b.press(kb.ArrowDown) // down: the first service
	if got := chosen(); got != "Events of rabbitmq." {
		t.Errorf("the down key says %q", got)
	}
	eval[bool](b, `document.querySelector('.list').focus() ?? true`)
	b.press(kb.ArrowDown)
	if got := eval[string](b, `document.querySelector('.row[aria-selected=true]').innerText`); !strings.Contains(got, "fault 1 armed") {
		t.Errorf("the down key in the list chooses %q", got)
	}
	b.quiet()
}

// Any text on its ground can be read, in both schemes; what is wide scrolls by
// itself, so that a phone does not have to scroll the page.
func TestPagesCanBeRead(t *testing.T) {
	b := openBrowser(t)
	campaign := written(t, func(to *os.File) error { return WriteCampaignHTML(to, smallCampaign()) })
	for _, page := range []string{runPage(t, failedVerdict(), withHostileText), runPage(t, passedVerdict(), nil), manyRunsPage(t), campaign} {
		for _, dark := range []bool{false, true} {
			b.open(page, 390, 844, dark)
			if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 390 {
				t.Errorf("on a phone the page is %d wide", wide)
			}
			weak := eval[[]string](b, `(() => {
				const value = name => { const c = document.createElement('canvas').getContext('2d');
					c.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim(); c.fillRect(0, 0, 1, 1);
					return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4) };
				const light = name => value(name).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
				const contrast = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
				return ['ink paper', 'ink card', 'ink wash', 'soft paper', 'soft card', 'soft wash', 'accent paper', 'accent card', 'pass paper', 'fail paper',
					'warn paper', 'fail fail-wash', 'warn warn-wash', 'ink warn-wash', 'ink fail-wash', 'ink accent-wash', 'paper ink', 'card accent']
					.filter(pair => contrast(...pair.split(' ')) < 4.5) })()`)
			if len(weak) > 0 {
				t.Errorf("dark %v: too little contrast between %q", dark, weak)
			}
		}
	}
	b.quiet()
}

func manyRunsPage(t *testing.T) string {
	t.Helper()
	pages := map[string]Page{}
	page, err := NewPage(restartScenario(), restartHistory())
	if err != nil {
		t.Fatal(err)
	}
	d := document()
	for _, result := range d.Scenarios {
		if result.Outcome != NotRun {
			pages[result.Name] = page
		}
	}
	return written(t, func(to *os.File) error { return WriteHTML(to, d, pages) })
}

func TestPageOfManyRuns(t *testing.T) {
	b := openBrowser(t)
	b.open(manyRunsPage(t), 1200, 900, false)
	seen := func() string {
		return eval[string](b, `[...document.querySelectorAll('h1')].filter(h => h.offsetParent).map(h => h.innerText).join('; ')`)
	}
	if got := seen(); got != "1 of 7 scenarios failed" {
		t.Errorf("at first there is %q", got)
	}
	shown := func() string {
		return eval[string](b, `[...document.querySelectorAll('#overview tbody tr')].filter(r => r.offsetParent).map(r => r.querySelector('a').innerText).join(' ')`)
	}
	eval[bool](b, `(i => { i.value = 'inconclusive'; i.dispatchEvent(new Event('input')) })(document.querySelector('#overview select')) ?? true`)
	if got := shown(); got != "late unchecked" {
		t.Errorf("the inconclusive ones are %q", got)
	}
	eval[bool](b, `document.querySelector('#overview a[href="#run-late"]').click() ?? true`)
	b.drawn()
	if got := seen(); got != "late inconclusive" {
		t.Errorf("after a click there is %q", got)
	}
	if got := eval[string](b, `document.title`); got != "late inconclusive – Killpoint" {
		t.Errorf("the title is %q", got)
	}
	eval[bool](b, `document.querySelector('#run-late .back').click() ?? true`)
	b.drawn()
	if got := seen(); got != "1 of 7 scenarios failed" {
		t.Errorf("back there is %q", got)
	}
	b.quiet()
}

// A hundred thousand events make a page that opens and filters at once and
// has no more nodes than can be seen.
func TestPageOfAHundredThousandEvents(t *testing.T) {
	const count = 100_000
	file := runPage(t, failedVerdict(), func(h *history.History) {
		last := end(h)
		for index := range count {
			service := []string{"worker-2", "worker-3", "test-runner"}[index%3]
			h.Events = append(h.Events, history.Event{
				At: last + time.Duration(index)*100*time.Microsecond, Kind: history.Log, Service: service, Incarnation: 1, Stream: "stdout",
				Text: fmt.Sprintf("Worker 2: Wrote partition %d from chunk %08x-af01-4aae-851b-08c769b7c3f3", index%10, index),
			})
		}
	})
	b := openBrowser(t)
	began := time.Now()
	b.open(file, 1200, 900, false)
	opened := time.Since(began)
	nodes := eval[int](b, `document.getElementsByTagName('*').length`)
	filter := eval[float64](b, `new Promise(done => { const i = document.querySelector('input[type=search]'), t = performance.now();
		i.value = 'chunk 000186'; i.dispatchEvent(new Event('input')); requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - t))) })`)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events: %.1f MB, opened in %v, filtered in %.0f ms, %d nodes", count, float64(info.Size())/1e6, opened, filter, nodes)
	if opened > 20*time.Second || filter > 5000 || nodes > 2000 {
		t.Errorf("opened in %v, filtered in %.0f ms, %d nodes", opened, filter, nodes)
	}
	// 0x18600 to 0x1869f are 99,840 to 99,999.
	if got := eval[string](b, `document.querySelector('.filters .count').innerText`); !strings.HasPrefix(got, "160 of 100,0") {
		t.Errorf("filtered there are %q", got)
	}
	eval[bool](b, `document.querySelector('.list').focus() ?? true`)
	b.press(kb.End)
	if got := eval[string](b, `document.querySelector('.row[aria-selected=true]').innerText`); !strings.Contains(got, "0001869f") {
		t.Errorf("the last one is %q", got)
	}
	b.quiet()
}

func TestCampaignPageInABrowser(t *testing.T) {
	campaign := bigCampaign(100_000)
	b := openBrowser(t)
	began := time.Now()
	b.open(written(t, func(to *os.File) error { return WriteCampaignHTML(to, campaign) }), 1200, 900, false)
	opened, nodes := time.Since(began), eval[int](b, `document.getElementsByTagName('*').length`)
	t.Logf("%d points opened in %v, %d nodes", len(campaign.Points), opened, nodes)
	if opened > 20*time.Second || nodes > 3000 {
		t.Errorf("opened in %v, %d nodes", opened, nodes)
	}
	want := fmt.Sprintf("worker-2 failed at %s of %s crash points", grouped(campaign.Totals.Failed), grouped(campaign.Totals.Points))
	if got := eval[string](b, `document.querySelector('h1').innerText`); got != want {
		t.Errorf("the verdict is %q, want %q", got, want)
	}
	count := func() string { return eval[string](b, `document.querySelector('.filters .count').innerText`) }
	if want := fmt.Sprintf("%s of %s crash points", grouped(campaign.Totals.Failed+campaign.Totals.Inconclusive), grouped(campaign.Totals.Points)); count() != want {
		t.Errorf("listed at first are %q, want %q", count(), want)
	}
	// The first point that failed: everything that is known of it is shown.
	var worst *CrashPoint
	for index := range campaign.Points {
		if campaign.Points[index].Outcome != Passed {
			worst = &campaign.Points[index]
			break
		}
	}
	eval[bool](b, `document.querySelector('.worst').click() ?? true`)
	b.drawn()
	chosen := func() string { return eval[string](b, `document.querySelector('.selected').innerText`) }
	for _, want := range []string{"failed", worst.Point, worst.Findings[0].Text, fmt.Sprintf("failed %d of %d", worst.Failures, worst.Attempts)} {
		if !strings.Contains(chosen(), want) {
			t.Errorf("of the first that failed it says %q, not %q", chosen(), want)
		}
	}
	eval[bool](b, `(i => { i.value = 'partition-003'; i.dispatchEvent(new Event('input')) })(document.querySelector('input[type=search]')) ?? true`)
	b.drawn()
	torn := 0
	for index := range campaign.Points {
		if point := &campaign.Points[index]; point.Outcome == Failed && strings.HasSuffix(point.Path, "partition-003.csv") {
			torn++
		}
	}
	if want := fmt.Sprintf("%s of %s crash points", grouped(torn), grouped(campaign.Totals.Points)); count() != want {
		t.Errorf("of one file are listed %q, want %q", count(), want)
	}
	// By keyboard in the matrix: along a row, and to the next file.
	eval[bool](b, `document.querySelector('.plot').focus() ?? true`)
	before := chosen()
	b.press(kb.ArrowRight)
	along := chosen()
	b.press(kb.ArrowDown)
	if down := chosen(); along == before || down == along {
		t.Errorf("the keys go from %q to %q to %q", before, along, down)
	}
	// Points during a recovery are another layer.
	eval[bool](b, `document.querySelectorAll('.layers button')[1].click() ?? true`)
	b.drawn()
	eval[bool](b, `document.querySelector('.plot').focus() ?? true`)
	b.press(kb.ArrowDown)
	if got := chosen(); !strings.Contains(got, "read 1 of /app/worker-data/state/journal-0") || !strings.Contains(got, "after a crash at worker-2:") {
		t.Errorf("during recovery it says %q", got)
	}
	b.quiet()
}

// The same history gives the same page, byte for byte.
func TestPagesAreReproducible(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"campaign": func(to io.Writer) error { return WriteCampaignHTML(to, smallCampaign()) },
		"runs": func(to io.Writer) error {
			sc, h := restartScenario(), restartHistory()
			page, err := NewPage(sc, h)
			if err != nil {
				return err
			}
			return WriteHTML(to, document(), map[string]Page{"restart": page})
		},
	} {
		var first, second bytes.Buffer
		if err := write(&first); err != nil {
			t.Fatal(err)
		}
		if err := write(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two pages differ (%v)", name, err)
		}
	}
}
