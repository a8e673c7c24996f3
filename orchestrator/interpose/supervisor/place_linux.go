package supervisor

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// maxPlaces bounds how many paths are remembered; beyond it paths that nothing asks for are forgotten.
const maxPlaces = 1 << 16

// place is a path that the program used, with what the plan wants of it, found out once.
type place struct {
	path string
	// points has bit i set where the path of point i matches.
	points   uint64
	recorded bool
	tracked  bool // by the power-loss model
	changing bool // the first change of it is to be noted
	socket   bool
	// suspect marks a path that ends as the kernel marks a file without a name.
	suspect bool
	// occurrences counts recorded operations by kind.
	occurrences map[kind]int
}

func (p *place) wanted() bool { return p.points != 0 || p.recorded || p.tracked || p.changing }

// pattern is a glob and the same glob with the symbolic links of its fixed part followed, because the kernel names files by their real path.
type pattern struct{ given, real string }

func newPattern(given string) pattern {
	base, rest := doublestar.SplitPattern(filepath.Clean(given))
	return pattern{given: filepath.Clean(given), real: filepath.Join(realPath(base), rest)}
}

// realPath follows the symbolic links of the part of the path that exists.
func realPath(path string) string {
	for missing := ""; ; {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(real, missing)
		}
		if path == "/" || path == "." {
			return filepath.Join(path, missing)
		}
		missing = filepath.Join(filepath.Base(path), missing)
		path = filepath.Dir(path)
	}
}

func (p pattern) matches(path string) bool {
	return doublestar.MatchUnvalidated(p.given, path) || p.real != p.given && doublestar.MatchUnvalidated(p.real, path)
}

func matchesAny(patterns []pattern, path string) bool {
	for _, p := range patterns {
		if p.matches(path) {
			return true
		}
	}
	return false
}

func newPatterns(globs []string) []pattern {
	patterns := make([]pattern, len(globs))
	for i, glob := range globs {
		patterns[i] = newPattern(glob)
	}
	return patterns
}

// places remembers every path seen and what the plan wants of it.
type places struct {
	known    map[string]*place
	points   []pattern // of the plan's points; an AMQP point has an empty one that matches nothing
	record   []pattern
	all      bool // record every path
	tracked  []pattern
	original *originals        // nil when the plan does not ask for them
	standard map[string]string // what the interposer's own stdout and stderr are → the name under which they count
}

func newPlaces(plan interpose.Plan) *places {
	ps := &places{known: make(map[string]*place), standard: standardStreams()}
	for _, point := range plan.Points {
		if point.Operation.AMQP() {
			ps.points = append(ps.points, pattern{})
			continue
		}
		ps.points = append(ps.points, newPattern(point.Path))
	}
	if plan.Record != nil {
		ps.record = newPatterns(plan.Record.Paths)
		ps.all = len(plan.Record.Paths) == 0
	}
	if plan.PowerLoss != nil {
		ps.tracked = newPatterns(trackedDirectories(plan.PowerLoss.Paths))
	}
	return ps
}

// get finds the place of a path given as bytes, without allocating for one that is known.
func (ps *places) get(path []byte) *place {
	if p := ps.known[string(path)]; p != nil {
		return p
	}
	return ps.add(string(path))
}

func (ps *places) add(link string) *place {
	if len(ps.known) >= maxPlaces {
		for key, p := range ps.known {
			if !p.wanted() {
				delete(ps.known, key)
			}
		}
	}
	p := &place{path: link, socket: strings.HasPrefix(link, "socket:")}
	if name := ps.standard[link]; name != "" {
		p.path = name
	}
	p.suspect = strings.HasSuffix(link, deletedSuffix)
	ps.judge(p)
	ps.known[link] = p
	return p
}

func (ps *places) judge(p *place) {
	if !strings.HasPrefix(p.path, "/") {
		return // a pipe, a socket, an event descriptor
	}
	for i, pattern := range ps.points {
		if pattern.given != "" && pattern.matches(p.path) {
			p.points |= 1 << i
		}
	}
	p.recorded = ps.all || matchesAny(ps.record, p.path)
	p.tracked = matchesAny(ps.tracked, p.path)
	p.changing = ps.original != nil && ps.original.covers(p.path)
}

// deletedSuffix is how the kernel marks, in /proc, a file that has no name any more.
const deletedSuffix = " (deleted)"

// standardStreams names the interposer's own output, which the program inherits, so that a point can be a line on stdout. Only what is no file has such a name: a file keeps its own.
func standardStreams() map[string]string {
	streams := make(map[string]string)
	for descriptor, name := range map[int]string{2: "/dev/stderr", 1: "/dev/stdout"} {
		var st unix.Stat_t
		if unix.Fstat(descriptor, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFREG {
			continue
		}
		link, err := os.Readlink("/proc/self/fd/" + string(rune('0'+descriptor)))
		if err != nil || link == "/dev/null" || streams[link] == "/dev/stdout" {
			continue
		}
		streams[link] = name
	}
	return streams
}
