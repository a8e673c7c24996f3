package supervisor

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// powerKinds is what the power-loss model has to see.
const powerKinds = kindWrite | kindFsync | kindRename | kindCreate | kindTruncate | kindUnlink | kindMkdir | kindSyncAll

// defaultHistory bounds the bytes of un-synced history when the plan does not.
const defaultHistory = 256 << 20

// powerModel knows what a power cut could take: every change since the file, or for names the directory, was last synced.
//
// It keeps for each change how to undo it and how to do it again. Taking some of them away means to undo all from the first of them on, last first, and to do those again that survive. The model is the strict one of POSIX: fsync of a file makes its contents durable and not its name, fsync of a directory makes its names durable and nothing else; file systems that promise more are covered by the choices in which more survives. What was there when the incarnation began counts as durable.
type powerModel struct {
	limit   int64
	used    int64
	nextID  int64
	changes []*change
	files   map[fileKey]file
	made    file // the number that was given last
	// broken says why the history is not complete, once it is not.
	broken error
}

func newPowerModel(plan interpose.PowerLoss) *powerModel {
	limit := plan.Limit
	if limit == 0 {
		limit = defaultHistory
	}
	return &powerModel{limit: limit, files: make(map[fileKey]file)}
}

// file numbers files from 1, whatever their names. An inode's number will not do: it is given to another file soon after the first is gone.
type file int

// fileKey is how the system tells files apart that exist at the same time.
type fileKey struct{ device, inode uint64 }

func keyOf(st unix.Stat_t) fileKey { return fileKey{uint64(st.Dev), st.Ino} }

// file numbers a file that exists.
func (m *powerModel) file(st unix.Stat_t) file {
	number := m.files[keyOf(st)]
	if number == 0 {
		m.made++
		number = m.made
		m.files[keyOf(st)] = number
	}
	return number
}

// retire forgets the identity of a file that is about to lose a name, if it is the last one.
func (m *powerModel) retire(st unix.Stat_t) {
	if st.Nlink <= 1 || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		delete(m.files, keyOf(st))
	}
}

// change is one un-synced change.
type change struct {
	id    int64
	kind  kind
	file  file   // that it changes, or names; zero for one that is only being made
	path  string // the name, as it is when the change is made and all later ones are undone
	other string // the new name of a rename or link

	// A change of contents.
	offset  int64
	data    []byte // written
	old     []byte // what stood there, or what a shorter length cuts off
	oldSize int64
	newSize int64 // of a truncate

	// A change of names.
	saved    *savedFile // what an unlink removes, a rename replaces, or the undoing of a create takes away
	link     bool       // a create that is a link to path by the name other
	exchange bool
}

func (c *change) named() bool { return c.kind&(kindWrite|kindTruncate) == 0 }

// directories are those whose sync makes a change of names durable.
func (c *change) directories() []string {
	if c.other != "" {
		return []string{path.Dir(c.path), path.Dir(c.other)}
	}
	return []string{path.Dir(c.path)}
}

// newName is the name that a change of names makes, if it makes one.
func (c *change) newName() string {
	if c.other != "" {
		return c.other
	}
	return c.path
}

// add puts a change behind the others, unless the history becomes too long.
func (m *powerModel) add(c *change) {
	m.used += int64(len(c.data) + len(c.old))
	if c.saved != nil {
		m.used += int64(len(c.saved.data))
	}
	if m.used > m.limit {
		m.broken = fmt.Errorf("model power loss: more than %d bytes are not synced: raise the limit or track fewer files", m.limit)
		m.changes = nil
		return
	}
	m.nextID++
	c.id = m.nextID
	m.changes = append(m.changes, c)
}

// list describes what is not synced, in order.
func (m *powerModel) list() []interpose.Unsynced {
	list := make([]interpose.Unsynced, len(m.changes))
	for i, c := range m.changes {
		list[i] = interpose.Unsynced{ID: c.id, Operation: c.kind.operation(), Path: c.path, Other: c.other, Offset: c.offset, Size: int64(len(c.data))}
	}
	return list
}

// adopt finds out the identity of files that were being made when their change was noted.
func (m *powerModel) adopt() {
	for _, c := range m.changes {
		var st unix.Stat_t
		if c.file == 0 && unix.Lstat(c.newName(), &st) == nil {
			c.file = m.file(st)
		}
	}
}

// syncAll makes everything durable.
func (m *powerModel) syncAll() { m.changes, m.used = nil, 0 }

// syncFile makes the contents of a file durable.
func (m *powerModel) syncFile(synced file) {
	m.drop(func(c *change) bool { return !c.named() && c.file == synced })
}

// syncDirectory makes the names of a directory durable.
func (m *powerModel) syncDirectory(directory string) {
	durable := func(c *change) bool { return c.named() && slices.Contains(c.directories(), directory) }
	for i, c := range m.changes {
		if durable(c) {
			m.settleName(c, m.changes[:i])
		}
	}
	m.drop(durable)
}

