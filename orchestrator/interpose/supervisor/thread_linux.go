package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxThreads bounds the threads whose /proc directory is kept open.
const maxThreads = 256

// thread is a thread of the program whose calls are trapped. Its directory in /proc is kept open: it belongs to this very thread, so that reading from it fails, rather than answering for another thread, when the number has been given away.
type thread struct {
	tid     int
	process int // thread group
	uid     int // effective
	gid     int
	// directory is /proc/TID and descriptors is /proc/TID/fd, opened; 0 before open.
	directory, descriptors int
	// seen says that the call that is handled has been found to be this very thread's.
	seen bool
	// kept are files of the thread's directory that are kept open: /proc/TID/fdinfo/N by the number of the descriptor, and /proc/TID/mem.
	kept map[int32]int
}

// procPath is a path below the thread's directory in /proc, by way of the open descriptor where there is one.
func (t *thread) procPath(rest string) string {
	if t.directory == 0 {
		return "/proc/" + strconv.Itoa(t.tid) + "/" + rest
	}
	return "/proc/self/fd/" + strconv.Itoa(t.directory) + "/" + rest
}

// keptMemory is where thread.kept has the thread's memory.
const keptMemory = -1

// maxKept bounds the files that are kept open, of all threads together. It leaves most of the descriptors that the container may have to whoever needs one.
var maxKept = sync.OnceValue(func() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur/8, 128))
})

// threads is the cache of threads, and the identity that the calling thread of the interposer has taken on to look at them.
type threads struct {
	known map[uint32]*thread
	kept  int // files, of all threads
	// uid and gid with which the calling thread accesses files.
	uid, gid       int
	ownUID, ownGID int
}

func newThreads() *threads {
	return &threads{known: make(map[uint32]*thread), uid: os.Geteuid(), gid: os.Getegid(), ownUID: os.Geteuid(), ownGID: os.Getegid()}
}

// get returns the thread, opening its directory when it is new. A thread that is gone is an error.
func (ts *threads) get(tid uint32) (*thread, error) {
	if t := ts.known[tid]; t != nil {
		return t, nil
	}
	if len(ts.known) >= maxThreads {
		ts.forgetAll()
	}
	t := &thread{tid: int(tid)}
	if err := ts.open(t); err != nil {
		return nil, err
	}
	ts.known[tid] = t
	return t, nil
}

// open finds out who has the thread's number now.
func (ts *threads) open(t *thread) error {
	ts.close(t)
	var err error
	if t.directory, err = unix.Open(t.procPath(""), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open thread %d: %w", t.tid, err)
	}
	if err := t.readIdentity(); err != nil {
		return err
	}
	ts.become(t)
	if t.descriptors, err = unix.Openat(t.directory, "fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open descriptors of thread %d: %w", t.tid, err)
	}
	t.seen = true
	return nil
}

// gone reports whether the thread has ended, so that its number may belong to another one.
func (t *thread) gone() bool { return unix.Faccessat(t.directory, "stat", unix.F_OK, 0) != nil }

func (ts *threads) close(t *thread) {
	ts.closeKept(t)
	for _, descriptor := range []*int{&t.directory, &t.descriptors} {
		if *descriptor > 0 {
			unix.Close(*descriptor)
		}
		*descriptor = 0
	}
}

func (ts *threads) forget(t *thread) {
	if ts.known[uint32(t.tid)] == t {
		delete(ts.known, uint32(t.tid))
		ts.close(t)
	}
}

func (ts *threads) forgetAll() {
	for _, t := range ts.known {
		ts.forget(t)
	}
}

// become gives the calling thread the file-system identity of t.
//
// A program that starts as root and drops to another user (as gosu does) can be looked at only by that user or with CAP_SYS_PTRACE. The identity that /proc asks for is the file-system one, which a root without any further capability than Docker's default can take on. Files that the interposer makes in the program's stead then belong to the right user too.
func (ts *threads) become(t *thread) { ts.becomeUser(t.uid, t.gid) }

func (ts *threads) becomeUser(uid, gid int) {
	if ts.gid != gid {
		unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
		ts.gid = gid
	}
	if ts.uid != uid {
		unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
		ts.uid = uid
	}
}

// becomeSelf goes back to the interposer's own identity.
func (ts *threads) becomeSelf() {
	// The user comes first: only root may take any group.
	if ts.uid != ts.ownUID {
		unix.RawSyscall(unix.SYS_SETFSUID, uintptr(ts.ownUID), 0, 0)
		ts.uid = ts.ownUID
	}
	if ts.gid != ts.ownGID {
		unix.RawSyscall(unix.SYS_SETFSGID, uintptr(ts.ownGID), 0, 0)
		ts.gid = ts.ownGID
	}
}

// readIdentity reads thread group and user from /proc/TID/status, which everybody may read.
func (t *thread) readIdentity() error {
	status, err := os.ReadFile(t.procPath("status"))
	if err != nil {
		return fmt.Errorf("read status of thread %d: %w", t.tid, err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "Tgid:":
			t.process, err = strconv.Atoi(fields[1])
		case "Uid:":
			t.uid, err = strconv.Atoi(fields[2])
		case "Gid:":
			t.gid, err = strconv.Atoi(fields[2])
		}
		if err != nil {
			return fmt.Errorf("read status of thread %d: %w", t.tid, err)
		}
	}
	return nil
}

