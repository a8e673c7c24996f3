package report

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is the Chromium that a test looks at pages with. What the pages
// complain of fails the test: whatever is on the console, a script that
// throws, and what the page's own policy had to forbid.
type browser struct {
	*testing.T
	ctx        context.Context
	complaints chan string
}

// lastWord is what a test itself writes on the console, behind everything.
const lastWord = "the test has seen all"

// openBrowser starts Chromium, or skips the test where there is none.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium (make chromium installs it)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	b := &browser{T: t, ctx: ctx, complaints: make(chan string)}
	messages := chromedp.Console(ctx) // listens from here on
	go func() {
		defer close(b.complaints)
		for message, err := range messages {
			if err != nil {
				return // the browser was closed
			}
			select {
			case b.complaints <- message.String():
			case <-ctx.Done():
				return
			}
		}
	}()
	return b
}

// look does something in the browser, within a bounded time.
func look[Value any](b *browser, action chromedp.Action[Value]) Value {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// eval gives what an expression on the page comes to.
func eval[Value any](b *browser, expression string) Value {
	b.Helper()
	return look(b, chromedp.Evaluate[Value](expression, chromedp.EvalAwaitPromise))
}

// open shows a page in a view as wide and as high as this.
func (b *browser) open(file string, width, height int64, dark bool) {
	b.Helper()
	scheme := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	if dark {
		scheme.Value = "dark"
	}
	look(b, chromedp.Steps(
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{scheme}})
			return err
		}),
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate("about:blank"), // an address that differs in its # alone would not be loaded again
		chromedp.Navigate("file://"+file),
	))
	b.drawn()
}

// drawn waits until the page has drawn what it was asked for.
func (b *browser) drawn() {
	b.Helper()
	eval[bool](b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
}

// press presses keys where the focus is.
func (b *browser) press(keys string) {
	b.Helper()
	look(b, chromedp.KeyEvent(keys))
	b.drawn()
}

// quiet fails the test when the pages had something to complain of.
func (b *browser) quiet() {
	b.Helper()
	eval[bool](b, `console.debug('`+lastWord+`') ?? true`)
	for {
		select {
		case text := <-b.complaints:
			if text == "debug: "+lastWord {
				return
			}
			b.Errorf("the page complains: %s", text)
		case <-time.After(30 * time.Second):
			b.Fatal("the console has fallen silent")
		}
	}
}

// shoot writes what is seen of the page into a picture.
func (b *browser) shoot(file string) {
	b.Helper()
	b.drawn()
	if err := os.WriteFile(file, look(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.Fatal(err)
	}
}

// written writes a page into a file and gives its full name.
func written(t *testing.T, write func(*os.File) error) string {
	t.Helper()
	opened, err := os.Create(filepath.Join(t.TempDir(), "page.html"))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := write(opened); err != nil {
		t.Fatal(err)
	}
	return opened.Name()
}
