package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// resident starts an interposer that runs nothing yet.
func resident(t *testing.T, command ...string) *program {
	t.Helper()
	plan := newPlan()
	plan.Stay, plan.Idle = true, true
	p := start(t, plan, command...)
	p.await(interpose.Hello)
	return p
}

// life runs one life with a plan to its end and gives its events.
func (p *program) life(number int, change func(*interpose.Plan)) []interpose.Event {
	p.t.Helper()
	plan := p.plan
	plan.Incarnation, plan.Idle, plan.Lines, plan.Originals = number, false, true, &interpose.Originals{}
	if change != nil {
		change(&plan)
	}
	from := len(p.seen)
	if err := p.client.Start(withTimeout(p.t), plan); err != nil {
		p.t.Fatal(err)
	}
	if _, err := awaitEvent(p.client, &p.seen, interpose.Exited); err != nil && p.seen[len(p.seen)-1].Kind != interpose.Exited {
		p.t.Fatal(err)
	}
	return p.seen[from:]
}

// Every line of a life is reported before its end, whatever is left running behind it, and none of them goes anywhere else.
func TestLinesOfALifeAreWhole(t *testing.T) {
	script := `i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf 'no end'; exit 3`
	p := resident(t, "sh", "-c", script)
	for life := 1; life <= 3; life++ {
		lines := map[string][]string{}
		events := p.life(life, nil)
		for _, event := range events {
			if event.Kind == interpose.Line && event.Incarnation == life {
				lines[event.Stream] = append(lines[event.Stream], event.Message)
			}
		}
		if last := events[len(events)-1]; last.Kind != interpose.Exited || last.Code != 3 {
			t.Fatalf("life %d ends with %+v", life, last)
		}
		if out := lines["stdout"]; len(out) != 501 || out[499] != "out 499" || out[500] != "no end" {
			t.Errorf("life %d: %d lines on stdout", life, len(out))
		}
		if err := lines["stderr"]; len(err) != 500 || err[499] != "err 499" {
			t.Errorf("life %d: %d lines on stderr", life, len(err))
		}
	}
	if p.output() != "" {
		t.Errorf("the container's own output has %q", p.output())
	}
}

// A line that is reported is a write on /dev/stdout, which a point can name.
func TestReportedLinesAreWritesOnStdout(t *testing.T) {
	p := resident(t, "sh", "-c", "echo one; echo two; echo three")
	plan := p.plan
	plan.Idle, plan.Lines = false, true
	plan.Points = []interpose.Point{hold(interpose.Write, "/dev/stdout", 2, interpose.After)}
	if err := p.client.Start(withTimeout(t), plan); err != nil {
		t.Fatal(err)
	}
	p.await(interpose.Reached)
	if err := p.client.Kill(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	p.await(interpose.Killed)
	var lines []string
	for _, event := range p.seen {
		if event.Kind == interpose.Line {
			lines = append(lines, event.Message)
		}
	}
	if diff := cmp.Diff([]string{"one", "two"}, lines); diff != "" {
		t.Error(diff)
	}
}

// A program that is frozen does nothing more, and all that it had printed is reported before the event that says so, also a line that has no end.
func TestFreezeReportsAllThatWasPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	p := resident(t, "sh", "-c", `i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; printf 'no end'; echo x > `+file)
	p.freezeAt(interpose.Reached, hold(interpose.Write, file, 1, interpose.Before))
	if lines := p.lines(); len(lines) != 301 || lines[300] != "no end" {
		t.Errorf("%d lines were reported, want 301; the last one is %q", len(lines), lines[len(lines)-1])
	}
}

// So is one that is frozen wherever it is.
func TestFreezeInMidstream(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	p := resident(t, "sh", "-c", `i=0; while :; do i=$((i+1)); echo line $i; echo $i >> `+file+`; done`)
	p.freezeAt(interpose.Line)
	written := strings.Count(contents(t, file), "\n")
	if printed := len(p.lines()); printed < written || printed > written+1 {
		t.Errorf("%d lines were reported, and %d were followed by others", printed, written)
	}
	if later := strings.Count(contents(t, file), "\n"); later != written {
		t.Errorf("it goes on: %d lines, then %d", written, later)
	}
}

// freezeAt starts a life and freezes it after an event.
func (p *program) freezeAt(kind interpose.Kind, points ...interpose.Point) {
	p.t.Helper()
	plan := p.plan
	plan.Incarnation, plan.Idle, plan.Lines, plan.Points = 1, false, true, points
	if err := p.client.Start(withTimeout(p.t), plan); err != nil {
		p.t.Fatal(err)
	}
	p.await(kind)
	frozen := make(chan error, 1)
	go func() { frozen <- p.client.Freeze(withTimeout(p.t)) }()
	p.await(interpose.Frozen)
	if err := <-frozen; err != nil {
		p.t.Fatal(err)
	}
}

