package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Everything that the tests make bears this label and begins with prefix.
const testLabel = "kpe.test"

var (
	session = fmt.Sprint(os.Getpid())
	prefix  = "kpe-" + session + "-"
	subject = prefix + "subject:1"

	testEngine *Engine
	counter    atomic.Int64
)

// TestMain makes the tests' own image, and removes all that they made.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run())
	}
	code, err := runWithEngine(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runWithEngine(m *testing.M) (code int, err error) {
	ctx := context.Background()
	testEngine, err = Connect(ctx)
	if err != nil {
		return 1, fmt.Errorf("%w (go test -short leaves out what needs an engine)", err)
	}
	defer testEngine.Close()
	defer func() { err = errors.Join(err, sweep(ctx)) }()
	if err := importSubject(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// importSubject builds the program that runs in the containers and makes it
// an image that holds nothing else.
func importSubject(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kpe")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "subject")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testdata/subject")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+testEngine.Info().Arch)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the test program: %w\n%s", err, out)
	}
	_, err = testEngine.Import(ctx, subject, tarFolder(ctx, dir, nil), `ENTRYPOINT ["/subject"]`, `CMD ["wait"]`)
	return err
}

// sweep removes what the tests made.
func sweep(ctx context.Context) error {
	things, err := testEngine.Labelled(ctx, testLabel, session)
	for _, thing := range things.Containers {
		err = errors.Join(err, testEngine.Remove(ctx, thing.ID))
	}
	for _, thing := range things.Networks {
		err = errors.Join(err, testEngine.RemoveNetwork(ctx, thing.ID))
	}
	for _, thing := range things.Volumes {
		err = errors.Join(err, testEngine.RemoveVolume(ctx, thing.Name))
	}
	return errors.Join(err, testEngine.RemoveImage(ctx, subject))
}

// with gives the engine to a test that needs one, and a context that ends
// before the test would hang.
func with(t *testing.T) (context.Context, *Engine) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx, testEngine
}

func name(what string) string { return fmt.Sprintf("%s%s-%d", prefix, what, counter.Add(1)) }

func labels() map[string]string { return map[string]string{testLabel: session} }

// create makes a container that the test removes, without starting it.
func create(t *testing.T, change func(*ContainerSpec), command ...string) string {
	t.Helper()
	ctx, e := with(t)
	spec := ContainerSpec{Name: name("c"), Labels: labels(), Image: subject, Command: command}
	if change != nil {
		change(&spec)
	}
	id, err := e.Create(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	return id
}

func start(t *testing.T, change func(*ContainerSpec), command ...string) string {
	t.Helper()
	id := create(t, change, command...)
	ctx, e := with(t)
	if err := e.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	return id
}

// run runs a container to its end and gives what it printed.
func run(t *testing.T, change func(*ContainerSpec), command ...string) string {
	t.Helper()
	id := start(t, change, command...)
	ctx, e := with(t)
	if code, err := e.WaitStopped(ctx, id); err != nil || code != 0 {
		lines, _ := e.Tail(ctx, id, 5)
		t.Fatalf("%q ended with code %d, error %v: %q", command, code, err, lines)
	}
	lines, err := e.Tail(ctx, id, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// waitLine waits until a running container has printed a line.
func waitLine(t *testing.T, id, line string) {
	t.Helper()
	ctx, e := with(t)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := false
	err := e.Logs(ctx, id, &Cursor{}, func(got Line) {
		if got.Text == line {
			found = true
			cancel()
		}
	})
	if !found {
		t.Fatalf("no line %q: %v", line, err)
	}
}

func TestInfo(t *testing.T) {
	_, e := with(t)
	info := e.Info()
	if info.OS != "linux" || info.Engine == "" || info.API < minimumAPI || info.CPUs < 1 || info.Memory < 1<<20 ||
		info.Kernel == "" || info.StorageDriver == "" || info.CgroupVersion == "" || info.Arch == "x86_64" {
		t.Errorf("info %+v", info)
	}
}

// pretend is an engine that answers a ping with an API version.
func pretend(t *testing.T, version string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("API-Version", version)
		w.Header().Set("OSType", "linux")
		fmt.Fprint(w, "OK")
	}))
	t.Cleanup(server.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
}

func TestEngineThatIsTooOld(t *testing.T) {
	for _, version := range []string{"1.30", "1.40", ""} {
		pretend(t, version)
		_, err := Connect(context.Background())
		if !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), minimumAPI) {
			t.Errorf("API %q: error %v, want ErrTooOld with the version that is needed", version, err)
		}
	}
}

func TestEngineThatIsNotThere(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	_, err := Connect(context.Background())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "is it running?") || !strings.Contains(err.Error(), "none.sock") {
		t.Errorf("error %v, want ErrUnreachable with the address and a hint", err)
	}
}

func TestEngineThatHangs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }))
	defer server.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestImage(t *testing.T) {
	ctx, e := with(t)
	image, err := e.Image(ctx, subject)
	if err != nil {
		t.Fatal(err)
	}
	if image.ID == "" || image.OS != "linux" || !slices.Equal(image.Entrypoint, []string{"/subject"}) || !slices.Equal(image.Command, []string{"wait"}) {
		t.Errorf("image %+v", image)
	}
	if _, err := e.Image(ctx, prefix+"nowhere:1"); !errors.Is(err, ErrNoImage) {
		t.Errorf("error %v, want ErrNoImage", err)
	}
}

func TestContainerOfNoImage(t *testing.T) {
	ctx, e := with(t)
	_, err := e.Create(ctx, ContainerSpec{Name: name("c"), Image: prefix + "nowhere:1", Command: []string{"x"}})
	if !errors.Is(err, ErrNoImage) {
		t.Errorf("error %v, want ErrNoImage", err)
	}
}

func TestNameInUse(t *testing.T) {
	ctx, e := with(t)
	taken := name("taken")
	create(t, func(spec *ContainerSpec) { spec.Name = taken })
	if _, err := e.Create(ctx, ContainerSpec{Name: taken, Image: subject}); !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want ErrExists", err)
	}
}
