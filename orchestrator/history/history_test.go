package history_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killpoint/killpoint/orchestrator/history"
)

func TestEventsAreInTheOrderOfTheirTimes(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{RunID: "r1"}, t.TempDir())
	var seen []history.Event
	stop := recorder.Watch(func(event history.Event) { seen = append(seen, event) })
	var adding sync.WaitGroup
	for service := range 8 {
		adding.Go(func() {
			for number := range 100 {
				recorder.Add(history.Event{Kind: history.Log, Service: fmt.Sprint(service), Text: fmt.Sprint(number)})
			}
		})
	}
	adding.Wait()
	events := recorder.History().Events
	if len(events) != 800 {
		t.Fatalf("got %d events, want 800", len(events))
	}
	last := map[string]int{}
	for i, event := range events {
		if i > 0 && event.At < events[i-1].At {
			t.Errorf("event %d at %s comes after one at %s", i, event.At, events[i-1].At)
		}
		var number int
		fmt.Sscan(event.Text, &number)
		if number != last[event.Service] {
			t.Errorf("service %s: event %d where %d was due", event.Service, number, last[event.Service])
		}
		last[event.Service]++
	}
	if diff := cmp.Diff(events, seen); diff != "" {
		t.Errorf("the watcher saw other events (-recorded +seen):\n%s", diff)
	}
	stop()
	recorder.Add(history.Event{Kind: history.AllDone})
	if len(seen) != 800 {
		t.Errorf("the watcher was called after it had stopped")
	}
}

func TestTimesCountFromTheBeginning(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	before := recorder.Now()
	event := recorder.Add(history.Event{Kind: history.Created, At: time.Hour})
	after := recorder.Now()
	if event.At < before || event.At > after {
		t.Errorf("event at %s, want from %s to %s", event.At, before, after)
	}
	if recorded := recorder.History().Events[0].At; recorded != event.At {
		t.Errorf("recorded at %s, returned %s", recorded, event.At)
	}
}

