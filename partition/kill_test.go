//go:build unix

package partition_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

const childVariable = "PARTITION_TEST_CHILD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		if err := child(strings.Split(arguments, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killWorkload is what every life of the child delivers, from the start.
func killWorkload() []delivery {
	var all []delivery
	for i := range 24 {
		d := delivery{id: fmt.Sprintf("chunk-%02d", i), prefix: "A"}
		for j := range 9 {
			d.rows = append(d.rows, row{j % 3, fmt.Sprintf("%d,%s", j, strings.Repeat("n", i))})
		}
		all = append(all, d)
	}
	return all
}

func killOptions(dir string, durability partition.Durability) partition.Options {
	o := options(nil, durability)
	o.Dir, o.StateDir, o.JournalBytes = filepath.Join(dir, "partitions"), filepath.Join(dir, "state"), 2<<10
	o.Sequential = false
	return o
}

// child writes the workload, saying on stdout what it has written. It kills
// itself in its n-th changing operation, after a permille of its bytes; with 0
// somebody else does.
func child(arguments []string) error {
	at, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	permille, err := strconv.Atoi(arguments[3])
	if err != nil {
		return err
	}
	durability, err := partition.ParseDurability(arguments[1])
	if err != nil {
		return err
	}
	o := killOptions(arguments[0], durability)
	s := &suicidal{FS: partition.OS(), permille: permille}
	s.left.Store(int64(at))
	o.FS = s
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		return err
	}
	for _, d := range killWorkload() {
		if _, err := m.Write(context.Background(), chunksOf([]delivery{d})); err != nil {
			return err
		}
		fmt.Println(d.id)
	}
	if err := m.Close(); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// suicidal is the operating system's file system in which the process kills
// itself at one operation.
type suicidal struct {
	partition.FS
	left     atomic.Int64 // operations until then
	permille int
}

func (s *suicidal) here() bool { return s.left.Add(-1) == 0 }

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (s *suicidal) Create(name string) (partition.File, error) {
	f, err := s.FS.Create(name)
	if s.here() {
		die()
	}
	return &suicidalFile{f, s}, err
}

func (s *suicidal) Open(name string) (partition.File, error) {
	f, err := s.FS.Open(name)
	return &suicidalFile{f, s}, err
}

func (s *suicidal) Mkdir(name string) error {
	if s.here() {
		die()
	}
	return s.FS.Mkdir(name)
}

func (s *suicidal) Rename(oldname, newname string) error {
	if s.here() {
		die()
	}
	return s.FS.Rename(oldname, newname)
}

type suicidalFile struct {
	partition.File
	fs *suicidal
}

func (f *suicidalFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.fs.here() {
		f.File.WriteAt(p[:len(p)*f.fs.permille/1000], offset)
		die()
	}
	return f.File.WriteAt(p, offset)
}

func (f *suicidalFile) Truncate(size int64) error {
	if f.fs.here() {
		die()
	}
	return f.File.Truncate(size)
}

func (f *suicidalFile) SyncData() error {
	if f.fs.here() {
		die()
	}
	return f.File.SyncData()
}

// live runs a child until it is done or dead. It is killed from outside after
// that many chunks, unless that is negative.
func live(t *testing.T, dir string, durability partition.Durability, at, permille, killAfter int) (said []string, done bool) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d|%d", childVariable, dir, durability, at, permille))
	var stderr strings.Builder
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == "done" {
			done = true
			break
		}
		said = append(said, lines.Text())
		if len(said) == killAfter {
			command.Process.Kill()
		}
	}
	io.Copy(io.Discard, stdout)
	err = command.Wait()
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !done && (!ok || status.Signal() != syscall.SIGKILL) {
		t.Fatalf("the child ended with %v: %s", err, stderr.String())
	}
	return said, done
}

// onDisk copies what is in a real directory into memory, for the oracle.
func onDisk(t *testing.T, dir string) *crashfs.FS {
	t.Helper()
	disk := crashfs.New()
	for from, to := range map[string]string{"partitions": dataDir, "state": stateDir} {
		paths, err := filepath.Glob(filepath.Join(dir, from, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			contents, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			disk.Put(filepath.Join(to, filepath.Base(path)), string(contents))
		}
	}
	return disk
}

// judgeKilled opens the directory after a death and checks that exactly the
// chunks up to some point are there, and none missing that was acknowledged.
func judgeKilled(t *testing.T, dir string, durability partition.Durability, said []string) {
	t.Helper()
	m := mustOpen(t, killOptions(dir, durability))
	state := newModel()
	states := []model{}
	for i, d := range killWorkload() {
		if i >= len(said) {
			states = append(states, state)
		}
		state, _ = state.apply([]delivery{d})
	}
	found, err := choose(onDisk(t, dir), append(states, state))
	if err != nil {
		t.Fatalf("after %d acknowledged chunks: %v", len(said), err)
	}
	for _, d := range killWorkload() {
		if knows(m, d.id) != found.has(d.id) {
			t.Fatalf("Written(%s) is %v, but its rows say otherwise", d.id, knows(m, d.id))
		}
	}
	mustClose(t, m)
	report, err := partition.Verify(killOptions(dir, durability))
	if err != nil || report.Err() != nil {
		t.Fatalf("verify: %v, %v", err, report.Err())
	}
}

// TestLockEndsWithItsManager: a copy of the lock's descriptor, such as every
// process has between fork and exec that another goroutine starts, does not keep
// the directory locked.
func TestLockEndsWithItsManager(t *testing.T) {
	o := killOptions(t.TempDir(), partition.Power)
	m := mustOpen(t, o)
	copied := 0
	for _, name := range []string{filepath.Join(o.StateDir, "writer.lock"), o.Dir} {
		for fd := range 256 {
			if target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err != nil || target != name {
				continue
			}
			duplicate, err := syscall.Dup(fd)
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(duplicate)
			copied++
			break
		}
	}
	if copied != 2 {
		t.Skip("the descriptors of the locks cannot be found here")
	}
	mustClose(t, m)
	mustClose(t, mustOpen(t, o))
}

// TestSIGKILL kills a real process on a real file system in the middle of one
// operation after the other, and also from outside, wherever that hits; the
// next life goes on in the same directory.
func TestSIGKILL(t *testing.T) {
	for _, durability := range []partition.Durability{partition.Power, partition.Process} {
		t.Run(durability.String(), func(t *testing.T) {
			t.Parallel()
			killed := 0
			dir := t.TempDir()
			for at := 1; ; at += 1 + at/25 {
				said, done := live(t, dir, durability, at, at*37%1000, -1)
				if done {
					break
				}
				killed++
				judgeKilled(t, dir, durability, said)
				if len(said) == len(killWorkload()) {
					dir = t.TempDir()
				}
			}
			for after := 1; after < len(killWorkload()); after += 3 {
				dir := t.TempDir()
				said, done := live(t, dir, durability, 0, 0, after)
				if !done {
					killed++
				}
				judgeKilled(t, dir, durability, said)
			}
			t.Logf("%d deaths", killed)
			if killed < 20 {
				t.Error("too few deaths to prove anything")
			}
		})
	}
}
