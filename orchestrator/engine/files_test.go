package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// fill runs the test program's verbs in one container, one after the other.
func fill(t *testing.T, id string, verbs ...string) {
	t.Helper()
	ctx, e := with(t)
	for _, verb := range verbs {
		got, err := e.Exec(ctx, id, ExecSpec{Command: append([]string{"/subject"}, strings.Fields(verb)...)})
		if err != nil || got.Code != 0 {
			t.Fatalf("%s: %+v, %v", verb, got, err)
		}
	}
}

func collect(t *testing.T, id, glob string) map[string]string {
	t.Helper()
	ctx, e := with(t)
	files := map[string]string{}
	err := e.Files(ctx, id, glob, func(file string, size int64, content io.Reader) error {
		text, err := io.ReadAll(content)
		if int64(len(text)) != size {
			t.Errorf("%s: %d bytes, said to be %d", file, len(text), size)
		}
		files[file] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFiles(t *testing.T) {
	volume := testVolume(t)
	id := start(t, func(spec *ContainerSpec) {
		spec.Service.Mounts = []system.Mount{{Kind: system.MountVolume, Source: "data", Target: "/data"}}
		spec.Volumes = map[string]string{"data": volume}
	}, "wait")
	fill(t, id, "write /data/out/part-1.csv one", "write /data/out/part-2.csv two", "write /data/out/other.txt no",
		"write /data/out/deep/er/part-3.csv three", "link /data/out/part-1.csv /data/out/part-linked.csv",
		"link /nowhere /data/out/part-dangling.csv", "link /data/out/deep /data/out/part-folder.csv",
		"hardlink /data/out/part-2.csv /data/out/part-hard.csv", "link /data/out /current")
	check := func(when string) {
		t.Helper()
		for glob, want := range map[string]map[string]string{
			"/data/out/part-*.csv":          {"/data/out/part-1.csv": "one", "/data/out/part-2.csv": "two", "/data/out/part-hard.csv": "two", "/data/out/part-linked.csv": "one"},
			"/data/out/**/part-?.csv":       {"/data/out/part-1.csv": "one", "/data/out/part-2.csv": "two", "/data/out/deep/er/part-3.csv": "three"},
			"/data/*/other.txt":             {"/data/out/other.txt": "no"},
			"/data/out/other.txt":           {"/data/out/other.txt": "no"},
			"/data/out/{part-1,other}.*":    {"/data/out/part-1.csv": "one", "/data/out/other.txt": "no"},
			"/current/part-[12].csv":        {"/current/part-1.csv": "one", "/current/part-2.csv": "two"},
			"/data/out/part-linked.csv":     {"/data/out/part-linked.csv": "one"},
			"/data/out/nothing-*":           {},
			"/nowhere/at/all/*.csv":         {},
			"/data/out/../out/part-[1].cs?": {"/data/out/part-1.csv": "one"},
		} {
			if diff := cmp.Diff(want, collect(t, id, glob)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", when, glob, diff)
			}
		}
	}
	check("running")
	ctx, e := with(t)
	if err := e.Kill(ctx, id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := e.WaitStopped(ctx, id); err != nil {
		t.Fatal(err)
	}
	check("stopped")
	for _, glob := range []string{"relative/*", "/bad/[", ""} {
		if err := e.Files(ctx, id, glob, nil); err == nil {
			t.Errorf("no error for the glob %q", glob)
		}
	}
	broken := errors.New("enough")
	if err := e.Files(ctx, id, "/data/out/*.csv", func(string, int64, io.Reader) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the function's own", err)
	}
}

func testVolume(t *testing.T) string {
	t.Helper()
	ctx, e := with(t)
	volume := name("vol")
	if err := e.CreateVolume(ctx, volume, system.Volume{}, labels()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveVolume(context.Background(), volume); err != nil {
			t.Error(err)
		}
	})
	return volume
}

func TestCopyFrom(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	fill(t, id, "write /a/file content", "link /a/file /one", "link one /two", "link /round /round")
	for path, want := range map[string]string{
		"/a/file": "file=content", "/a": "a/ a/file=content", "/two": "file=content",
	} {
		var got []string
		err := e.CopyFrom(ctx, id, path, func(header *tar.Header, content io.Reader) error {
			text, err := io.ReadAll(content)
			got = append(got, strings.TrimSuffix(header.Name+"="+string(text), "/=")+map[bool]string{true: "/"}[header.Typeflag == tar.TypeDir])
			return err
		})
		if joined := strings.Join(got, " "); err != nil || joined != want {
			t.Errorf("%s: %q, error %v, want %q", path, joined, err, want)
		}
	}
	if err := e.CopyFrom(ctx, id, "/nowhere", nil); !errors.Is(err, ErrNoFile) {
		t.Errorf("error %v, want ErrNoFile", err)
	}
	if err := e.CopyFrom(ctx, id, "/round", nil); err == nil {
		t.Error("no error for a link to itself")
	}
}

func TestCopyTo(t *testing.T) {
	ctx, e := with(t)
	id := create(t, nil, "list", "/put")
	content := tarStream(func(archive *tar.Writer) error {
		if err := archive.WriteHeader(&tar.Header{Name: "put/tool", Mode: 0o4755, Uid: 11, Gid: 22, Size: 4, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := archive.Write([]byte("tool"))
		return err
	})
	if err := e.CopyTo(ctx, id, "/", content); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := e.WaitStopped(ctx, id); err != nil {
		t.Fatal(err)
	}
	lines, err := e.Tail(ctx, id, 10)
	if err != nil || !slices.Contains(lines, "/tool urwxr-xr-x 11:22") {
		t.Errorf("lines %q, error %v", lines, err)
	}
	if err := e.CopyTo(ctx, id, "/nowhere", strings.NewReader("")); !errors.Is(err, ErrNoFile) {
		t.Errorf("error %v, want ErrNoFile", err)
	}
	broken := errors.New("the source broke")
	if err := e.CopyTo(ctx, id, "/", tarStream(func(*tar.Writer) error { return broken })); !errors.Is(err, broken) {
		t.Errorf("error %v, want the source's", err)
	}
}

// hostFolder makes a folder with everything that a copy must keep.
func hostFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for file, mode := range map[string]os.FileMode{"plain": 0o644, "secret": 0o600, "sub/tool": 0o755, strings.Repeat("long", 40): 0o640} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), []byte("content of "+file), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub/tool", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(folder, "secret"), 1234, 5678); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// snapshot describes a folder of this host byte for byte.
func snapshot(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			read, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(read)
		}
		fmt.Fprintf(&text, "%s %v %v %q\n", path, info.Mode(), info.ModTime(), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestBindMountsAreThrowAwayCopies(t *testing.T) {
	ctx, e := with(t)
	folder := hostFolder(t)
	before := snapshot(t, folder)
	volume := testVolume(t)
	if err := e.FillVolume(ctx, FillSpec{Volume: volume, Source: folder, Image: subject, Name: name("fill"), Labels: labels()}); err != nil {
		t.Fatal(err)
	}
	shared := func(spec *ContainerSpec) {
		spec.Service.Mounts = []system.Mount{
			{Kind: system.MountBind, Source: folder, Target: "/shared"},
			{Kind: system.MountBind, Source: filepath.Join(folder, "secret"), Target: "/etc/deep/secret", File: true},
		}
		spec.Copies = map[string]string{folder: volume}
	}
	// What is seen in the container is what the host has.
	seen := run(t, shared, "list", "/shared")
	owner := map[bool]string{true: "1234:5678", false: fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())}[os.Getuid() == 0]
	for _, want := range []string{"/secret -rw------- " + owner, "/sub/tool -rwxr-xr-x", "/link Lrwxrwxrwx", "/" + strings.Repeat("long", 40) + " -rw-r-----", "/sub drwxr-x---"} {
		if !strings.Contains(seen, want) {
			t.Errorf("no %q in\n%s", want, seen)
		}
	}
	if got := run(t, shared, "cat", "/shared/link"); got != "content of sub/tool" {
		t.Errorf("through the link: %q", got)
	}
	if got := run(t, shared, "cat", "/etc/deep/secret"); got != "content of secret" {
		t.Errorf("the single file: %q", got)
	}
	if got := run(t, shared, "list", "/etc/deep"); !strings.Contains(got, "/secret -rw------- "+owner) {
		t.Errorf("the single file: %s", got)
	}
	// What is written is seen by the other services, and not by the host.
	run(t, shared, "write", "/shared/plain", "changed")
	run(t, shared, "write", "/shared/new/file", "new")
	if got := run(t, shared, "cat", "/shared/plain"); got != "changed" {
		t.Errorf("in another container: %q", got)
	}
	run(t, shared, "write", "/etc/deep/secret", "changed")
	if after := snapshot(t, folder); after != before {
		t.Errorf("the host's folder has changed:\n%s\nbefore:\n%s", after, before)
	}
}

func TestReadOnlyBindMount(t *testing.T) {
	ctx, e := with(t)
	folder := hostFolder(t)
	volume := testVolume(t)
	if err := e.FillVolume(ctx, FillSpec{Volume: volume, Source: folder, Image: subject, Name: name("fill"), Labels: labels()}); err != nil {
		t.Fatal(err)
	}
	readOnly := func(spec *ContainerSpec) {
		spec.Service.ReadOnly = true
		spec.Service.Mounts = []system.Mount{
			{Kind: system.MountBind, Source: folder, Target: "/shared", ReadOnly: true},
			{Kind: system.MountBind, Source: filepath.Join(folder, "plain"), Target: "/plain", File: true, ReadOnly: true},
		}
		spec.Copies = map[string]string{folder: volume}
	}
	if got := run(t, readOnly, "cat", "/shared/plain"); got != "content of plain" {
		t.Errorf("folder: %q", got)
	}
	if got := run(t, readOnly, "cat", "/plain"); got != "content of plain" {
		t.Errorf("file: %q", got)
	}
	id := start(t, readOnly, "write", "/shared/plain", "x")
	if code, err := e.WaitStopped(ctx, id); code != 1 || err != nil {
		t.Errorf("writing ended with %d, %v", code, err)
	}
	_, err := e.Create(ctx, ContainerSpec{Name: name("c"), Labels: labels(), Image: subject, Service: system.Service{
		ReadOnly: true, Mounts: []system.Mount{{Kind: system.MountBind, Source: folder + "/plain", Target: "/plain", File: true}},
	}})
	if err == nil || !strings.Contains(err.Error(), "read-only root") {
		t.Errorf("error %v, want one about the read-only root", err)
	}
}

func TestBindRWMountsTheRealThing(t *testing.T) {
	folder := hostFolder(t)
	run(t, func(spec *ContainerSpec) {
		spec.BindRW = true
		spec.Service.Mounts = []system.Mount{{Kind: system.MountBind, Source: folder, Target: "/shared"}}
	}, "write", "/shared/plain", "changed")
	if got, err := os.ReadFile(filepath.Join(folder, "plain")); string(got) != "changed" || err != nil {
		t.Errorf("the host has %q, error %v", got, err)
	}
}

func TestConfigsAndFilesInsideVolumes(t *testing.T) {
	volume := testVolume(t)
	source := filepath.Join(t.TempDir(), "host.conf")
	if err := os.WriteFile(source, []byte("from the host"), 0o640); err != nil {
		t.Fatal(err)
	}
	got := run(t, func(spec *ContainerSpec) {
		spec.Volumes = map[string]string{"data": volume}
		spec.Service.Mounts = []system.Mount{
			{Kind: system.MountVolume, Source: "data", Target: "/data"},
			{Kind: system.MountBind, Source: source, Target: "/data/conf/host.conf", File: true},
		}
		spec.Service.Files = []system.File{{Target: "/data/token", Content: []byte("secret"), Mode: 0o400, UID: 5, GID: 6}}
	}, "list", "/data")
	for _, want := range []string{"/conf/host.conf -rw-r-----", "/token -r-------- 5:6"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestNothingIsLeftOfACreationThatFails(t *testing.T) {
	ctx, e := with(t)
	before, err := e.Labelled(ctx, testLabel, session)
	if err != nil {
		t.Fatal(err)
	}
	for what, service := range map[string]system.Service{
		"a file that is gone": {Mounts: []system.Mount{{Kind: system.MountBind, Source: "/nowhere/file", Target: "/file", File: true}}},
		"a folder uncopied":   {Mounts: []system.Mount{{Kind: system.MountBind, Source: "/tmp", Target: "/x"}}},
		"a volume unmade":     {Mounts: []system.Mount{{Kind: system.MountVolume, Source: "v", Target: "/x"}}},
	} {
		if _, err := e.Create(ctx, ContainerSpec{Name: name("c"), Labels: labels(), Image: subject, Service: service}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	after, err := e.Labelled(ctx, testLabel, session)
	if err != nil || len(after.Containers) != len(before.Containers) {
		t.Errorf("containers %v, before %v, error %v", after.Containers, before.Containers, err)
	}
}

// TestFilesThatGrow reads a file while it is being written: what comes is
// what was there at some moment, and no error.
func TestFilesThatGrow(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "grow", "/growing")
	waitLine(t, id, "ready")
	for range 5 {
		var read int64
		err := e.Files(ctx, id, "/grow*", func(_ string, size int64, content io.Reader) error {
			text, err := io.ReadAll(content)
			if int64(len(text)) != size || !strings.HasPrefix(string(text), "line 0\nline 1\n") {
				t.Errorf("%d bytes of %d: %.40q", len(text), size, text)
			}
			read += int64(len(text))
			return err
		})
		if err != nil || read == 0 {
			t.Fatalf("%d bytes, error %v", read, err)
		}
	}
}