func TestWatchGivesThePastFirst(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	recorder.Add(history.Event{Kind: history.Created, Service: "a"})
	var order []string
	defer recorder.WatchFrom(
		func(event history.Event) { order = append(order, event.Service) },
		func() { order = append(order, "live") },
	)()
	recorder.Add(history.Event{Kind: history.Created, Service: "b"})
	if diff := cmp.Diff([]string{"a", "live", "b"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestHistoryIsACopy(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{RunID: "r1"}, t.TempDir())
	recorder.Add(history.Event{Kind: history.Created})
	before := recorder.History()
	recorder.Add(history.Event{Kind: history.AllDone})
	recorder.Meta(func(meta *history.Meta) { meta.RunID = "changed" })
	recorder.Span(history.SpanImages, "build")()
	if len(before.Events) != 1 || before.Meta.RunID != "r1" || len(before.Spans) != 0 {
		t.Errorf("the copy changed: %+v", before)
	}
	after := recorder.History()
	if len(after.Events) != 2 || after.Meta.RunID != "changed" || len(after.Spans) != 1 {
		t.Fatalf("the recorder lacks what was added: %+v", after)
	}
	span := after.Spans[0]
	if span.Name != history.SpanImages || span.Note != "build" || span.End < span.Start || span.End > recorder.Now() {
		t.Errorf("span %+v", span)
	}
}

func TestSaveAndLoad(t *testing.T) {
	code := 137
	recorder := history.NewRecorder(history.Meta{
		RunID: "r1", Scenario: "restart", File: "restart.yaml", Replay: "killpoint run restart.yaml",
		Model: "process-crash", Images: map[string]string{"a": "sha256:1"}, Environment: map[string]string{"SEED": "5"},
	}, t.TempDir())
	recorder.Add(history.Event{Kind: history.Log, Service: "a", Incarnation: 2, Stream: "stdout", Text: "<tag> & \"quotes\" \x01 é"})
	recorder.Add(history.Event{Kind: history.Exited, Service: "a", Incarnation: 2, Code: &code, Text: "SIGKILL"})
	recorder.Add(history.Event{Kind: history.CommandRan, Service: "a", Code: new(int), Stdout: "out", Stderr: "err", Expect: 3})
	recorder.Add(history.Event{Kind: history.QueueDepth, Queue: "q", Ready: 1, Unacked: 2})
	recorder.AddSpan(history.Span{Name: history.SpanWorkload, Start: time.Second, End: 2 * time.Second})
	store(t, recorder, "a", "/data/x.csv", history.AtEnd, "1,a\n")
	store(t, recorder, "b", "/other/x.csv", history.BeforeStable, "2,b\n")
	saved := recorder.History()

	folder := filepath.Join(t.TempDir(), "made", "by", "save")
	if err := saved.Save(folder); err != nil {
		t.Fatal(err)
	}
	// Saving into the folder in which the files lie already leaves them there.
	if err := saved.Save(saved.Dir); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{folder, saved.Dir} {
		loaded, err := history.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := *saved
		want.Dir = dir
		if diff := cmp.Diff(&want, loaded, cmpopts.IgnoreUnexported(want)); diff != "" {
			t.Errorf("loaded from %s (-saved +loaded):\n%s", dir, diff)
		}
		if got := contents(t, loaded); !cmp.Equal(got, []string{"1,a\n", "2,b\n"}) {
			t.Errorf("files %q", got)
		}
	}
}

func store(t *testing.T, recorder *history.Recorder, service, path string, stage history.Stage, content string) history.File {
	t.Helper()
	file, err := recorder.Store(service, path, stage, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func contents(t *testing.T, h *history.History) (texts []string) {
	t.Helper()
	for _, file := range h.Files {
		content, err := h.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func TestStoreKeepsContentAndItsHash(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	file := store(t, recorder, "a", "/x", history.AtEnd, "abc")
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc, FIPS 180-2
	if file.SHA256 != sum || file.Size != 3 || file.Service != "a" || file.Path != "/x" || file.Stage != history.AtEnd {
		t.Errorf("got %+v", file)
	}
	long := store(t, history.NewRecorder(history.Meta{}, t.TempDir()), "a", "/"+strings.Repeat("x", 251)+".csv", history.AtEnd, "abc")
	cuts := history.NewRecorder(history.Meta{}, t.TempDir())
	cut, err := cuts.StoreCut(2, "a", "/x", history.AtCrash, strings.NewReader("ab"))
	if err != nil || cut.Fault != 2 || cuts.History().Files[0] != cut {
		t.Errorf("stored %+v (%v), in the history is %+v", cut, err, cuts.History().Files)
	}
	if !strings.HasSuffix(long.Stored, "x.csv") || len(long.Path) != 256 {
		t.Errorf("a long name: %+v", long)
	}
	// Files of one name from two services, stored at once, stay apart.
	var storing sync.WaitGroup
	for number := range 20 {
		storing.Go(func() {
			if _, err := recorder.Store(fmt.Sprint(number), "/same", history.AtEnd, strings.NewReader(fmt.Sprint(number))); err != nil {
				t.Error(err)
			}
		})
	}
	storing.Wait()
	h := recorder.History()
	for i, text := range contents(t, h) {
		if want := map[bool]string{true: "abc", false: h.Files[i].Service}[i == 0]; text != want {
			t.Errorf("file %d of %s holds %q", i, h.Files[i].Service, text)
		}
	}
	collected := 0
	for _, event := range h.Events {
		if event.Kind == history.Collected {
			collected++
		}
	}
	if len(h.Files) != 21 || collected != 21 {
		t.Errorf("%d files, %d events", len(h.Files), collected)
	}
}

func TestStoreThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	recorder := history.NewRecorder(history.Meta{}, dir)
	broken := io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(errors.New("connection lost")))
	if _, err := recorder.Store("a", "/x", history.AtEnd, broken); err == nil || !strings.Contains(err.Error(), "connection lost") {
		t.Errorf("error %v", err)
	}
	h := recorder.History()
	if len(h.Files) != 0 || len(h.Events) != 0 {
		t.Errorf("recorded %v %v", h.Files, h.Events)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "files")); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
	// What is stored afterwards is not mixed up with it.
	store(t, recorder, "a", "/x", history.AtEnd, "whole")
	if got := contents(t, recorder.History()); !cmp.Equal(got, []string{"whole"}) {
		t.Errorf("files %q", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := history.NewRecorder(history.Meta{}, t.TempDir())
	good.Add(history.Event{Kind: history.Created})
	for name, test := range map[string]struct {
		file, content, want string
	}{
		"nothing there":        {"history.json", "", "load history"},
		"a newer version":      {"history.json", `{"version": 99}`, "version 99 is newer"},
		"something else":       {"history.json", `[]`, "load history"},
		"an event that is cut": {"events.jsonl", "{\"at\":1,\"kind\":\"created\"}\n{\"at\":2,\"ki", "event 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := good.History().Save(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, test.file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if test.content != "" {
				if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := history.Load(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestOpenNamesTheFileThatIsGone(t *testing.T) {
	h := history.History{Dir: t.TempDir()}
	_, err := h.Open(history.File{Service: "worker", Path: "/data/x.csv", Stored: "files/0001-x.csv"})
	if err == nil || !strings.Contains(err.Error(), "/data/x.csv of worker") {
		t.Errorf("error %v", err)
	}
}

func TestReadSent(t *testing.T) {
	empty := ""
	long := strings.Repeat("x", 1<<17)
	for name, test := range map[string]struct {
		text string
		want []history.SentLine
		err  string
	}{
		"nothing": {"", nil, ""},
		"all kinds of line": {
			`{"chunk":"A","client":"TEST","partitions":5,"rows":["1,a","2,\"b\""]}` + "\n" +
				`{"confirmed":"A"}` + "\n" + `{"chunk":"A","again":true}` + "\n" +
				`{"malformed":"","reason":"no id"}` + "\n" + `{"done":true,"chunks":1}` + "\n",
			[]history.SentLine{
				{Chunk: "A", Client: "TEST", Partitions: 5, Rows: []string{"1,a", `2,"b"`}}, {Confirmed: "A"},
				{Chunk: "A", Again: true}, {Malformed: &empty, Reason: "no id"}, {Done: true},
			}, "",
		},
		"empty lines":                        {"\n{\"done\":true}\n  \n", []history.SentLine{{Done: true}}, ""},
		"a line longer than any buffer":      {`{"chunk":"A","rows":["` + long + "\"]}\n", []history.SentLine{{Chunk: "A", Rows: []string{long}}}, ""},
		"a last line that was being written": {"{\"confirmed\":\"A\"}\n{\"chunk\":\"B\",\"ro", []history.SentLine{{Confirmed: "A"}}, ""},
		"a last line without its newline":    {"{\"confirmed\":\"A\"}\n{\"chunk\":\"B\"}", []history.SentLine{{Confirmed: "A"}}, ""},
		"a line that is torn in the middle":  {"{\"chunk\":\"A\",\"ro\n{\"confirmed\":\"A\"}\n", nil, "line 1"},
		"a line that is no object":           {"{\"done\":true}\n[]\n", []history.SentLine{{Done: true}}, "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []history.SentLine
			err := history.ReadSent(iotest.HalfReader(strings.NewReader(test.text)), func(line history.SentLine) error {
				got = append(got, line)
				return nil
			})
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadSentStopsAtAnError(t *testing.T) {
	stop := errors.New("enough")
	calls := 0
	err := history.ReadSent(strings.NewReader("{\"done\":true}\n{\"done\":true}\n"), func(history.SentLine) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	broken := io.MultiReader(strings.NewReader("{\"done\":true}\n"), iotest.ErrReader(errors.New("disk gone")))
	if err := history.ReadSent(broken, func(history.SentLine) error { return nil }); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("error %v", err)
	}
}

// Where there are very many histories, what they collect is held in memory up
// to a limit, and is there like any other file.
func TestFilesInMemory(t *testing.T) {
	dir := t.TempDir()
	recorder := history.NewRecorder(history.Meta{}, dir)
	recorder.Hold(5)
	store(t, recorder, "a", "/x", history.AtEnd, "abc")
	store(t, recorder, "a", "/y", history.AtEnd, "defg") // more than there is room for
	store(t, recorder, "a", "/z", history.AtEnd, "hi")
	on, err := filepath.Glob(filepath.Join(dir, "files", "*"))
	if err != nil || len(on) != 1 || !strings.HasSuffix(on[0], "y") {
		t.Errorf("on disk are %q (%v)", on, err)
	}
	h := recorder.Cut()
	if got := contents(t, h); !cmp.Equal(got, []string{"abc", "defg", "hi"}) {
		t.Errorf("files %q", got)
	}
	if h.Files[0].SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" || h.Files[0].Size != 3 {
		t.Errorf("got %+v", h.Files[0])
	}
	for _, to := range []string{t.TempDir(), dir} {
		if err := h.Save(to); err != nil {
			t.Fatal(err)
		}
		loaded, err := history.Load(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, loaded); !cmp.Equal(got, []string{"abc", "defg", "hi"}) {
			t.Errorf("loaded files %q", got)
		}
	}
	// What was cut off is no part of what comes then, and leaves room for it.
	store(t, recorder, "a", "/x", history.AtEnd, "later")
	later := recorder.History()
	if got := contents(t, later); !cmp.Equal(got, []string{"later"}) || later.Files[0].Stored == h.Files[0].Stored {
		t.Errorf("files %q, %+v", got, later.Files)
	}
	if on, _ := filepath.Glob(filepath.Join(dir, "files", "*")); len(on) != 3 { // those of the history that was saved there
		t.Errorf("on disk are %q", on)
	}
}
