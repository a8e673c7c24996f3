package supervisor_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// sequenceResults runs the target's verb sequence with a point and returns what each write said: bytes, error, milliseconds.
func sequenceResults(t *testing.T, count int, points ...interpose.Point) (results []string, file string, events []interpose.Event) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "file.txt")
	for i := range points {
		points[i].Path = file
	}
	p := start(t, newPlan(points...), target, "sequence", file, strconv.Itoa(count))
	if event := p.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d: %s", event.Code, p.errors())
	}
	p.exitCode()
	return strings.Split(strings.TrimSpace(p.output()), "\n"), file, p.seen
}

func reached(events []interpose.Event) (at []int) {
	for _, event := range events {
		if event.Kind == interpose.Reached {
			at = append(at, event.Occurrence)
		}
	}
	return at
}

func TestFailMakesTheCallFailAsOftenAsPlanned(t *testing.T) {
	point := interpose.Point{ID: "full", Operation: interpose.Write, Occurrence: 2, Action: interpose.Fail, Errno: "ENOSPC", Times: 2}
	results, file, events := sequenceResults(t, 5, point)
	for i, want := range []string{"7 <nil>", "-1 no space left on device", "-1 no space left on device", "7 <nil>", "7 <nil>"} {
		if !strings.HasPrefix(results[i], want) {
			t.Errorf("write %d: got %q, want %q", i+1, results[i], want)
		}
	}
	if got := contents(t, file); got != "line 1\nline 4\nline 5\n" {
		t.Errorf("got %q", got)
	}
	if at := reached(events); len(at) != 2 || at[0] != 2 || at[1] != 3 {
		t.Errorf("reached at %v, want 2 and 3", at)
	}
}

func TestFailOfAnFsync(t *testing.T) {
	point := interpose.Point{ID: "sync", Operation: interpose.Fsync, Occurrence: 1, Action: interpose.Fail, Errno: "EIO"}
	results, _, _ := sequenceResults(t, 1, point)
	if last := results[len(results)-1]; last != "fsync input/output error" {
		t.Errorf("got %q", last)
	}
}

func TestShortWriteSaysSoAndMovesThePosition(t *testing.T) {
	point := interpose.Point{ID: "short", Operation: interpose.Write, Occurrence: 2, Action: interpose.Short, Bytes: 3}
	results, file, events := sequenceResults(t, 3, point)
	if !strings.HasPrefix(results[1], "3 <nil>") {
		t.Errorf("got %q, want 3 bytes written", results[1])
	}
	if got := contents(t, file); got != lines(3) {
		t.Errorf("got %q: the program goes on at the same offset", got)
	}
	for _, event := range events {
		if event.Kind == interpose.Reached && event.Kept != 3 {
			t.Errorf("kept %d, want 3", event.Kept)
		}
	}
}

func TestDelayDelaysOneCall(t *testing.T) {
	point := interpose.Point{ID: "slow", Operation: interpose.Write, Occurrence: 2, Action: interpose.Delay, Wait: 150 * time.Millisecond}
	results, file, _ := sequenceResults(t, 3, point)
	for i, slow := range []bool{false, true, false} {
		fields := strings.Fields(results[i])
		milliseconds, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil || (milliseconds >= 150) != slow {
			t.Errorf("write %d took %d ms (%v)", i+1, milliseconds, err)
		}
	}
	if got := contents(t, file); got != lines(3) {
		t.Errorf("got %q", got)
	}
}

func TestPointsFireInTheOrderGiven(t *testing.T) {
	pass := func(id string, occurrence int) interpose.Point {
		return interpose.Point{ID: id, Operation: interpose.Write, Occurrence: occurrence, Action: interpose.Pass}
	}
	// The third is passed before the second has fired, and never comes again.
	_, _, events := sequenceResults(t, 6, pass("a", 2), pass("b", 4), pass("c", 3))
	var fired []string
	for _, event := range events {
		if event.Kind == interpose.Reached {
			fired = append(fired, event.Point+strconv.Itoa(event.Occurrence))
		}
	}
	if got := strings.Join(fired, " "); got != "a2 b4" {
		t.Errorf("fired %q, want %q", got, "a2 b4")
	}
}

func TestAPointOfAnotherIncarnationDoesNotFire(t *testing.T) {
	later := interpose.Point{ID: "later", Operation: interpose.Write, Occurrence: 1, Incarnation: 2, Action: interpose.Pass}
	_, _, events := sequenceResults(t, 3, later)
	if at := reached(events); at != nil {
		t.Errorf("fired at %v in the first incarnation", at)
	}
}

func TestShortReads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	point := interpose.Point{ID: "short", Operation: interpose.Read, Path: file, Occurrence: 2, Action: interpose.Short, Bytes: 2}
	p := start(t, newPlan(point), "sh", "-c", "echo hello world > "+file+"; head -c 5 "+file+"; echo; head -c 5 "+file)
	if event := p.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d: %s", event.Code, p.errors())
	}
	p.exitCode()
	// head reads again after a short read, and so gets the rest.
	if got := p.output(); got != "hello\nhello" {
		t.Errorf("got %q", got)
	}
	if at := reached(p.seen); len(at) != 1 {
		t.Errorf("reached %v", at)
	}
}

func TestWhatCannotBeSeenIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	tests := map[string]struct {
		command []string
		want    string
	}{
		"shared mapping": {[]string{target, "map", file}, "coverage incomplete, because " + file + " is mapped"},
		"io_uring":       {[]string{target, "ring"}, "io_uring was answered with ENOSYS"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, newPlan(hold(interpose.Write, file, 9, interpose.Before)), test.command...)
			if event := p.await(interpose.Coverage); !strings.HasPrefix(event.Message, test.want) {
				t.Errorf("got %q, want %q", event.Message, test.want)
			}
			p.exitCode()
			if name == "io_uring" && p.output() != "true\n" {
				t.Errorf("the program did not get ENOSYS: %q", p.output())
			}
		})
	}
}

func TestAProgramForAnotherArchitectureIsSaidToBeUnseen(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for i386, which runs on amd64")
	}
	// set_thread_area with a pointer to nothing, which fails, and exit with 5.
	code := []byte{0xb8, 243, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80, 0xb8, 1, 0, 0, 0, 0xbb, 5, 0, 0, 0, 0xcd, 0x80}
	const base = 0x8048000
	var file bytes.Buffer
	header := elf.Header32{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 1, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386), Version: 1,
		Entry: base + 84, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1,
	}
	segment := elf.Prog32{Type: uint32(elf.PT_LOAD), Vaddr: base, Filesz: 84 + uint32(len(code)), Memsz: 84 + uint32(len(code)), Flags: uint32(elf.PF_R | elf.PF_X), Align: 4096}
	for _, part := range []any{header, segment, code} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, file.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(program).Run(); errors.Is(err, unix.ENOEXEC) {
		t.Skip("this kernel runs no programs for i386")
	}
	p := start(t, newPlan(hold(interpose.Write, "/nowhere", 1, interpose.Before)), program)
	if event := p.await(interpose.Coverage); !strings.Contains(event.Message, "i386") {
		t.Errorf("got %q", event.Message)
	}
	if code := p.exitCode(); code != 5 {
		t.Errorf("exit code %d", code)
	}
}
