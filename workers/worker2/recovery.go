package worker2

import (
	"path/filepath"

	"github.com/killpoint/killpoint/partition"
)

// logRecovery says what opening the files found and did, a line each, so that
// a person can follow what a death had left.
func (w *worker) logRecovery(r partition.Recovery) {
	if r.Fresh {
		return
	}
	if a := r.Adopted; a != nil {
		w.log("Adopted %d partition files with %d chunks, %d of them half written", a.Files, a.Chunks, a.HalfWritten)
	}
	if cut := r.JournalCut; cut != nil {
		w.log("Left out an uncommitted group at byte %d of %s", cut.Offset, filepath.Base(cut.File))
	}
	for _, repair := range r.Repaired {
		w.logRepair(repair)
	}
	for _, whole := range r.AlreadyWritten {
		w.log(alreadyWritten, whole.Partition, whole.ChunkID)
	}
	for _, id := range r.Redone {
		w.log("Redid chunk %s from the journal", id)
	}
	w.log("Recovered: %d chunks in the journal, %d redone", r.Replayed, len(r.Redone))
}

func (w *worker) logRepair(r partition.Repair) {
	how := "completed it with %d bytes"
	bytes := r.Completed
	if r.Dropped > 0 {
		how, bytes = "took away %d bytes of no committed chunk", r.Dropped
	}
	w.log("Repaired incomplete line in %s at byte %d (%q): "+how, filepath.Base(r.File), r.Offset, r.Fragment, bytes)
}
