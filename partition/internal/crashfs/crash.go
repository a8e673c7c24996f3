package crashfs

import (
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
)

// Survivors chooses what a power loss leaves of what was not synced.
type Survivors interface {
	// Name says whether a new name survives.
	Name() bool
	// Truncation says whether a cut survives.
	Truncation() bool
	// Write returns the parts of a write that survive, as ranges of its bytes,
	// and whether the file is as long as if it had survived whole.
	Write(length int) (parts [][2]int, grown bool)
}

// Nothing keeps only what was synced.
type Nothing struct{}

func (Nothing) Name() bool                 { return false }
func (Nothing) Truncation() bool           { return false }
func (Nothing) Write(int) ([][2]int, bool) { return nil, false }
func (Nothing) String() string             { return "power loss, nothing unsynced survives" }

// Everything keeps all that was written: a process that died, or a machine
// whose cache was flushed just in time.
type Everything struct{}

func (Everything) Name() bool                        { return true }
func (Everything) Truncation() bool                  { return true }
func (Everything) Write(length int) ([][2]int, bool) { return [][2]int{{0, length}}, true }
func (Everything) String() string                    { return "everything survives" }

// NamesOnly keeps names, cuts and lengths, but no byte: files full of zeros.
type NamesOnly struct{}

func (NamesOnly) Name() bool                 { return true }
func (NamesOnly) Truncation() bool           { return true }
func (NamesOnly) Write(int) ([][2]int, bool) { return nil, true }
func (NamesOnly) String() string             { return "power loss, names and lengths survive" }

// BytesOnly keeps bytes, but no name and no cut.
type BytesOnly struct{}

func (BytesOnly) Name() bool                        { return false }
func (BytesOnly) Truncation() bool                  { return false }
func (BytesOnly) Write(length int) ([][2]int, bool) { return [][2]int{{0, length}}, true }
func (BytesOnly) String() string                    { return "power loss, bytes survive" }

// Some keeps a subset that follows from a seed.
type Some struct {
	seed   uint64
	random *rand.Rand
}

// Seeded returns the subset of a seed.
func Seeded(seed uint64) *Some {
	return &Some{seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
}

func (s *Some) Name() bool       { return s.random.IntN(2) == 0 }
func (s *Some) Truncation() bool { return s.random.IntN(2) == 0 }
func (s *Some) String() string   { return fmt.Sprintf("power loss, subset of seed %d survives", s.seed) }

// Write keeps all, nothing, a front, a back, or a few pieces.
func (s *Some) Write(length int) (parts [][2]int, grown bool) {
	grown = s.random.IntN(2) == 0
	cut := s.random.IntN(length + 1)
	switch s.random.IntN(5) {
	case 0:
		return nil, grown
	case 1:
		return [][2]int{{0, length}}, grown
	case 2:
		return [][2]int{{0, cut}}, grown
	case 3:
		return [][2]int{{cut, length}}, grown
	}
	for at := 0; at < length; {
		end := min(at+1+s.random.IntN(length), length)
		if s.random.IntN(2) == 0 {
			parts = append(parts, [2]int{at, end})
		}
		at = end
	}
	return parts, grown
}

// Clone copies the file system as it is, with what is unsynced, without locks,
// handles and faults.
func (f *FS) Clone() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &FS{root: f.root.clone(map[*node]*node{}), locked: map[*node]bool{}}
}

func (n *node) clone(done map[*node]*node) *node {
	if n == nil {
		return nil
	}
	if copied := done[n]; copied != nil {
		return copied
	}
	c := &node{dir: n.dir, current: slices.Clone(n.current), durable: slices.Clone(n.durable), pending: slices.Clone(n.pending)}
	done[n] = c
	if n.dir {
		c.names, c.durableNames = map[string]*node{}, map[string]*node{}
		for name, child := range n.names {
			c.names[name] = child.clone(done)
		}
		for name, child := range n.durableNames {
			c.durableNames[name] = child.clone(done)
		}
		for _, change := range n.pendingNames {
			change.node = change.node.clone(done)
			c.pendingNames = append(c.pendingNames, change)
		}
	}
	return c
}

