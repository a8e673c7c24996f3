// Package crashfs is a file system in memory that can be crashed: it knows for
// every file which bytes were synced and for every directory which names were,
// and a crash keeps those, and of the rest what the test chooses. It shows
// every operation to the test before doing it, so that a fault or a crash can
// be put at each. The idea is that of the strict memory file system of
// CockroachDB's Pebble, extended to crashes that keep arbitrary parts of what
// was not synced.
//
// It leaves permissions, links and times to others.
package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/killpoint/killpoint/partition"
)

// Kind names an operation.
type Kind string

// The operations, each once.
const (
	Open     Kind = "open"
	Create   Kind = "create"
	Mkdir    Kind = "mkdir"
	Rename   Kind = "rename"
	List     Kind = "list"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
	Read     Kind = "read"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Size     Kind = "size"
	Sync     Kind = "sync"
	Close    Kind = "close"
)

// Changes says whether the operation can change what a crash leaves behind.
func (k Kind) Changes() bool {
	switch k {
	case Open, List, Lock, Read, Size, Close:
		return false
	}
	return true
}

// Op is one operation, as it is about to be done.
type Op struct {
	Number int // from 1, over the life of the FS
	Kind   Kind
	Name   string
	Offset int64  // of a read, write or truncate
	Data   []byte // of a write; for a read, where it goes
}

func (o Op) String() string {
	switch o.Kind {
	case Read, Write:
		return fmt.Sprintf("%d:%s %s [%d,+%d)", o.Number, o.Kind, filepath.Base(o.Name), o.Offset, len(o.Data))
	}
	return fmt.Sprintf("%d:%s %s", o.Number, o.Kind, filepath.Base(o.Name))
}

// Fault is what happens to an operation instead.
type Fault struct {
	// Err is returned. A file's sync that fails drops what it should have
	// synced: the bytes stay visible, but no later sync makes them durable, as
	// on Linux.
	Err error
	// Keep is how many bytes of a read or write are done. With a nil Err the
	// operation is short; with Keep at the full length it is as usual.
	Keep int
	// Done lets a renaming that reports Err happen all the same.
	Done bool
	// Crash makes this operation, after Keep bytes, and all later ones fail
	// with ErrCrashed.
	Crash bool
}

// ErrCrashed is what every operation returns after a crash.
var ErrCrashed = errors.New("the machine crashed")

// FS is a file system in memory. It satisfies partition.FS.
type FS struct {
	// Before is asked before every operation; nil lets it pass. It is called
	// without any lock held, so it may Clone the file system.
	Before func(Op) *Fault

	mu      sync.Mutex
	root    *node
	locked  map[*node]bool
	number  int
	crashed bool
}

var _ partition.FS = (*FS)(nil)

// node is a file or a directory.
type node struct {
	dir     bool
	current []byte // as everybody sees it
	durable []byte // as it was synced last
	pending []change

	names        map[string]*node
	durableNames map[string]*node
	pendingNames []nameChange
}

// change is a write or, with nil data, a truncation, that was not synced.
type change struct {
	offset   int64
	data     []byte
	truncate bool
}

// nameChange is a creation or a renaming that was not synced.
type nameChange struct {
	name string
	node *node
	from string // of a renaming, else ""
}

// New returns an empty file system with a durable root.
func New() *FS { return &FS{root: newDir(), locked: map[*node]bool{}} }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durableNames: map[string]*node{}}
}

// Operations counts what was done so far.
func (f *FS) Operations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.number
}

// begin counts an operation and asks the test about it.
func (f *FS) begin(op Op) (Fault, error) {
	f.mu.Lock()
	f.number++
	op.Number = f.number
	crashed, before := f.crashed, f.Before
	f.mu.Unlock()
	if crashed {
		return Fault{}, &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: ErrCrashed}
	}
	fault := Fault{Keep: len(op.Data)}
	if before != nil {
		if chosen := before(op); chosen != nil {
			fault = *chosen
		}
	}
	if fault.Crash {
		f.mu.Lock()
		f.crashed = true
		f.mu.Unlock()
		fault.Err = ErrCrashed
	}
	if fault.Err != nil {
		fault.Err = &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fault.Err}
	}
	return fault, fault.Err
}

// find walks to a path.
func (f *FS) find(name string) (*node, error) {
	at := f.root
	for _, part := range split(name) {
		if !at.dir {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
		}
		next := at.names[part]
		if next == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		at = next
	}
	return at, nil
}

func split(name string) []string {
	var parts []string
	for name = filepath.Clean("/" + name); name != "/"; name = filepath.Dir(name) {
		parts = append(parts, filepath.Base(name))
	}
	slices.Reverse(parts)
	return parts
}

