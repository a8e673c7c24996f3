package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/proof"
)

// The test's own binary is a child too, as the program is.
func TestMain(m *testing.M) {
	if work := os.Getenv(childVariable); work != "" {
		os.Exit(runChild(context.Background(), work, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{5, 1, 3}, spread{1, 3, 5}},
		{[]float64{4, 1, 2, 8}, spread{1, 3, 8}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("spread of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

// A machine that is slow for a round is slow for both.
func TestRatiosAreOfOneRound(t *testing.T) {
	with, without := []float64{10, 100, 12}, []float64{5, 50, 4, 7}
	if got := spreadOf(ratios(with, without)); got != (spread{2, 2, 3}) {
		t.Errorf("ratios are %v", got)
	}
	if got := ratios([]float64{1}, []float64{0}); len(got) != 0 {
		t.Errorf("a ratio to nothing is %v", got)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0.00", 7: "7.00", 64: "64.0", 128: "128", 9996: "10.0k", 1_234_567: "1.23M", 12e9: "12.0G"} {
		if got := count(n); got != want {
			t.Errorf("%v is printed as %s, want %s", n, got, want)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		target
		ratio float64
		want  string
	}{
		{target{10, false}, 10, "10.0× met"},
		{target{10, false}, 9.99, "9.99× MISSED"},
		{target{0.6, true}, 0.61, "61 % met"},
		{target{0.6, true}, 0.59, "59 % MISSED"},
	} {
		if got := test.judge(test.ratio); got != test.want {
			t.Errorf("%v of %v is %q, want %q", test.ratio, test.target, got, test.want)
		}
	}
}

// Each target is about cells that there are.
func TestEveryTargetApplies(t *testing.T) {
	for _, a := range aims() {
		n := 0
		for _, c := range cells() {
			if a.applies(c) {
				n++
			}
		}
		if n != 4 && n != 8 {
			t.Errorf("%s of %s applies to %d cells", a.target, a.with, n)
		}
	}
}

func TestChunksDiffer(t *testing.T) {
	d := newData(100, seed)
	ids := map[string]bool{}
	for n := range 1000 {
		c := d.chunk(n, 16)
		if len(c.id) != idBytes || ids[c.id] {
			t.Fatalf("chunk %d has id %q, again: %t", n, c.id, ids[c.id])
		}
		ids[c.id] = true
		if c.first+c.rows > d.len() {
			t.Fatalf("chunk %d begins at row %d of %d", n, c.first, d.len())
		}
	}
	for row := range d.len() {
		if number, ok := rowNumber(d.row(row)); !ok || number != row || bytes.IndexByte(d.row(row), '\n') != rowBytes-1 {
			t.Errorf("row %d is %q", row, d.row(row))
		}
	}
}

func TestCommandLine(t *testing.T) {
	for args, says := range map[string]string{
		"-parts everything":                 "none of",
		"-rounds 0":                         "must be positive",
		"-cells (":                          "-cells",
		"table":                             "no flag",
		"-parts table -cells nowhere":       "no cell matches",
		"-parts table -dir /does/not/exist": "make a directory",
	} {
		var out, failures bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &failures); code == exitOK || !strings.Contains(failures.String(), says) {
			t.Errorf("%s: exit code %d, %s", args, code, &failures)
		}
	}
}

// The table has a line for each contender, and its targets.
func TestTable(t *testing.T) {
	var out, progress bytes.Buffer
	profiles := t.TempDir()
	args := []string{"-quick", "-time", "5ms", "-parts", "table", "-cells", "power natural 256 rows 5 ", "-dir", t.TempDir(), "-cpuprofile", profiles}
	if code := run(t.Context(), args, &out, &progress); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &progress)
	}
	for _, name := range []string{nameRaw, nameKillpoint, nameStateFile, nameIDLog, nameBolt, nameSQLite, namePebble, nameAppend} {
		if !strings.Contains(out.String(), "256           5  "+strings.Repeat(" ", max(0, 10-len(name)))+name+"  ") {
			t.Errorf("there is no line for %s", name)
		}
	}
	if n := strings.Count(out.String(), "at least "); n != 5 {
		t.Errorf("%d targets are printed, want 5", n)
	}
	if t.Failed() {
		t.Log(out.String())
	}
	if info, err := os.Stat(filepath.Join(profiles, "table.prof")); err != nil || info.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
}

// Whoever stops the table sees what was measured.
func TestTableIsPrintedWhenItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, progress bytes.Buffer
	args := []string{"-rounds", "100", "-time", "5ms", "-parts", "table", "-cells", "power natural 256 rows 5 ", "-dir", t.TempDir()}
	o, err := parse(args, &progress)
	if err != nil {
		t.Fatal(err)
	}
	o.quick = true // fewer rows
	watched := stopAfter{&progress, "round 2 of 100", stop}
	if err := measure(ctx, o, &out, watched); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that it was stopped", err)
	}
	if !strings.Contains(out.String(), nameRaw+"  ") || !strings.Contains(out.String(), "at least ") {
		t.Errorf("printed\n%s", &out)
	}
}

// stopAfter calls stop when some text is written.
type stopAfter struct {
	io.Writer
	text string
	stop func()
}

func (s stopAfter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.stop()
	}
	return s.Writer.Write(p)
}

