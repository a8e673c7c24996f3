package interpose

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func unpack(t *testing.T, upload Upload) (names []string, contents map[string]string) {
	t.Helper()
	contents = make(map[string]string)
	archive := tar.NewReader(bytes.NewReader(upload.Tar))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		full := filepath.Join(upload.Path, header.Name)
		names, contents[full] = append(names, full), string(data)
	}
}

func TestUploadsPutTheFilesWhereTheCommandLooksForThem(t *testing.T) {
	plan := Plan{ID: "x", Incarnation: 1}
	for _, readOnly := range []bool{false, true} {
		install, err := Install([]byte("binary"), plan, readOnly)
		if err != nil {
			t.Fatal(err)
		}
		names, contents := unpack(t, install)
		if contents[BinaryPath] != "binary" || !strings.Contains(contents[PlanPath], `"id":"x"`) {
			t.Errorf("read-only %v: got %v", readOnly, contents)
		}
		if readOnly && install.Path != Directory || !readOnly && !slices.Contains(names, Directory) {
			t.Errorf("read-only %v: unpacked in %s: %v", readOnly, install.Path, names)
		}
		update, err := Update(plan, readOnly)
		if err != nil {
			t.Fatal(err)
		}
		if _, contents := unpack(t, update); contents[PlanPath] == "" || contents[BinaryPath] != "" {
			t.Errorf("read-only %v: got %v", readOnly, contents)
		}
	}
	if _, err := Update(Plan{}, false); err == nil {
		t.Error("a wrong plan: no error")
	}
}

func TestCommandStandsInFrontOfTheOriginal(t *testing.T) {
	got := strings.Join(Command([]string{"/bin/sh", "-c"}, []string{"run it"}), "|")
	if want := BinaryPath + "|supervise|" + PlanPath + "|--|/bin/sh|-c|run it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBinaryIsRefusedWhereItCannotRun(t *testing.T) {
	if _, err := Binary("s390x"); !errors.Is(err, ErrNoBinary) {
		t.Errorf("unknown architecture: %v", err)
	}
	// The tests' own executable does not carry the interposer, and none stands beside it.
	if _, err := Binary("arm64"); !errors.Is(err, ErrNoBinary) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("no binary: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(BinaryVariable, text)
	if _, err := Binary("amd64"); !errors.Is(err, ErrNoBinary) || !strings.Contains(err.Error(), "no Linux executable") {
		t.Errorf("a script: %v", err)
	}
	t.Setenv(BinaryVariable, filepath.Join(t.TempDir(), "nothing"))
	if _, err := Binary("amd64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
