package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// everyCall: DIRECTORY. It makes each kind of call in each form of path once, in an order that the test knows.
func everyCall(arguments []string) error {
	if err := os.Chdir(arguments[0]); err != nil {
		return err
	}
	s := &steps{}
	s.writes()
	s.transfers()
	s.names()
	s.opens()
	return s.err
}

// steps makes calls until one fails.
type steps struct{ err error }

func (s *steps) do(what string, err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("%s: %w", what, err)
	}
}

func (s *steps) open(path string, flags int) int {
	descriptor, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	s.do("open "+path, err)
	return descriptor
}

func (s *steps) wrote(n int, err error) { s.do("write", err) }

func (s *steps) writes() {
	file := s.open("data", unix.O_RDWR|unix.O_CREAT)
	s.wrote(unix.Write(file, []byte("0123456789")))
	s.wrote(unix.Pwrite(file, []byte("ab"), 4))
	s.wrote(unix.Writev(file, [][]byte{[]byte("one"), []byte("two"), []byte("three")}))
	s.wrote(unix.Pwritev(file, [][]byte{[]byte("xx"), []byte("yy")}, 2))
	s.wrote(unix.Pwritev2(file, [][]byte{[]byte("zz")}, -1, 0))
	s.wrote(unix.Pwritev2(file, [][]byte{[]byte("end")}, 0, unix.RWF_APPEND))
	copied, err := unix.Dup(file)
	s.do("dup", err)
	s.wrote(unix.Write(copied, []byte("dup")))
	again := s.open("/proc/self/fd/"+strconv.Itoa(file), unix.O_WRONLY|unix.O_APPEND)
	s.wrote(unix.Write(again, []byte("again")))
	s.do("close", unix.Close(again))
	// The number is used again for another file: what it stood for before must not count.
	other := s.open("other", unix.O_WRONLY|unix.O_CREAT)
	if other != again && s.err == nil {
		s.err = fmt.Errorf("descriptor %d was not used again, got %d", again, other)
	}
	s.wrote(unix.Write(other, []byte("other")))
	s.do("fsync", unix.Fsync(file))
	s.do("fdatasync", unix.Fdatasync(file))
	buffer := make([]byte, 4)
	s.wrote(unix.Pread(file, buffer, 0))
}

func (s *steps) transfers() {
	source, target := s.open("data", unix.O_RDONLY), s.open("copy", unix.O_RDWR|unix.O_CREAT)
	s.wrote(unix.Sendfile(target, source, nil, 8))
	from, to := int64(2), int64(20)
	s.wrote(unix.CopyFileRange(source, &from, target, &to, 5, 0))
	var pipe [2]int
	s.do("pipe", unix.Pipe(pipe[:]))
	s.wrote(unix.Write(pipe[1], []byte("piped")))
	n, err := unix.Splice(pipe[0], nil, target, nil, 5, 0)
	s.wrote(int(n), err)
	s.do("ftruncate", unix.Ftruncate(target, 3))
	s.do("truncate", unix.Truncate("copy", 2))
	s.do("fallocate", unix.Fallocate(target, 0, 0, 64))
}

func (s *steps) names() {
	s.do("mkdir", unix.Mkdir("sub", 0o755))
	s.do("mkdirat", unix.Mkdirat(unix.AT_FDCWD, "sub/deep", 0o755))
	directory := s.open("sub", unix.O_RDONLY|unix.O_DIRECTORY)
	s.do("renameat", unix.Renameat(unix.AT_FDCWD, "copy", directory, "moved"))
	s.do("rename", unix.Rename("sub/moved", "sub/../back"))
	s.do("link", unix.Link("back", "hard"))
	s.do("symlink", unix.Symlink("back", "soft"))
	s.do("fsync directory", unix.Fsync(directory))
	through := s.open("soft", unix.O_WRONLY|unix.O_TRUNC)
	s.wrote(unix.Write(through, []byte("soft")))
	s.do("unlink", unix.Unlink("hard"))
	s.do("unlinkat", unix.Unlinkat(directory, "deep", unix.AT_REMOVEDIR))
	s.do("rmdir", unix.Rmdir("sub"))
}

func (s *steps) opens() {
	s.open("made", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	s.open("made", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	s.open("made", unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND)
	s.open("only", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if _, err := unix.Open("only", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644); err != unix.EEXIST {
		s.do("open only again", fmt.Errorf("want EEXIST, got %v", err))
	}
	how := unix.OpenHow{Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o644}
	_, err := unix.Openat2(unix.AT_FDCWD, "modern", &how)
	s.do("openat2", err)
	s.do("symlink to nothing", unix.Symlink("pointed", "dangling"))
	s.open("dangling", unix.O_WRONLY|unix.O_CREAT)
	nameless, err := unix.Open(".", unix.O_WRONLY|unix.O_TMPFILE, 0o644)
	s.do("open without a name", err)
	s.wrote(unix.Write(nameless, []byte("nameless")))
	s.do("link by descriptor", unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(nameless), unix.AT_FDCWD, "named", unix.AT_SYMLINK_FOLLOW))
	gone := s.open("gone", unix.O_WRONLY|unix.O_CREAT)
	s.do("unlink", unix.Unlink("gone"))
	s.wrote(unix.Write(gone, []byte("gone")))
}

// directly: FILE. It writes one block past the page cache.
func directly(arguments []string) error {
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	block, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := range block {
		block[i] = byte('a' + i%26)
	}
	_, err = unix.Write(file, block)
	return err
}

// jailed: DIRECTORY NAME. It writes below another root.
func jailed(arguments []string) error {
	if err := unix.Chroot(arguments[0]); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return os.WriteFile("/"+arguments[1], []byte("jailed"), 0o644)
}