func (f *FS) Open(name string) (partition.File, error) {
	if _, err := f.begin(Op{Kind: Open, Name: name}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, name: name, node: n}, nil
}

func (f *FS) OpenRead(name string) (partition.File, error) {
	opened, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	opened.(*file).readOnly = true
	return opened, nil
}

func (f *FS) Create(name string) (partition.File, error) {
	if _, err := f.begin(Op{Kind: Create, Name: name}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.add(name, &node{})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &file{fs: f, name: name, node: n}, nil
}

func (f *FS) Mkdir(name string) error {
	if _, err := f.begin(Op{Kind: Mkdir, Name: name}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.add(name, newDir())
	return err
}

// add gives a node a name, or finds the one that has it.
func (f *FS) add(name string, n *node) (*node, error) {
	parent, err := f.find(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	base := filepath.Base(name)
	if there := parent.names[base]; there != nil {
		return there, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	parent.change(nameChange{name: base, node: n})
	return n, nil
}

func (f *FS) Rename(oldname, newname string) error {
	fault, failure := f.begin(Op{Kind: Rename, Name: newname})
	if failure != nil && !fault.Done {
		return failure
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(oldname)
	if err != nil {
		return err
	}
	parent, err := f.find(filepath.Dir(newname))
	if err != nil {
		return err
	}
	parent.change(nameChange{name: filepath.Base(newname), node: n, from: filepath.Base(oldname)})
	return failure
}

func (n *node) change(c nameChange) {
	c.apply(n.names)
	n.pendingNames = append(n.pendingNames, c)
}

func (c nameChange) apply(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	names[c.name] = c.node
}

func (f *FS) List(dir string) ([]string, error) {
	if _, err := f.begin(Op{Kind: List, Name: dir}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range n.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (f *FS) SyncDir(dir string) error {
	_, failure := f.begin(Op{Kind: SyncDir, Name: dir})
	if errors.Is(failure, ErrCrashed) {
		return failure
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(dir)
	if err != nil {
		return err
	}
	if failure != nil {
		return failure
	}
	for _, c := range n.pendingNames {
		c.apply(n.durableNames)
	}
	n.pendingNames = nil
	return nil
}

// lock is held until it is closed or the file system is cloned.
type lock struct {
	fs   *FS
	node *node
}

func (f *FS) Lock(name string) (io.Closer, error) {
	if _, err := f.begin(Op{Kind: Lock, Name: name}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.add(name, &node{})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if f.locked[n] {
		return nil, fmt.Errorf("lock %s: %w", name, partition.ErrLocked)
	}
	f.locked[n] = true
	return &lock{f, n}, nil
}

func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locked, l.node)
	return nil
}

// file is an open handle.
type file struct {
	fs       *FS
	name     string
	node     *node
	readOnly bool
	closed   bool
}

func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	fault, err := f.fs.begin(Op{Kind: Read, Name: f.name, Offset: offset, Data: p})
	if err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if offset >= int64(len(f.node.current)) {
		return 0, io.EOF
	}
	n := copy(p[:fault.Keep], f.node.current[offset:])
	if fault.Keep == len(p) && n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	fault, err := f.fs.begin(Op{Kind: Write, Name: f.name, Offset: offset, Data: p})
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed || f.readOnly {
		return 0, fs.ErrClosed
	}
	if fault.Keep > 0 {
		f.node.write(change{offset: offset, data: slices.Clone(p[:fault.Keep])})
	}
	return fault.Keep, err
}

func (f *file) Truncate(size int64) error {
	if _, err := f.fs.begin(Op{Kind: Truncate, Name: f.name, Offset: size}); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed || f.readOnly {
		return fs.ErrClosed
	}
	f.node.write(change{offset: size, truncate: true})
	return nil
}

func (n *node) write(c change) {
	n.current = c.apply(n.current)
	n.pending = append(n.pending, c)
}

func (c change) apply(data []byte) []byte {
	if c.truncate {
		return resize(data, c.offset)
	}
	if end := c.offset + int64(len(c.data)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[c.offset:], c.data)
	return data
}

// resize cuts data or fills it up with zeros.
func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func (f *file) Size() (int64, error) {
	if _, err := f.fs.begin(Op{Kind: Size, Name: f.name}); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.current)), nil
}

func (f *file) SyncData() error {
	_, failure := f.fs.begin(Op{Kind: Sync, Name: f.name})
	if errors.Is(failure, ErrCrashed) {
		return failure
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	if failure == nil {
		for _, c := range f.node.pending {
			f.node.durable = c.apply(f.node.durable)
		}
	}
	f.node.pending = nil
	return failure
}

func (f *file) Close() error {
	if _, err := f.fs.begin(Op{Kind: Close, Name: f.name}); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
