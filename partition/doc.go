// Package partition appends rows to partitioned text files exactly once.
//
// A worker gives it chunks, each a message's rows sorted into partitions, and
// after [Manager.Write] returns, the rows stand in
// <Dir>/<prefix>-partition-<NNN>.csv once and stay there: through SIGKILL at
// any instant, through a power loss (with [Power] durability), through a
// second delivery of the same chunk, and through short reads and writes.
//
// A group of chunks goes to a journal first, with one fdatasync, and from
// there into the partition files, which are synced at checkpoints only. A
// restart redoes from the journal what the files lack. This is redo logging
// with group commit as in ARIES (Mohan et al., 1992), without the undo: of a
// group that was not committed, what reached a partition file is cut off.
//
// The package leaves to others: parsing rows, choosing their partition,
// talking to a broker, retrying, and logging what [Manager.Recovery] reports.
package partition