// settleName brings earlier changes up to date with a change of names that will not be undone any more: they happen to a file that now has another name, or none.
func (m *powerModel) settleName(c *change, earlier []*change) {
	switch {
	case c.kind == kindRename && c.exchange:
		for _, before := range earlier {
			before.path = exchanged(before.path, c.path, c.other)
			before.other = exchanged(before.other, c.path, c.other)
		}
	case c.kind == kindRename:
		for _, before := range earlier {
			if !before.named() && before.file != c.file && before.path == c.other {
				before.kind = 0 // its file was replaced
				continue
			}
			before.path = moved(before.path, c.path, c.other)
			before.other = moved(before.other, c.path, c.other)
		}
	case c.kind == kindUnlink:
		for _, before := range earlier {
			if !before.named() && before.path == c.path {
				before.kind = 0
			}
		}
	}
}

func moved(name, from, to string) string {
	if rest, below := strings.CutPrefix(name, from); below && (rest == "" || rest[0] == '/') {
		return to + rest
	}
	return name
}

func exchanged(name, one, two string) string {
	if after := moved(name, one, two); after != name {
		return after
	}
	return moved(name, two, one)
}

// drop forgets changes that have become durable, and those without effect.
func (m *powerModel) drop(durable func(*change) bool) {
	m.changes = slices.DeleteFunc(m.changes, func(c *change) bool {
		if c.kind != 0 && !durable(c) {
			return false
		}
		m.used -= int64(len(c.data) + len(c.old))
		if c.saved != nil {
			m.used -= int64(len(c.saved.data))
		}
		return true
	})
}

// survivors says which changes a power cut leaves.
func (m *powerModel) survivors(choice interpose.Lose) (map[int64]bool, error) {
	if beyond := max(choice.Index, choice.Count); beyond > len(m.changes) {
		return nil, fmt.Errorf("lose: there is no un-synced change %d: there are %d", beyond, len(m.changes))
	}
	survive := make(map[int64]bool, len(m.changes))
	random := rand.New(rand.NewPCG(choice.Seed, uint64(len(m.changes))))
	for i, c := range m.changes {
		switch choice.Survive {
		case "none":
		case "all":
			survive[c.id] = true
		case "only":
			survive[c.id] = slices.Contains(choice.IDs, c.id)
		case "except":
			survive[c.id] = !slices.Contains(choice.IDs, c.id)
		case "keep":
			survive[c.id] = i+1 == choice.Index
		case "drop":
			survive[c.id] = i+1 != choice.Index
		case "prefix":
			survive[c.id] = i < choice.Count
		case "seed":
			survive[c.id] = random.IntN(2) == 0
		default:
			return nil, fmt.Errorf("lose: unknown choice %q: want none, all, only, except, keep, drop, prefix or seed", choice.Survive)
		}
	}
	return survive, nil
}

// lose takes the changes away that do not survive and returns them, with those that cannot stand without them.
func (m *powerModel) lose(choice interpose.Lose) ([]int64, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	survive, err := m.survivors(choice)
	if err != nil {
		return nil, err
	}
	m.adopt()
	first := slices.IndexFunc(m.changes, func(c *change) bool { return !survive[c.id] })
	if first < 0 {
		return nil, nil
	}
	undone := m.changes[first:]
	for _, c := range slices.Backward(undone) {
		if err := c.undo(survive[c.id], m.limit); err != nil {
			return nil, fmt.Errorf("undo un-synced %s of %s: %w", c.kind.operation(), c.path, err)
		}
	}
	lost, err := redo(undone, survive)
	m.changes = m.changes[:0]
	return lost, err
}

// redo makes the surviving changes again, in order. A change of a file whose name did not survive is lost with it.
func redo(changes []*change, survive map[int64]bool) (lost []int64, err error) {
	names := namesBefore(changes)
	for _, c := range changes {
		name, exists := names[c.file]
		if c.kind&(kindCreate|kindMkdir) != 0 && !c.link {
			name, exists = c.path, true
		}
		if !survive[c.id] || !exists {
			lost = append(lost, c.id)
			continue
		}
		done, err := c.redo(name)
		if err != nil {
			return lost, fmt.Errorf("redo un-synced %s of %s: %w", c.kind.operation(), name, err)
		}
		if !done {
			lost = append(lost, c.id)
			continue
		}
		if c.named() {
			rename(names, c)
		}
	}
	return lost, nil
}

// rename follows a change of names. What had the new name before has none any more.
func rename(names map[file]string, c *change) {
	switch {
	case c.exchange:
		for other, name := range names {
			names[other] = exchanged(name, c.path, c.other)
		}
		return
	case c.kind == kindUnlink:
		delete(names, c.file)
		return
	}
	for other, name := range names {
		if name == c.newName() && !c.link {
			delete(names, other)
		}
	}
	names[c.file] = c.newName()
}

// namesBefore is each file's name before the first of the changes; a file that they make has none.
func namesBefore(changes []*change) map[file]string {
	names, made := make(map[file]string), make(map[file]bool)
	for _, c := range changes {
		if c.kind == kindCreate && !c.link {
			made[c.file] = true
		}
		if _, known := names[c.file]; !known && !made[c.file] {
			names[c.file] = c.path
		}
	}
	return names
}
