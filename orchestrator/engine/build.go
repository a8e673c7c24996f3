package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/build"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// BuildSpec says how an image is built and what it is called.
type BuildSpec struct {
	system.Build
	Tag    string // reference to give the image, besides Build.Tags
	Labels map[string]string
}

// Build builds an image with the engine's classic builder, which every engine
// has, and gives its id. What the builder prints goes to out (nil drops it).
// An error wraps ErrBuild when the Dockerfile is at fault, and ends with the
// last lines that were printed.
func (e *Engine) Build(ctx context.Context, spec BuildSpec, out io.Writer) (id string, err error) {
	ctx, cancel := bounded(ctx, imageCall)
	defer cancel()
	what := spec.Tag
	if what == "" {
		what = spec.Context
	}
	content, dockerfile, err := buildContext(ctx, spec.Build)
	if err != nil {
		return "", fmt.Errorf("build image %s: %w", what, err)
	}
	options := build.ImageBuildOptions{
		Version: build.BuilderV1, Remove: true, ForceRemove: true, Dockerfile: dockerfile,
		Target: spec.Target, BuildArgs: map[string]*string{}, Labels: merge(spec.Build.Labels, spec.Labels),
		CacheFrom: spec.CacheFrom, ExtraHosts: spec.ExtraHosts, NetworkMode: spec.Network,
		Platform: spec.Platform, Tags: spec.Tags, NoCache: spec.NoCache, PullParent: spec.Pull,
		ShmSize: spec.ShmSize, Ulimits: convertUlimits(spec.Ulimits),
	}
	if spec.Tag != "" {
		options.Tags = append([]string{spec.Tag}, spec.Tags...)
	}
	for name, value := range spec.Args {
		options.BuildArgs[name] = &value
	}
	response, err := e.api.ImageBuild(ctx, content, options)
	if err != nil {
		return "", fmt.Errorf("build image %s: %w", what, err)
	}
	defer response.Body.Close()
	last := &lastLines{out: out}
	id, err = readProgress(response.Body, last)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("build image %s: %w", what, ctx.Err())
	case err != nil:
		return "", fmt.Errorf("build image %s: %w: %w%s%s", what, ErrBuild, err, buildHint(err), last)
	case id == "":
		return "", fmt.Errorf("build image %s: the engine named no image", what)
	}
	return id, nil
}

// buildHint says what to do about Dockerfiles that only BuildKit understands.
func buildHint(err error) string {
	if strings.Contains(err.Error(), "BuildKit") {
		return " (build it beforehand with `docker compose build`; killpoint uses the image when it is there)"
	}
	return ""
}

// PackBuild gives all that an image is built from as one archive, and the
// Dockerfile's name in it, for another engine to build it.
func PackBuild(ctx context.Context, spec system.Build) (archive io.Reader, dockerfile string, err error) {
	return buildContext(ctx, spec)
}

// buildContext gives the archive that is sent to the builder, without what
// .dockerignore names, and the Dockerfile's name in it.
func buildContext(ctx context.Context, spec system.Build) (io.Reader, string, error) {
	if info, err := os.Stat(spec.Context); err != nil {
		return nil, "", fmt.Errorf("read build context: %w", err)
	} else if !info.IsDir() {
		return nil, "", fmt.Errorf("read build context %s: it is no folder", spec.Context)
	}
	dockerfile, content, err := findDockerfile(spec)
	if err != nil {
		return nil, "", err
	}
	ignored, err := readIgnored(spec.Context, dockerfile)
	if err != nil {
		return nil, "", err
	}
	folder := tarFolder(ctx, spec.Context, func(name string, entry fs.DirEntry) (bool, error) {
		// The builder itself reads these two.
		if name == dockerfile || name == ignoreFile {
			return false, nil
		}
		return leaveOut(ignored, dockerfile, name, entry)
	})
	if content == nil {
		return folder, dockerfile, nil
	}
	// A Dockerfile from outside the context goes in under a name of its own.
	return io.MultiReader(leadingFile(dockerfile, content), folder), dockerfile, nil
}

const ignoreFile = ".dockerignore"

// findDockerfile gives the Dockerfile's name in the context; for one that is
// not in it, its content and a name that nothing there bears.
func findDockerfile(spec system.Build) (name string, content []byte, err error) {
	if spec.DockerfileInline != "" {
		content = []byte(spec.DockerfileInline)
		return outsideName(content), content, nil
	}
	file := spec.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(spec.Context, file)
	}
	relative, err := filepath.Rel(spec.Context, file)
	if err == nil && filepath.IsLocal(relative) {
		if _, err := os.Stat(file); err != nil {
			return "", nil, fmt.Errorf("read dockerfile: %w", err)
		}
		return filepath.ToSlash(relative), nil, nil
	}
	if content, err = os.ReadFile(file); err != nil {
		return "", nil, fmt.Errorf("read dockerfile: %w", err)
	}
	return outsideName(content), content, nil
}

func outsideName(content []byte) string {
	sum := sha256.Sum256(content)
	return ".dockerfile." + hex.EncodeToString(sum[:8])
}

// leadingFile is the beginning of an archive: one file, without the end mark.
func leadingFile(name string, content []byte) io.Reader {
	var head bytes.Buffer
	archive := tar.NewWriter(&head)
	// Writing to memory cannot fail.
	_ = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
	_, _ = archive.Write(content)
	_ = archive.Flush()
	return &head
}

// readIgnored reads the patterns of the Dockerfile's own ignore file if there
// is one, else of the folder's.
func readIgnored(folder, dockerfile string) (*patternmatcher.PatternMatcher, error) {
	for _, name := range []string{dockerfile + ignoreFile, ignoreFile} {
		opened, err := os.Open(filepath.Join(folder, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		patterns, err := ignorefile.ReadAll(opened)
		if err = errors.Join(err, opened.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		matcher, err := patternmatcher.New(patterns)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		return matcher, nil
	}
	return patternmatcher.New(nil)
}

// leaveOut says whether a path is ignored. A folder that is ignored is not
// walked unless an exception (!pattern), or the Dockerfile, may lie in it.
func leaveOut(ignored *patternmatcher.PatternMatcher, dockerfile, name string, entry fs.DirEntry) (bool, error) {
	matched, err := ignored.MatchesOrParentMatches(name)
	if err != nil {
		return false, fmt.Errorf("match %s with %s: %w", name, ignoreFile, err)
	}
	if matched && entry.IsDir() && !ignored.Exclusions() && !within(name, dockerfile) {
		return true, fs.SkipDir
	}
	return matched, nil
}

// lastLines passes on what is written and remembers the end of it.
type lastLines struct {
	mu   sync.Mutex
	out  io.Writer
	tail []byte
}

const (
	lastLinesBytes = 8 << 10
	lastLinesShown = 12
)

func (l *lastLines) Write(content []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, content...)
	if len(l.tail) > lastLinesBytes {
		l.tail = l.tail[len(l.tail)-lastLinesBytes:]
	}
	if l.out != nil {
		return l.out.Write(content)
	}
	return len(content), nil
}

// String is the last lines, each indented on a line of its own.
func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.tail))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if len(lines) > lastLinesShown {
		lines = lines[len(lines)-lastLinesShown:]
	}
	return "\n  | " + strings.Join(lines, "\n  | ")
}
