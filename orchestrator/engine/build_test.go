package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/system"
)

func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for file, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestBuild(t *testing.T) {
	ctx, e := with(t)
	folder := folderOf(t, map[string]string{
		"Dockerfile":    "ARG COLOUR=green\nFROM " + subject + " AS first\nARG COLOUR\nENV COLOUR=$COLOUR\nCOPY . /built\nFROM first AS second\nENV SECOND=yes\n",
		".dockerignore": "ignored\n", "kept": "x", "ignored/file": "y",
	})
	for target, second := range map[string]bool{"first": false, "": true} {
		tag := name("built") + ":1"
		var out bytes.Buffer
		id, err := e.Build(ctx, BuildSpec{
			Build: system.Build{Context: folder, Target: target, Args: map[string]string{"COLOUR": "red"}, Labels: map[string]string{"its": "own"}},
			Tag:   tag, Labels: labels(),
		}, &out)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.RemoveImage(context.Background(), tag) })
		image, err := e.Image(ctx, tag)
		if err != nil || image.ID != id || !slices.Contains(image.Environment, "COLOUR=red") || slices.Contains(image.Environment, "SECOND=yes") != second {
			t.Errorf("target %q: image %+v, id %s, error %v", target, image, id, err)
		}
		if !strings.Contains(out.String(), "COPY . /built") {
			t.Errorf("what the builder printed: %s", out.String())
		}
		listed := run(t, func(spec *ContainerSpec) { spec.Image = tag }, "list", "/built")
		if !strings.Contains(listed, "/kept") || strings.Contains(listed, "/ignored") {
			t.Errorf("target %q: the context holds\n%s", target, listed)
		}
	}
}

func TestBuildThatFails(t *testing.T) {
	ctx, e := with(t)
	folder := folderOf(t, map[string]string{"Dockerfile": "FROM " + subject + "\nRUN [\"/subject\", \"die\", \"20\"]\n"})
	var out bytes.Buffer
	_, err := e.Build(ctx, BuildSpec{Build: system.Build{Context: folder}, Tag: name("broken"), Labels: labels()}, &out)
	if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "last words 20") || strings.Contains(err.Error(), "last words 1\n") {
		t.Errorf("error %v, want ErrBuild with the last lines only", err)
	}
	_, err = e.Build(ctx, BuildSpec{Build: system.Build{Context: folder, Dockerfile: "nowhere"}}, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one about the missing Dockerfile", err)
	}
	_, err = e.Build(ctx, BuildSpec{Build: system.Build{Context: folder + "/nowhere"}}, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one about the missing context", err)
	}
	_, err = e.Build(ctx, BuildSpec{Build: system.Build{Context: folder, DockerfileInline: "FROM " + subject + "\nRUN --mount=type=cache,target=/x true\n"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "docker compose build") {
		t.Errorf("error %v, want a hint about BuildKit", err)
	}
}

// TestBuildContext needs no engine: it looks at the archive itself.
func TestBuildContext(t *testing.T) {
	folder := folderOf(t, map[string]string{
		"Dockerfile": "inside", "sub/Other": "other", ".dockerignore": "**\n!keep\n!deep/keep.txt\nkeep/not\nDockerfile\n.dockerignore\n",
		"keep/a": "1", "keep/not": "2", "deep/keep.txt": "3", "deep/drop": "4", "drop": "5",
	})
	outside := folderOf(t, map[string]string{"Dockerfile": "outside"})
	for what, test := range map[string]struct {
		spec system.Build
		want []string
	}{
		"plain": {
			system.Build{Context: folder}, []string{".dockerignore", "Dockerfile", "deep/keep.txt", "keep/a"},
		},
		"another name": {
			system.Build{Context: folder, Dockerfile: "sub/Other"}, []string{".dockerignore", "deep/keep.txt", "keep/a", "sub/Other"},
		},
		"inline": {
			system.Build{Context: folder, DockerfileInline: "inline"}, []string{"", ".dockerignore", "deep/keep.txt", "keep/a"},
		},
		"outside": {
			system.Build{Context: folder, Dockerfile: filepath.Join(outside, "Dockerfile")}, []string{"", ".dockerignore", "deep/keep.txt", "keep/a"},
		},
	} {
		content, dockerfile, err := buildContext(context.Background(), test.spec)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		reader := tar.NewReader(content)
		for {
			header, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case header.Typeflag == tar.TypeDir:
			case header.Name == dockerfile && strings.HasPrefix(dockerfile, ".dockerfile."):
				got = append(got, "")
			default:
				got = append(got, header.Name)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
