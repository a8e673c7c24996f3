package engine

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is packed on one machine and unpacked on another is the same: content,
// modes, times and links.
func TestPackAndUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	then := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	if err := os.MkdirAll(filepath.Join(from, "conf/closed"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"conf/a.conf": 0o640, "run.sh": 0o755, "conf/closed/b": 0o600} {
		if err := os.WriteFile(filepath.Join(from, name), []byte("content of "+name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../run.sh", filepath.Join(from, "conf/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(from, "conf/closed"), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(filepath.Join(from, "conf/closed"), 0o755)
		os.Chmod(filepath.Join(to, "conf/closed"), 0o755)
	})
	for _, name := range []string{"run.sh", "conf/closed"} {
		if err := os.Chtimes(filepath.Join(from, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := Unpack(Pack(t.Context(), from), to); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"conf/a.conf", "run.sh", "conf/closed/b", "conf/closed"} {
		was, is := stat(t, filepath.Join(from, name)), stat(t, filepath.Join(to, name))
		if was.Mode() != is.Mode() || !was.ModTime().Equal(is.ModTime()) {
			t.Errorf("%s was %v of %v, is %v of %v", name, was.Mode(), was.ModTime(), is.Mode(), is.ModTime())
		}
	}
	if text, err := os.ReadFile(filepath.Join(to, "conf/link")); err != nil || string(text) != "content of run.sh" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	alone := t.TempDir()
	if err := Unpack(Pack(t.Context(), filepath.Join(from, "conf/link")), alone); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(alone, "link")); err != nil || string(text) != "content of run.sh" {
		t.Errorf("a file alone, through a link: %q, %v", text, err)
	}
	if err := Unpack(Pack(t.Context(), filepath.Join(from, "missing")), alone); err == nil {
		t.Error("a folder that is not there was packed")
	}
}

func stat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// An archive comes from another machine: it writes nothing beside its folder.
func TestUnpackStaysInItsFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "inside")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, headers := range map[string][]tar.Header{
		"above":           {{Name: "../outside", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through a link":  {{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "link/outside", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a device":        {{Name: "null", Typeflag: tar.TypeChar, Mode: 0o644}},
		"an absolute one": {{Name: filepath.Join(filepath.Dir(folder), "outside"), Typeflag: tar.TypeReg, Mode: 0o644}},
	} {
		var archive bytes.Buffer
		writer := tar.NewWriter(&archive)
		for i := range headers {
			if err := writer.WriteHeader(&headers[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(&archive, folder); err == nil {
			t.Errorf("%s: unpacked", name)
		}
		if entries, err := os.ReadDir(filepath.Dir(folder)); err != nil || len(entries) != 1 {
			t.Errorf("%s: beside the folder %v, %v", name, entries, err)
		}
	}
}

// The same image has one fingerprint, whatever an engine calls it, and another
// one another.
func TestFingerprint(t *testing.T) {
	image := Image{ID: "sha256:1", OS: "linux", Arch: "amd64", Command: []string{"/app"}, Layers: []string{"sha256:a"}}
	same := image
	same.ID = "sha256:2"
	changed := image
	changed.Layers = []string{"sha256:b"}
	if image.Fingerprint() != same.Fingerprint() || image.Fingerprint() == changed.Fingerprint() || strings.TrimSpace(image.Fingerprint()) == "" {
		t.Errorf("%s, %s, %s", image.Fingerprint(), same.Fingerprint(), changed.Fingerprint())
	}
}
