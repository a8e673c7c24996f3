package report

import (
	"encoding/hex"
	"errors"
	"io"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// How much of a file a report keeps around the cut: whole lines of a hexdump,
// so that a person sees the record that was cut and its neighbours.
const (
	lineBytes   = 16
	bytesBefore = 4 * lineBytes
	bytesAfter  = 6 * lineBytes
)

// pointsOf adds to faults the crash points that they were done at.
func pointsOf(sc *scenario.Scenario, h *history.History, faults []Fault) {
	planned := expand(sc.Faults)
	for _, event := range h.Events {
		if event.Kind != history.PointReached || event.Point == nil || event.Fault < 1 || event.Fault > len(planned) {
			continue
		}
		for index := range faults {
			if faults[index].Number == event.Fault {
				faults[index].Point = pointOf(planned[event.Fault-1], event)
				if planned[event.Fault-1].Kind == scenario.Kill && faults[index].Done != "" {
					faults[index].Point.Files = filesOf(h, event)
				}
			}
		}
	}
}

// expand gives the faults by their number less one: a repetition is one of
// its own.
func expand(faults []scenario.Fault) []scenario.Fault {
	var planned []scenario.Fault
	for _, fault := range faults {
		for range max(fault.Times, 1) {
			planned = append(planned, fault)
		}
	}
	return planned
}

func pointOf(fault scenario.Fault, event history.Event) *Point {
	met := event.Point
	text := fault.Point()
	text.Occurrence, text.Incarnation = met.Occurrence, max(event.Incarnation, 1)
	point := &Point{
		Point: text.String(), Text: event.Text, Operation: met.Operation, Call: met.Call,
		Path: met.Path, Other: met.Other, Queue: met.Queue, Occurrence: met.Occurrence, Timing: met.Timing,
		Size: met.Size, Kept: met.Kept, Inexact: met.Inexact,
	}
	if met.Offset >= 0 && met.Path != "" {
		point.Offset = &met.Offset
	}
	for _, change := range met.Unsynced {
		point.Unsynced = append(point.Unsynced, Unsynced(change))
	}
	return point
}

// filesOf gives each file of a crash point as the crash left it and as it was
// at the end.
func filesOf(h *history.History, event history.Event) []CutFile {
	var files []CutFile
	for _, path := range []string{event.Point.Path, event.Point.Other} {
		if path == "" {
			continue
		}
		crash := find(h, func(file history.File) bool {
			// Histories of before the files had their fault's number have 0.
			return file.Stage == history.AtCrash && (file.Fault == event.Fault || file.Fault == 0) && file.Service == event.Service && file.Path == path
		})
		end := find(h, func(file history.File) bool {
			return (file.Stage == history.Recovered || file.Stage == history.AtEnd) && file.Service == event.Service && file.Path == path
		})
		if crash == nil && end == nil {
			continue // a folder, which has no bytes, or a history that does not have them
		}
		one := CutFile{Path: path, Cut: cutIn(event.Point, path)}
		// Without a place in the file, its end at the crash is of interest:
		// what had got there last.
		anchor := int64(0)
		switch {
		case one.Cut != nil:
			anchor = *one.Cut
		case crash != nil:
			anchor = crash.Size
		}
		one.Crash, one.End = bytesOf(h, crash, anchor), bytesOf(h, end, anchor)
		files = append(files, one)
	}
	return files
}

func find(h *history.History, is func(history.File) bool) *history.File {
	for index := range h.Files {
		if is(h.Files[index]) {
			return &h.Files[index]
		}
	}
	return nil
}

// cutIn is the byte of a file at which the crash cut it: where the held call
// had come to, or where the first byte is that the power cut took. Nil when
// the point is no place in the file.
func cutIn(point *history.Point, path string) *int64 {
	var cut *int64
	if path == point.Path && point.Offset >= 0 {
		at := point.Offset
		switch point.Timing {
		case "during":
			at += point.Kept
		case "after":
			at += point.Size
		}
		cut = &at
	}
	for _, change := range point.Unsynced {
		if change.Lost && change.Path == path && change.Operation == "write" && change.Offset >= 0 && (cut == nil || change.Offset < *cut) {
			at := change.Offset
			cut = &at
		}
	}
	return cut
}

// bytesOf reads the bytes of a collected file around a place in it, or around
// its end where it does not reach that far. Nil when there is no such file.
func bytesOf(h *history.History, file *history.File, anchor int64) *Bytes {
	if file == nil {
		return nil
	}
	anchor = min(anchor, file.Size)
	from := max(0, anchor-anchor%lineBytes-bytesBefore)
	some := &Bytes{Size: file.Size, SHA256: file.SHA256, From: from}
	content, err := readAt(h, *file, from, bytesBefore+lineBytes+bytesAfter)
	if err != nil {
		some.Unread = err.Error()
	}
	some.Hex = hex.EncodeToString(content)
	return some
}

func readAt(h *history.History, file history.File, from, count int64) (content []byte, err error) {
	opened, err := h.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	if seeker, is := opened.(io.Seeker); is {
		_, err = seeker.Seek(from, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, opened, from)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(opened, count))
}
