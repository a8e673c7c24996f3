package supervisor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor/testdata/record"
)

var (
	exactKills      = flag.Int("exact-kills", 60, "kills in place of each exactness test")
	exactContainers = flag.Int("exact-containers", 4, "kills of a real container of each exactness test")
	exactSeed       = flag.Uint64("exact-seed", 1, "seed of the crash points of the exactness tests")
)

// The writers of the exactness tests: so many threads, so many records each.
const (
	writers = 4
	records = 150
)

// shape is one way in which several threads write to one file.
type shape struct {
	verb  string
	check func(data []byte, point interpose.Point) error
}

var shapes = map[string]shape{
	"append":    {"append", checkAppended},
	"pwrite":    {"pwrite", checkPlaced},
	"processes": {"processes", checkAppended},
}

// checkAppended judges a file to which all writers appended, by its bytes alone: all records before the planned one are there and whole, the planned bytes of one more follow, and nothing else.
func checkAppended(data []byte, point interpose.Point) error {
	next := make([]int, writers)
	for whole := 0; whole < point.Occurrence-1; whole++ {
		writer, size, err := match(data, next)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", whole+1, point.Occurrence-1, err)
		}
		next[writer]++
		data = data[size:]
	}
	return checkTorn(data, next, point)
}

// match finds the writer whose next record the data begins with.
func match(data []byte, next []int) (writer, size int, err error) {
	for writer, i := range next {
		if want := record.Of(writer, i); bytes.HasPrefix(data, want) {
			return writer, len(want), nil
		}
	}
	return 0, 0, fmt.Errorf("no writer's next record: %.40q", data)
}

// checkTorn judges what is left: the beginning of one writer's next record, of the planned length.
func checkTorn(rest []byte, next []int, point interpose.Point) error {
	for writer, i := range next {
		whole := record.Of(writer, i)
		kept := int(point.Keep.Of(int64(len(whole))))
		switch point.Timing {
		case interpose.Before:
			kept = 0
		case interpose.After:
			kept = len(whole)
		}
		if bytes.Equal(rest, whole[:kept]) {
			return nil
		}
	}
	return fmt.Errorf("%d bytes after the last whole record, want the start of one: %q", len(rest), rest)
}

// checkPlaced judges a file in which each writer has a region of its own.
func checkPlaced(data []byte, point interpose.Point) error {
	next := make([]int, writers)
	whole := 0
	var rest []byte
	for writer := range next {
		region := data[min(len(data), int(record.Offset(writer, 0, records))):min(len(data), int(record.Offset(writer+1, 0, records)))]
		for next[writer] < records && bytes.HasPrefix(region, record.Of(writer, next[writer])) {
			region = region[len(record.Of(writer, next[writer])):]
			next[writer]++
			whole++
		}
		rest = append(rest, bytes.TrimRight(region, "\x00")...)
	}
	want := point.Occurrence - 1
	if point.Timing == interpose.After {
		want++ // the planned record is whole, too, and cannot be told from the others
		point = interpose.Point{Timing: interpose.Before}
	}
	if whole != want {
		return fmt.Errorf("%d whole records, want %d", whole, want)
	}
	return checkTorn(rest, next, point)
}

// randomPoint draws a point; one in eight is not torn.
func randomPoint(random *rand.Rand, path string) interpose.Point {
	occurrence := 1 + random.IntN(writers*records-writers)
	switch random.IntN(8) {
	case 0:
		return hold(interpose.Write, path, occurrence, []interpose.Timing{interpose.Before, interpose.After}[random.IntN(2)])
	case 1:
		return tear(path, occurrence, mustKeep([]string{"half", "all-but-1"}[random.IntN(2)]))
	}
	return tear(path, occurrence, interpose.KeepBytes(1+int64(random.IntN(19))))
}

func mustKeep(text string) interpose.Keep {
	keep, err := interpose.ParseKeep(text)
	if err != nil {
		panic(err)
	}
	return keep
}

// killProgram kills in place so many times at points drawn by the seed and returns what was not exact.
func killProgram(t *testing.T, form shape, kills int, change func(*interpose.Plan), command func(path string) []string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	random := rand.New(rand.NewPCG(*exactSeed, 0))
	plan := newPlan(randomPoint(random, path))
	plan.Stay = true
	change(&plan)
	p := start(t, plan, command(path)...)
	var wrong []string
	for kill := 1; ; kill++ {
		p.await(interpose.Reached)
		if err := p.client.Kill(withTimeout(t)); err != nil {
			t.Fatal(err)
		}
		point := plan.Points[0]
		if err := form.check([]byte(contents(t, path)), point); err != nil {
			wrong = append(wrong, fmt.Sprintf("kill %d, %s: %v", kill, describe(point), err))
		}
		if kill == kills {
			return wrong
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		plan.Incarnation++
		plan.Points = []interpose.Point{randomPoint(random, path)}
		if err := p.client.Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
	}
}

func describe(point interpose.Point) string {
	text, err := json.Marshal(point)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestExactnessInPlace(t *testing.T) {
	for name, form := range shapes {
		t.Run(name, func(t *testing.T) {
			wrong := killProgram(t, form, *exactKills, func(*interpose.Plan) {}, targetCommand(form))
			if len(wrong) > 0 {
				t.Errorf("%d of %d kills were not exact (-exact-seed %d):\n%s", len(wrong), *exactKills, *exactSeed, strings.Join(wrong, "\n"))
			}
			t.Logf("%d of %d kills ended at exactly the planned byte", *exactKills-len(wrong), *exactKills)
		})
	}
}

// TestExactnessNeedsQuiescing shows that the tests above can fail: without stopping the other threads kills are off.
func TestExactnessNeedsQuiescing(t *testing.T) {
	wrong := killProgram(t, shapes["append"], 20, func(plan *interpose.Plan) { plan.NoQuiesce = true }, targetCommand(shapes["append"]))
	if len(wrong) == 0 {
		t.Error("20 of 20 kills were exact although no thread was stopped: the exactness tests prove nothing")
	}
	t.Logf("%d of 20 kills were off without quiescing", len(wrong))
}
