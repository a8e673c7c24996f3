package partition

import (
	"errors"
	"fmt"
)

// Sentinels that a caller decides by; every one arrives wrapped in an error
// that names the file or chunk and says what to do.
var (
	// ErrLocked: another manager, in this process or another, writes to the
	// same directory.
	ErrLocked = errors.New("another writer holds the directory")
	// ErrPartitionCount: the directory was written with another number of
	// partitions; rows would land in the wrong files.
	ErrPartitionCount = errors.New("another partition count")
	// ErrHeader: the files of the directory start with another header line.
	ErrHeader = errors.New("another header line")
	// ErrShortFile: a file is shorter than what was recorded as durable; use
	// errors.As with *ShortFileError for the lengths.
	ErrShortFile = errors.New("file is shorter than recorded")
	// ErrCorrupt: what is on disk contradicts its checksum or itself, in a
	// way that no crash explains.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnrecorded: a partition file holds rows, but no record names it.
	ErrUnrecorded = errors.New("unrecorded partition file")
	// ErrFailed: a sync failed earlier, so what is on disk is unknown. Close
	// the manager and open another: it recovers from disk.
	ErrFailed = errors.New("the writer stopped after a failed sync; close it and open it again to recover from disk")
	// ErrClosed: the manager was closed.
	ErrClosed = errors.New("the writer is closed")
	// ErrBadChunk: a chunk's id, prefix, row or partition is not acceptable;
	// use errors.As with *ChunkError for which chunk.
	ErrBadChunk = errors.New("bad chunk")
)

// ChunkError says which chunk of a group was refused. Nothing of the group
// was written; the group without this chunk can be written again.
type ChunkError struct {
	ID     string
	Reason string
}

func (e *ChunkError) Error() string { return fmt.Sprintf("chunk %q: %s", e.ID, e.Reason) }

// Unwrap makes errors.Is(err, ErrBadChunk) true.
func (e *ChunkError) Unwrap() error { return ErrBadChunk }

// ShortFileError names a file that lost bytes which were recorded as durable.
type ShortFileError struct {
	File             string
	Recorded, Actual int64 // bytes
}

func (e *ShortFileError) Error() string {
	return fmt.Sprintf("file %s is shorter than recorded: %d bytes were committed, %d are there; "+
		"restore the file (or the directory) from a copy, nothing was changed", e.File, e.Recorded, e.Actual)
}

// Unwrap makes errors.Is(err, ErrShortFile) true.
func (e *ShortFileError) Unwrap() error { return ErrShortFile }

// CorruptError says where what is on disk contradicts itself.
type CorruptError struct {
	File   string
	Offset int64 // bytes from the start of File
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("file %s is corrupt at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