// link reads where a descriptor of the thread points to, into buffer, without allocating.
func (t *thread) link(descriptor int32, buffer []byte) ([]byte, unix.Errno) {
	var digits [16]byte
	name := strconv.AppendInt(digits[:0], int64(descriptor), 10)
	name = append(name, 0)
	n, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(t.descriptors), uintptr(unsafe.Pointer(&name[0])),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0)
	if errno != 0 {
		return nil, errno
	}
	t.seen = true // the directory is that of this thread alone
	return buffer[:n], 0
}

// stat follows a descriptor of the thread to its file.
func (t *thread) stat(descriptor int32) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(t.descriptors, strconv.Itoa(int(descriptor)), &st, 0)
	return st, err
}

// reopen opens the file behind a descriptor of the thread anew; it shares neither position nor flags with it.
//
// Finding the file takes the thread's identity. Opening it may take another: a program that has dropped its rights can hold a descriptor that it could not open any more.
func (ts *threads) reopen(t *thread, descriptor int32, flags int) (int, error) {
	name := strconv.Itoa(int(descriptor))
	file, err := unix.Openat(t.descriptors, name, flags|unix.O_CLOEXEC, 0)
	if err == nil || t.uid == ts.ownUID {
		return file, err
	}
	found, pathErr := unix.Openat(t.descriptors, name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if pathErr != nil {
		return -1, err
	}
	defer unix.Close(found)
	ts.becomeSelf()
	defer ts.become(t)
	return unix.Open("/proc/self/fd/"+strconv.Itoa(found), flags|unix.O_CLOEXEC, 0)
}

// position reads a descriptor's file position and flags.
func (ts *threads) position(t *thread, descriptor int32) (position int64, flags int, err error) {
	var info [256]byte // position and flags come first and fit; what follows can be longer
	n, err := ts.readInfo(t, descriptor, info[:])
	if err != nil {
		return 0, 0, fmt.Errorf("read position of descriptor %d: %w", descriptor, err)
	}
	position, positionErr := strconv.ParseInt(string(infoField(info[:n], "pos:")), 10, 64)
	bits, flagsErr := strconv.ParseInt(string(infoField(info[:n], "flags:")), 8, 64)
	if positionErr != nil || flagsErr != nil {
		return 0, 0, fmt.Errorf("read position of descriptor %d: %w", descriptor, errors.Join(positionErr, flagsErr))
	}
	return position, int(bits), nil
}

// readInfo reads /proc/TID/fdinfo/N. The file is kept open, because opening it costs several times what reading does. That is no cache of what it says: with each read the kernel looks up anew what the thread's descriptor N is, and fails where it is closed or the thread has ended.
func (ts *threads) readInfo(t *thread, descriptor int32, buffer []byte) (int, error) {
	if file, open := t.kept[descriptor]; open {
		if n, errno := readAt(file, 0, buffer); errno == 0 {
			return n, nil
		}
		ts.drop(t, descriptor)
	}
	file, err := unix.Openat(t.directory, "fdinfo/"+strconv.Itoa(int(descriptor)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	n, errno := readAt(file, 0, buffer)
	if errno != 0 {
		unix.Close(file)
		return 0, errno
	}
	ts.keep(t, descriptor, file)
	return n, nil
}

// keep keeps a file of the thread's directory open, if there is room for it.
func (ts *threads) keep(t *thread, key int32, file int) {
	if maxKept() == 0 {
		unix.Close(file)
		return
	}
	if ts.kept >= maxKept() {
		for _, other := range ts.known {
			ts.closeKept(other)
		}
	}
	if t.kept == nil {
		t.kept = make(map[int32]int)
	}
	t.kept[key] = file
	ts.kept++
}

// drop closes a file that was kept open, if it was.
func (ts *threads) drop(t *thread, key int32) {
	if file, open := t.kept[key]; open {
		unix.Close(file)
		delete(t.kept, key)
		ts.kept--
	}
}

func (ts *threads) closeKept(t *thread) {
	for key := range t.kept {
		ts.drop(t, key)
	}
}

// forgetProcess forgets the threads of a process.
func (ts *threads) forgetProcess(process int) {
	for _, t := range ts.known {
		if t.process == process {
			ts.forget(t)
		}
	}
}

// infoField finds a line of /proc/PID/fdinfo.
func infoField(info []byte, key string) []byte {
	_, rest, _ := bytes.Cut(info, []byte(key))
	value, _, _ := bytes.Cut(rest, []byte("\n"))
	return bytes.TrimSpace(value)
}

// accessDenied turns the refusal to look at a process into words that say what helps.
func accessDenied(t *thread, err error) error {
	if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		return err
	}
	return fmt.Errorf("look at process %d of user %d: %w: give the container the capability SYS_PTRACE (cap_add: [SYS_PTRACE])", t.process, t.uid, err)
}
