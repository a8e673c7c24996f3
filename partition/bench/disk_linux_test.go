package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestMemoryIsNoDisk(t *testing.T) {
	const mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\nnone /tmpfiles overlay rw 0 0\n"
	for path, want := range map[string]string{"/home/x": "ext4", "/tmp": "tmpfs", "/tmp/x": "tmpfs", "/tmp/disk/x": "xfs", "/tmpfiles/x": "overlay", "/tmpx": "ext4"} {
		if _, kind := mountOf(mounts, path); kind != want {
			t.Errorf("%s is on %s, want %s", path, kind, want)
		}
	}
	if _, kind := mountOf(mustRead(t, "/proc/self/mounts"), "/dev/shm"); kind != "tmpfs" {
		t.Skip("/dev/shm is no tmpfs here")
	}
	var out, failures bytes.Buffer
	if code := run(t.Context(), []string{"-quick", "-parts", "table", "-dir", "/dev/shm"}, &out, &failures); code != exitFailed || !strings.Contains(failures.String(), "name a directory on a disk with -dir") {
		t.Errorf("exit code %d, %s", code, &failures)
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