// A child that is killed leaves what it committed, and what it printed is true.
func TestKilledChildIsRecovered(t *testing.T) {
	w := work{Dir: filepath.Join(t.TempDir(), "data"), Durability: process, Rows: 16, Chunks: 300, Step: 1600, InFlight: 8}
	d, err := runWork(t.Context(), w, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Rates) != 3 || d.Replayed != 0 || d.OpenMemory <= 0 || d.Memory < d.OpenMemory {
		t.Errorf("first life: %+v", d)
	}
	w.First, w.Chunks = 300, 50
	if d, err = runWork(t.Context(), w, false); err != nil {
		t.Fatal(err)
	}
	if d.Replayed != 300 || len(d.Rates) != 1 || d.Opened <= 0 {
		t.Errorf("second life: %+v", d)
	}
	w.First = 350
	if err := verify(w); err != nil {
		t.Error(err)
	}
	w.First = 351
	if err := verify(w); err == nil {
		t.Error("a chunk that was never written is not missed")
	}
}

func TestChildFailsAloud(t *testing.T) {
	if _, err := runWork(t.Context(), work{Dir: "/does/not/exist/either", Rows: 1, InFlight: 1}, false); err == nil {
		t.Error("a child without a directory fails silently")
	}
}

// The picture is well-formed, and every value is inside its frame.
func TestPlot(t *testing.T) {
	to := scale{step: million, held: []int{0, million, 2 * million}}
	text := plotGrowth(to, speeds{{9e5, 1.1e6}, {1e6}, {0.8e6}}, []opening{
		{rows: 0, times: []float64{0.004}}, {rows: 500_000, killed: true, times: []float64{0.130}},
		{rows: 2 * million, times: []float64{0.02}}, {rows: 2_500_000, killed: true, times: []float64{0.25}},
	})
	decoder := xml.NewDecoder(bytes.NewReader(text))
	circles := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 4 || !bytes.Contains(text, []byte("prefers-color-scheme: dark")) {
		t.Errorf("%d openings are drawn of 4\n%s", circles, text)
	}
	c := newChart(50, []float64{0, 1e7}, []float64{3, 1.3e6}, "")
	if x, y := c.at(1e7, 1.3e6); x > c.left+c.width || y < plotTop || y > plotBottom {
		t.Errorf("the largest value is at %v, %v", x, y)
	}
}

// The workers without work are made of today's source.
func TestWorkersAreBuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiles the workers")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, changes := range map[string][]proof.Change{"working": profiled(), "idle": append(idle(), profiled()...)} {
		if _, err := buildWorker(t.Context(), root, t.TempDir(), name, changes); err != nil {
			t.Error(err)
		}
	}
}
