package explore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoWhole says that campaigns are not parts of one.
var ErrNoWhole = errors.New("not parts of one campaign")

// MergeFolders joins the campaigns of several folders into one in another
// folder, as if it had been run in one piece: shards of a campaign, or the same
// part run twice, of which the later folder counts.
func MergeFolders(into string, folders []string) (*Campaign, error) {
	if IsCampaign(into) {
		return nil, fmt.Errorf("%w: %s: name another folder", ErrOtherCampaign, into)
	}
	var whole *saved
	for _, folder := range folders {
		part, err := load(folder)
		switch {
		case err != nil:
			return nil, err
		case part == nil:
			return nil, fmt.Errorf("merge campaigns: %s holds none", folder)
		}
		part.Settings.Shard = Shard{}
		if whole == nil {
			whole = part
			continue
		}
		if err := whole.belongs(part); err != nil {
			return nil, fmt.Errorf("merge campaigns: %s: %w", folder, err)
		}
	}
	if whole == nil {
		return nil, errors.New("merge campaigns: none is named")
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return nil, fmt.Errorf("merge campaigns: %w", err)
	}
	if err := mergeJournals(into, folders); err != nil {
		return nil, err
	}
	if err := save(into, whole); err != nil {
		return nil, err
	}
	return Load(into)
}

// belongs says whether another campaign is a part of the same.
func (s *saved) belongs(other *saved) error {
	if difference := s.Settings.differs(other.Settings); difference != "" {
		return fmt.Errorf("%w: %s", ErrNoWhole, difference)
	}
	if s.Content != other.Content {
		return fmt.Errorf("%w: the scenario says something else", ErrNoWhole)
	}
	both := []Recording{s.Recording, other.Recording}
	merged, differs := Merge(both, Rules{Collected: s.Collected}.Matters(both))
	if differs.String() != "" {
		return fmt.Errorf("%w: %s", ErrNoWhole, differs)
	}
	s.Recording = merged
	return nil
}

// mergeJournals puts the journals of all folders one behind the other, and
// takes the saved runs over that they name.
func mergeJournals(into string, folders []string) (err error) {
	journal, err := OpenJournal(filepath.Join(into, journalFile), func(int64, Entry) error { return nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	for number, folder := range folders {
		part, err := OpenJournal(filepath.Join(folder, journalFile), func(_ int64, entry Entry) error {
			if err := adoptRun(into, folder, number+1, &entry); err != nil {
				return err
			}
			_, err := journal.Add(entry)
			return err
		})
		if err != nil {
			return err
		}
		if err := part.Close(); err != nil {
			return err
		}
	}
	return nil
}

// adoptRun copies the saved run that an entry names, under a name that is not
// taken by another part's.
func adoptRun(into, folder string, number int, entry *Entry) error {
	var run *string
	switch {
	case entry.Confirmation != nil:
		run = &entry.Confirmation.Report
	case entry.Smallest != nil:
		run = &entry.Smallest.Report
	}
	if run == nil || *run == "" {
		return nil
	}
	name := filepath.Join(runsFolder, fmt.Sprintf("%s.%d", filepath.Base(*run), number))
	if err := os.CopyFS(filepath.Join(into, name), os.DirFS(filepath.Join(folder, *run))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("merge campaigns: %w", err)
	}
	*run = name
	return nil
}

// smallerThan says which of several smallest cases is the smallest.
func (s *Smallest) smallerThan(other *Smallest) bool {
	if other == nil {
		return true
	}
	weight := func(s *Smallest) []int {
		confirmed := 1
		if s.Confirmed {
			confirmed = 0
		}
		return []int{confirmed, strings.Count(s.Point, ":then:"), s.Index}
	}
	return slices.Compare(weight(s), weight(other)) < 0
}
