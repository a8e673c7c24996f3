package interpose

import "slices"

// Operation is what a system call does to a file or to a broker, independent of which call does it.
type Operation string

// The operations that a crash point can name.
const (
	Write    Operation = "write"    // data into a file: write, pwrite, writev, pwritev, sendfile, splice, copy_file_range
	Fsync    Operation = "fsync"    // fsync or fdatasync of a file or a directory
	Rename   Operation = "rename"   // rename in any form; matches by the old name or the new one
	Create   Operation = "create"   // an open that makes a file, mknod, link or symlink; a link matches by either name
	Truncate Operation = "truncate" // truncate, ftruncate, fallocate, or an open with O_TRUNC of a file that exists
	Unlink   Operation = "unlink"   // unlink or rmdir
	Read     Operation = "read"     // data out of a file
	Mkdir    Operation = "mkdir"    // a new directory
	Publish  Operation = "publish"  // an AMQP basic.publish, by the socket call that completes its method frame
	Ack      Operation = "ack"      // an AMQP basic.ack from the consumer to the broker
)

// Operations lists every operation, in the order in which the documentation names them.
var Operations = []Operation{Write, Fsync, Rename, Create, Truncate, Unlink, Read, Mkdir, Publish, Ack}

// Known reports whether the operation is one of Operations.
func (o Operation) Known() bool { return slices.Contains(Operations, o) }

// AMQP reports whether the operation is seen on a socket rather than on a file.
func (o Operation) AMQP() bool { return o == Publish || o == Ack }

// Timing says where in the call the program is held.
type Timing string

// The timings of a point.
const (
	Before Timing = "before" // the call has not been executed
	During Timing = "during" // Keep bytes of a write have reached the file
	After  Timing = "after"  // the call has been executed, the program has not seen it return; for Publish the broker has confirmed it
)

// Action is what the interposer does when a point is reached.
type Action string

// The actions of a point.
const (
	Hold  Action = "hold"     // stop everything and wait for a kill or a release
	Fail  Action = "fail"     // the call is not executed and returns Errno
	Short Action = "short"    // the call moves Bytes bytes and says so
	Delay Action = "delay"    // the calling thread waits for Wait, the others go on
	Pass  Action = "continue" // only reported
)
