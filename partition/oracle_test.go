package partition_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

const (
	dataDir  = "/data/partitions"
	stateDir = "/data/state"
	header   = "user_id,name"
)

// delivery is a chunk as its sender knows it.
type delivery struct {
	id, prefix string
	rows       []row
}

type row struct {
	partition int
	text      string
}

func (d delivery) chunk() *partition.Chunk {
	c := partition.NewChunk(d.id, d.prefix)
	for _, r := range d.rows {
		if err := c.Add(r.partition, []byte(r.text)); err != nil {
			panic(err)
		}
	}
	return c
}

func chunksOf(group []delivery) []*partition.Chunk {
	var chunks []*partition.Chunk
	for _, d := range group {
		chunks = append(chunks, d.chunk())
	}
	return chunks
}

// model is what the files must hold after a sequence of groups: the oracle
// knows every byte, because blocks stand in the order of their commits.
type model struct {
	files     map[string]string // partition files, by path
	ids       []string
	processed string
	written   string
}

func newModel() model { return model{files: map[string]string{}} }

func (m model) has(id string) bool { return slices.Contains(m.ids, id) }

// apply returns the model after one group, and which of it were duplicates.
func (m model) apply(group []delivery) (model, []bool) {
	next := model{files: maps.Clone(m.files), ids: slices.Clone(m.ids), processed: m.processed, written: m.written}
	duplicates := make([]bool, len(group))
	for i, d := range group {
		if next.has(d.id) {
			duplicates[i] = true
			continue
		}
		next.ids = append(next.ids, d.id)
		next.processed += d.id + "\n"
		blocks := map[int]string{}
		for _, r := range d.rows {
			blocks[r.partition] += r.text + "\n"
		}
		for _, p := range slices.Sorted(maps.Keys(blocks)) {
			block := blocks[p]
			path := fmt.Sprintf("%s/%s-partition-%03d.csv", dataDir, d.prefix, p)
			if next.files[path] == "" {
				next.files[path] = header + "\n"
			}
			next.files[path] += block
			next.written += fmt.Sprintf("%d:%s\n", p, d.id)
		}
	}
	return next, duplicates
}

func (m model) equal(other model) bool {
	return maps.Equal(m.files, other.files) && slices.Equal(m.ids, other.ids)
}

// difference compares the files of a disk with the model.
func (m model) difference(disk *crashfs.FS) string {
	want := map[string]string{}
	for path, contents := range m.files {
		want[path] = contents
	}
	want[stateDir+"/processed-chunks.txt"] = m.processed
	want[stateDir+"/written-partition-chunks.txt"] = m.written
	got := map[string]string{}
	for path, contents := range disk.Files() {
		if strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".txt") {
			got[path] = contents
		}
	}
	for _, files := range []map[string]string{want, got} {
		maps.DeleteFunc(files, func(_, contents string) bool { return contents == "" })
	}
	return cmp.Diff(want, got)
}

// choose finds the one of the allowed models that the disk holds.
func choose(disk *crashfs.FS, allowed []model) (model, error) {
	var differences []string
	for _, m := range allowed {
		difference := m.difference(disk)
		if difference == "" {
			return m, nil
		}
		differences = append(differences, difference)
	}
	return model{}, fmt.Errorf("the files hold none of the %d allowed states; differences (-want +got):\n%s",
		len(allowed), strings.Join(differences, "\nor\n"))
}

// with returns the allowed states when a group may or may not have been
// committed on top of them.
func with(allowed []model, group []delivery) []model {
	all := slices.Clone(allowed)
	for _, m := range allowed {
		next, _ := m.apply(group)
		if !slices.ContainsFunc(all, next.equal) {
			all = append(all, next)
		}
	}
	return all
}

func options(disk partition.FS, durability partition.Durability) partition.Options {
	return partition.Options{
		Dir: dataDir, StateDir: stateDir, Partitions: 3, Header: header,
		Durability: durability, FS: disk, JournalBytes: 1 << 10, OpenFiles: 4, Sequential: true,
	}
}

// judge opens what a crash left, checks that the files hold one of the allowed
// states, delivers everything again, and checks that nothing but what was
// missing is added; then it closes, verifies, and loses power once more.
func judge(disk *crashfs.FS, o partition.Options, allowed []model, everything []delivery) error {
	if between, ok := o.FS.(*later); ok {
		between.FS = disk
	} else {
		o.FS = disk
	}
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	found, err := choose(disk, allowed)
	if err != nil {
		return fmt.Errorf("after opening: %w", err)
	}
	for _, d := range everything {
		if knows(m, d.id) != found.has(d.id) {
			return fmt.Errorf("Written(%q) is %v, but its rows say otherwise", d.id, knows(m, d.id))
		}
	}
	again := append(slices.Clone(everything), delivery{id: "afterwards", prefix: "A", rows: []row{{0, "1,last"}, {2, "2,last"}}})
	for group := range slices.Chunk(again, 3) {
		next, duplicates := found.apply(group)
		results, err := m.Write(context.Background(), chunksOf(group))
		if err != nil {
			return fmt.Errorf("write after the crash: %w", err)
		}
		for i, r := range results {
			if r.ID != group[i].id || r.Duplicate != duplicates[i] {
				return fmt.Errorf("result %+v after the crash, want duplicate %v of %q", r, duplicates[i], group[i].id)
			}
		}
		found = next
		if difference := found.difference(disk); difference != "" {
			return fmt.Errorf("files after delivering again (-want +got):\n%s", difference)
		}
	}
	if err := m.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return judgeClosed(disk, o, found)
}

// judgeClosed checks what Close promises, whatever the durability: the files
// are as they should be, agree with each other, and lose nothing with the
// power.
func judgeClosed(disk *crashfs.FS, o partition.Options, want model) error {
	after := disk.Crash(crashfs.Nothing{})
	o.FS = after
	if difference := want.difference(after); difference != "" {
		return fmt.Errorf("files after Close and power loss (-want +got):\n%s", difference)
	}
	report, err := partition.Verify(o)
	if err := errors.Join(err, report.Err()); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if report.Chunks != len(want.ids) {
		return fmt.Errorf("verify counts %d chunks, want %d", report.Chunks, len(want.ids))
	}
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("open after Close: %w", err)
	}
	if r := m.Recovery(); r.Replayed != 0 || len(r.Repaired) != 0 || r.JournalCut != nil || r.Adopted != nil {
		return fmt.Errorf("opening after Close found work: %+v", r)
	}
	if difference := want.difference(after); difference != "" {
		return fmt.Errorf("files after opening again (-want +got):\n%s", difference)
	}
	return m.Close()
}

func mustOpen(t *testing.T, o partition.Options) *partition.Manager {
	t.Helper()
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustWrite(t *testing.T, m *partition.Manager, group ...delivery) []partition.Result {
	t.Helper()
	results, err := m.Write(context.Background(), chunksOf(group))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func mustClose(t *testing.T, m *partition.Manager) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// knows is Manager.Written where no error is expected.
func knows(m *partition.Manager, id string) bool {
	written, err := m.Written(id)
	if err != nil {
		panic(err)
	}
	return written
}