// Tear writes the front of a write that a crash interrupts.
func (f *FS) Tear(op Op, keep int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err := f.find(op.Name); err == nil && keep > 0 {
		n.write(change{offset: op.Offset, data: slices.Clone(op.Data[:keep])})
	}
}

// Crash returns what a process that starts after the crash finds; for a power
// loss that is what was synced and what survivors keep of the rest. Everything
// in it is durable then.
func (f *FS) Crash(survivors Survivors) *FS {
	c := f.Clone()
	c.root.crash(survivors)
	return c
}

// KillProcess returns what the next process finds after SIGKILL: all that was
// written is there, and what was not synced still is not.
func (f *FS) KillProcess() *FS { return f.Clone() }

func (n *node) crash(survivors Survivors) {
	if !n.dir {
		for _, c := range n.pending {
			n.durable = c.survive(n.durable, survivors)
		}
		n.current, n.pending = slices.Clone(n.durable), nil
		return
	}
	for _, c := range n.pendingNames {
		if survivors.Name() {
			c.apply(n.durableNames)
		}
	}
	n.pendingNames = nil
	n.names = maps.Clone(n.durableNames)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].crash(survivors)
	}
}

func (c change) survive(data []byte, survivors Survivors) []byte {
	if c.truncate {
		if survivors.Truncation() {
			return c.apply(data)
		}
		return data
	}
	parts, grown := survivors.Write(len(c.data))
	for _, part := range parts {
		data = change{offset: c.offset + int64(part[0]), data: c.data[part[0]:part[1]]}.apply(data)
	}
	if end := c.offset + int64(len(c.data)); grown && end > int64(len(data)) {
		data = resize(data, end)
	}
	return data
}

// Files returns the contents of every file, by path.
func (f *FS) Files() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	files := map[string]string{}
	f.root.collect("", files)
	return files
}

func (n *node) collect(path string, files map[string]string) {
	if !n.dir {
		files[path] = string(n.current)
		return
	}
	for name, child := range n.names {
		child.collect(path+"/"+name, files)
	}
}

// Put writes a file that is durable, for a test to begin with.
func (f *FS) Put(path, contents string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.root
	parts := split(path)
	for i, part := range parts {
		next := at.names[part]
		if next == nil {
			next = &node{}
			if i < len(parts)-1 {
				next = newDir()
			}
			at.names[part], at.durableNames[part] = next, next
		}
		at = next
	}
	at.current, at.durable, at.pending = []byte(contents), []byte(contents), nil
}

// Fingerprint is equal for file systems that a program cannot tell apart, now
// or after a crash.
func (f *FS) Fingerprint() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := fnv.New64a()
	f.root.describe(h, "")
	return h.Sum64()
}

func (n *node) describe(w io.Writer, path string) {
	fmt.Fprintf(w, "%s %v %d %d\n", path, n.dir, len(n.current), len(n.durable))
	writeSum(w, n.current)
	writeSum(w, n.durable)
	for _, c := range n.pending {
		fmt.Fprintf(w, " %d %d %v\n", c.offset, len(c.data), c.truncate)
		writeSum(w, c.data)
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].describe(w, path+"/"+name)
	}
	for _, name := range slices.Sorted(maps.Keys(n.durableNames)) {
		fmt.Fprintf(w, " durable %s %v\n", name, n.names[name] == n.durableNames[name])
	}
	for _, c := range n.pendingNames {
		fmt.Fprintf(w, " name %s from %q\n", c.name, c.from)
	}
}

var seed = maphash.MakeSeed()

// writeSum stands for the bytes themselves, which are too many.
func writeSum(w io.Writer, data []byte) {
	fmt.Fprintf(w, "%x\n", maphash.Bytes(seed, data))
}