// lines are those that were reported.
func (p *program) lines() []string {
	var lines []string
	for _, event := range p.seen {
		if event.Kind == interpose.Line {
			lines = append(lines, event.Message)
		}
	}
	return lines
}

// Whoever kills the container learns whether what the program has changed could be put back afterwards.
func TestFreezeTellsOfChanges(t *testing.T) {
	for script, changed := range map[string]bool{`echo ready; exec sleep 100`: false, `echo x > FILE; echo ready; exec sleep 100`: true} {
		file := filepath.Join(t.TempDir(), "file")
		p := resident(t, "sh", "-c", strings.ReplaceAll(script, "FILE", file))
		plan := p.plan
		plan.Incarnation, plan.Idle, plan.Lines, plan.Originals = 1, false, true, &interpose.Originals{}
		if err := p.client.Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
		p.await(interpose.Line)
		if err := p.client.Freeze(withTimeout(t)); err != nil {
			t.Fatal(err)
		}
		if frozen := p.await(interpose.Frozen); frozen.Changed != changed {
			t.Errorf("%s: changed is %v", script, frozen.Changed)
		}
		if err := p.client.Kill(withTimeout(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// What a program has changed outside of its volumes is put back: new files and directories go, others are what they were, over several lives.
func TestOriginalsArePutBack(t *testing.T) {
	directory := t.TempDir()
	in := func(name string) string { return filepath.Join(directory, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(in("kept"), []byte("kept\n"), 0o640))
	must(os.WriteFile(in("cut"), []byte("to be cut\n"), 0o600))
	must(os.WriteFile(in("gone"), []byte("to be removed\n"), 0o644))
	must(os.WriteFile(in("moved"), []byte("to be moved\n"), 0o644))
	must(os.Mkdir(in("full"), 0o755))
	must(os.Symlink("kept", in("link")))
	must(os.Mkdir(in("volume"), 0o755))
	before := listing(t, directory)
	script := fmt.Sprintf(`cd %s && echo more >> kept && : > cut && rm gone && mv moved full/moved && mkdir -p new/deep && echo x > new/deep/file && ln -sf cut link && echo x > volume/file && echo y > new/second`, directory)
	p := resident(t, "sh", "-c", script+"; :")
	except := func(plan *interpose.Plan) { plan.Originals.Except = []string{in("volume") + "/**"} }
	p.life(1, except)
	p.life(2, except)
	if diff := cmp.Diff(before, listing(t, directory)); diff == "" {
		t.Fatal("the program has changed nothing")
	}
	must(p.client.PutBack(withTimeout(t)))
	must(os.Remove(in("volume/file"))) // which is for others to put back
	if diff := cmp.Diff(before, listing(t, directory)); diff != "" {
		t.Errorf("what is there now (-before +after):\n%s", diff)
	}
}

// A file is put back however the program came to change it, though nobody looks at what is written: by open for writing alone, by its name, through memory, in its second life.
func TestOriginalsAreKeptFromTheFirstOpen(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"written", "cut", "shortened", "mapped", "read"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte("what was there\n"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, directory)
	p := resident(t, target, "script", directory, "write,written,3,XX", "cut,cut,4", "shorten,shortened,5", "map,mapped,XXXX", "sync,read")
	for life := range 2 {
		for _, event := range p.life(life+1, nil) {
			if event.Kind == interpose.Coverage || event.Kind == interpose.Exited && event.Code != 0 {
				t.Errorf("%+v: %s", event, p.errors())
			}
		}
	}
	changed := listing(t, directory)
	if diff := cmp.Diff(before, changed); strings.Count(diff, "\n-") != 4 {
		t.Fatalf("not every file was changed (-before +after):\n%s", diff)
	}
	if err := p.client.PutBack(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, listing(t, directory)); diff != "" {
		t.Errorf("what is there now (-before +after):\n%s", diff)
	}
}

// A directory is made what it was: contents, modes, links, what is new and what is gone, and a file of another type.
func TestRestore(t *testing.T) {
	directory := t.TempDir()
	in := func(name string) string { return filepath.Join(directory, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(in("a/b"), 0o750))
	must(os.WriteFile(in("a/b/file"), []byte("contents\n"), 0o640))
	must(os.WriteFile(in("a/twice"), []byte("twice\n"), 0o644))
	must(os.Link(in("a/twice"), in("a/again")))
	must(os.Symlink("b/file", in("a/link")))
	must(os.WriteFile(in("empty"), nil, 0o600))
	before := listing(t, directory)
	p := resident(t, "true")
	must(p.client.Snapshot(withTimeout(t), "", directory))
	must(os.RemoveAll(in("a/b")))
	must(os.WriteFile(in("a/b"), []byte("a file now"), 0o644))
	must(os.WriteFile(in("a/twice"), []byte("changed\n"), 0o644))
	must(os.Remove(in("a/link")))
	must(os.Mkdir(in("a/link"), 0o755))
	must(os.WriteFile(in("a/link/deep"), nil, 0o644))
	must(os.Chmod(in("empty"), 0o777))
	must(os.WriteFile(in("new"), nil, 0o644))
	changed := listing(t, directory)
	must(p.client.Snapshot(withTimeout(t), "changed", directory))
	must(p.client.Restore(withTimeout(t), "", directory))
	if diff := cmp.Diff(before, listing(t, directory)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	must(p.client.Restore(withTimeout(t), "changed", directory))
	if diff := cmp.Diff(changed, listing(t, directory)); diff != "" {
		t.Errorf("another snapshot (-before +after):\n%s", diff)
	}
	if err := p.client.Restore(withTimeout(t), "none", directory); err == nil || !strings.Contains(err.Error(), `no snapshot "none"`) {
		t.Errorf("restored what was never kept: %v", err)
	}
}

// Checksums tell files apart without their contents leaving the container.
func TestSums(t *testing.T) {
	directory := t.TempDir()
	for name, text := range map[string]string{"b": "abc", "a": ""} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := resident(t, "true")
	files, err := p.client.Sums(withTimeout(t), directory+"/**")
	if err != nil || len(files) != 2 || filepath.Base(files[0].Path) != "a" {
		t.Fatalf("%+v, %v", files, err)
	}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc, FIPS 180-2
	if files[1].Sum != sum || files[1].Size != 3 || files[1].Data != nil || files[0].Sum == "" || files[0].Size != 0 {
		t.Errorf("%+v", files)
	}
	if none, err := p.client.Sums(withTimeout(t), directory+"/none/*"); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

// listing is everything below a directory in words.
func listing(t *testing.T, directory string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(directory, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			text = contents(t, name)
		case info.Mode()&os.ModeSymlink != 0:
			text, err = os.Readlink(name)
		}
		lines = append(lines, fmt.Sprintf("%s %v %q", strings.TrimPrefix(name, directory), info.Mode(), text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestExecAndRead(t *testing.T) {
	directory := t.TempDir()
	for name, text := range map[string]string{"b.csv": "b", "a.csv": "a", "c.txt": "c"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := resident(t, "true")
	files, err := p.client.Read(withTimeout(t), directory+"/*.csv")
	if err != nil || len(files) != 2 || string(files[0].Data) != "a" || files[1].Path != directory+"/b.csv" {
		t.Errorf("read %+v, %v", files, err)
	}
	if files, err := p.client.Read(withTimeout(t), "/"); err != nil || len(files) != 0 {
		t.Errorf("the root is %v, %v", files, err)
	}
	if files, err := p.client.Read(withTimeout(t), directory+"/none/*.csv"); err != nil || len(files) != 0 {
		t.Errorf("read %+v, %v of nothing", files, err)
	}
	done, err := p.client.Exec(withTimeout(t), []string{"sh", "-c", "echo out; echo err >&2; exit 7"})
	if err != nil || done.Code != 7 || string(done.Stdout) != "out\n" || string(done.Stderr) != "err\n" {
		t.Errorf("executed %+v, %v", done, err)
	}
	if done, err := p.client.Exec(withTimeout(t), []string{"no-such-command"}); err != nil || done.Code != 127 {
		t.Errorf("executed %+v, %v", done, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.client.Exec(short, []string{"sleep", "60"}); err == nil || errors.Is(err, interpose.ErrDetached) {
		t.Errorf("a command that takes too long: %v", err)
	}
}

// Signals come to a program as the engine's do, and events that were passed on are not kept.
func TestSignal(t *testing.T) {
	p := resident(t, "sh", "-c", "trap 'echo got it; exit 4' TERM; echo ready; while :; do sleep 0.01; done")
	for life := 1; life <= 2; life++ {
		plan := p.plan
		plan.Incarnation, plan.Idle, plan.Lines = life, false, true
		if err := p.client.Start(withTimeout(t), plan); err != nil {
			t.Fatal(err)
		}
		if line := p.await(interpose.Line); line.Message != "ready" {
			t.Fatalf("line %q", line.Message)
		}
		if err := p.client.Signal(withTimeout(t), 15); err != nil {
			t.Fatal(err)
		}
		if line := p.await(interpose.Line); line.Message != "got it" {
			t.Fatalf("line %q", line.Message)
		}
		if exited := p.await(interpose.Exited); exited.Code != 4 {
			t.Fatalf("exit code %d", exited.Code)
		}
	}
}
