package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
)

// Folder is where runs are saved, a folder a run. One that nobody named is
// temporary, and only runs that did not pass stay in it.
type Folder struct {
	Root      string
	Temporary bool
	// running is where histories grow before they get their place in Root.
	running string
}

// NewFolder makes the folder; an empty root is a temporary one.
func NewFolder(root string) (*Folder, error) {
	f := &Folder{Root: root, Temporary: root == ""}
	var err error
	if f.Temporary {
		f.Root, err = os.MkdirTemp("", "killpoint-")
	} else {
		err = os.MkdirAll(f.Root, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("create folder for reports: %w", err)
	}
	if f.running, err = os.MkdirTemp(f.Root, ".running-"); err != nil {
		return nil, fmt.Errorf("create folder for reports: %w", err)
	}
	return f, nil
}

// Close leaves nothing behind that no result names.
func (f *Folder) Close() {
	os.RemoveAll(f.running)
	if f.Temporary {
		os.Remove(f.Root) // it stays when a run's report is in it
	}
}

// save gives a run its folder and sets where that is. A run that passed and
// whose report nobody asked for leaves none.
func (f *Folder) save(next Job, h *history.History, result *report.Result) error {
	folder := next.Folder
	if folder == "" && f.Temporary && result.Outcome == report.Passed {
		if h.Dir == "" {
			return nil
		}
		return os.RemoveAll(h.Dir)
	}
	if folder == "" {
		folder = filepath.Join(f.Root, FolderName(next.Name))
	}
	f.adopt(h, folder)
	result.Report = folder
	return report.Save(folder, next.Scenario, h, *result)
}

// adopt moves a history's folder to its place, and with it the collected
// files, which may be large. An older report of the same scenario makes room.
// Where moving is not possible, saving copies the files.
func (f *Folder) adopt(h *history.History, folder string) {
	inside, err := filepath.Rel(f.running, h.Dir)
	if err != nil || inside == "." || strings.HasPrefix(inside, "..") {
		return
	}
	if report.IsSaved(folder) {
		os.RemoveAll(folder)
	}
	if err := os.Rename(h.Dir, folder); err == nil {
		h.Dir = folder
	}
}

// FolderName keeps what is safe in a folder's name on every system.
func FolderName(name string) string {
	safe := strings.Map(func(char rune) rune {
		if char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || strings.ContainsRune("-_.", char) {
			return char
		}
		return '-'
	}, name)
	// Neither a hidden folder nor the one above.
	if safe = strings.TrimLeft(safe, "."); safe == "" {
		return "run"
	}
	return safe
}
