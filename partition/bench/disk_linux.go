package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// fdatasync makes the bytes and the length of a file durable.
func fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// settle lets the disk finish what was written before, so that no measurement
// pays for another.
func settle() { syscall.Sync() }

var errNoDisk = errors.New("is in memory, where a sync costs nothing and means nothing; name a directory on a disk with -dir")

// describeDisk says what file system a directory is on, and refuses one that
// is no disk.
func describeDisk(dir string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	device, kind := mountOf(string(mounts), dir)
	if kind == "tmpfs" || kind == "ramfs" {
		return "", fmt.Errorf("%s %w", dir, errNoDisk)
	}
	return fmt.Sprintf("%s (%s)", kind, device), nil
}

// mountOf finds the mount that holds a path: the last of those with the
// longest mount point.
func mountOf(mounts, path string) (device, kind string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if (path == point || strings.HasPrefix(path, point+"/")) && len(point) >= longest {
			device, kind, longest = fields[0], fields[2], len(point)
		}
	}
	return device, kind
}

// peakMemory is the most memory that the process had resident, in bytes.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status does not say VmHWM")
}

// load is how many threads wanted to run in the last minute, on average.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var last float64
	_, _ = fmt.Sscan(string(text), &last) // 0 when it cannot be read: nobody is warned
	return last
}
