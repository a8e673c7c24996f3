package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// checkStable asks that one more restart changed no byte of the files named.
func checkStable(seen *evidence) Result {
	expected := seen.scenario.Expect.Stable
	if len(expected) == 0 {
		return off()
	}
	var findings []Finding
	var missing []string
	files := 0
	for _, expect := range expected {
		before := filesOf(seen.history, expect, history.BeforeStable)
		after := filesOf(seen.history, expect, history.AfterStable)
		if reason := notComparable(seen.history, expect, before, after); reason != "" {
			missing = append(missing, reason)
			continue
		}
		found, reasons := compareFiles(seen.history, expect, before, after)
		findings = append(findings, found...)
		missing = append(missing, reasons...)
		files += len(after)
	}
	return conclude(findings, missing, amount(files, "file")+" unchanged by a further restart")
}

func filesOf(h *history.History, expect scenario.StableExpect, stage history.Stage) map[string]history.File {
	files := map[string]history.File{}
	for _, file := range h.Files {
		if file.Service != expect.Service || file.Stage != stage {
			continue
		}
		if matched, err := doublestar.Match(expect.Files, file.Path); err == nil && matched {
			files[file.Path] = file
		}
	}
	return files
}

// notComparable says why files before and after a restart say nothing about
// it. None left afterwards is a finding only if the restart did happen;
// otherwise they were simply never collected.
func notComparable(h *history.History, expect scenario.StableExpect, before, after map[string]history.File) string {
	if len(before) == 0 && len(after) == 0 {
		return fmt.Sprintf("no file %s of %s was collected before and after a further restart", expect.Files, expect.Service)
	}
	if len(before) > 0 && len(after) > 0 {
		return ""
	}
	seenBefore := len(before) == 0
	for _, event := range h.Events {
		if event.Kind == history.Collected && event.Service == expect.Service {
			if _, ours := before[event.Text]; ours {
				seenBefore = true
			}
		}
		if event.Kind == history.Started && event.Service == expect.Service && seenBefore {
			return ""
		}
	}
	return fmt.Sprintf("%s was not restarted once more, so %s could not be compared", expect.Service, expect.Files)
}

func compareFiles(h *history.History, expect scenario.StableExpect, before, after map[string]history.File) (findings []Finding, reasons []string) {
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		old, was := before[path]
		new, is := after[path]
		text := ""
		switch {
		case !is:
			text = fmt.Sprintf("%s was there before a further restart of %s and not after it", path, expect.Service)
		case !was:
			text = fmt.Sprintf("%s was made by a further restart of %s", path, expect.Service)
		case old.SHA256 == new.SHA256 && old.Size == new.Size:
			continue
		default:
			change, err := firstChange(h, old, new)
			if err != nil {
				reasons = append(reasons, err.Error())
				continue
			}
			text = fmt.Sprintf("a further restart of %s changed %s: %s", expect.Service, path, change)
		}
		findings = append(findings, Finding{Kind: Violated, Service: expect.Service, Text: text, Position: expect.Position})
	}
	return findings, reasons
}

// firstChange finds the first byte that differs and shows up to 16 bytes
// around it, before and after.
func firstChange(h *history.History, old, new history.File) (string, error) {
	offset, err := firstDifference(h, old, new)
	if err != nil {
		return "", err
	}
	from := max(0, offset-8)
	was, err := bytesAt(h, old, from, 16)
	if err != nil {
		return "", err
	}
	is, err := bytesAt(h, new, from, 16)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("from byte %d on (%d bytes before, %d after); bytes %d to %d were %q and are %q",
		offset, old.Size, new.Size, from, from+15, was, is), nil
}

func firstDifference(h *history.History, old, new history.File) (offset int64, err error) {
	left, err := h.Open(old)
	if err != nil {
		return 0, err
	}
	defer left.Close()
	right, err := h.Open(new)
	if err != nil {
		return 0, err
	}
	defer right.Close()
	leftBytes, rightBytes := bufio.NewReaderSize(left, 1<<16), bufio.NewReaderSize(right, 1<<16)
	for ; ; offset++ {
		a, errA := leftBytes.ReadByte()
		b, errB := rightBytes.ReadByte()
		if err := errors.Join(notEnd(errA), notEnd(errB)); err != nil {
			return 0, fmt.Errorf("compare %s before and after a restart: %w", old.Path, err)
		}
		if errA != nil || errB != nil || a != b {
			return offset, nil
		}
	}
}

func bytesAt(h *history.History, file history.File, from, count int64) ([]byte, error) {
	content, err := h.Open(file)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if _, err := io.CopyN(io.Discard, content, from); notEnd(err) != nil {
		return nil, fmt.Errorf("read %s: %w", file.Path, err)
	}
	var text bytes.Buffer
	if _, err := io.CopyN(&text, content, count); notEnd(err) != nil {
		return nil, fmt.Errorf("read %s: %w", file.Path, err)
	}
	return text.Bytes(), nil
}

func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
