package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/pflag"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// resultFiles are the files that results are written to, one for each form.
// An empty name is none, and - is stdout.
type resultFiles struct{ json, junit, html string }

func (f *resultFiles) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.json, "json", "", "write the results as JSON to this `file`; - is stdout")
	flags.StringVar(&f.junit, "junit", "", "write the results as JUnit XML to this `file`; - is stdout")
	flags.StringVar(&f.html, "html", "", "write the results as a page for a browser to this `file`; - is stdout")
}

func (f resultFiles) all() []string { return []string{f.json, f.junit, f.html} }

// check says that several files want stdout.
func (f resultFiles) check() error {
	count := 0
	for _, file := range f.all() {
		if file == "-" {
			count++
		}
	}
	if count > 1 {
		return errors.New("only one of --json, --junit and --html can have stdout (-)")
	}
	return nil
}

// haveStdout says whether a file has stdout, so that nothing else may use it.
func (f resultFiles) haveStdout() bool { return f.json == "-" || f.junit == "-" || f.html == "-" }

// touch sees that every file can be written.
func (f resultFiles) touch() error {
	for _, file := range f.all() {
		if file == "" || file == "-" {
			continue
		}
		opened, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		if err := opened.Close(); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// renderings are results in each of their forms.
type renderings struct{ json, junit, html func(io.Writer) error }

// writeFiles writes each form into its file. One that fails does not keep the
// others from being written.
func (w *world) writeFiles(files resultFiles, forms renderings) error {
	write := func(file string, render func(io.Writer) error) error {
		switch file {
		case "":
			return nil
		case "-":
			return render(w.stdout)
		default:
			return report.WriteFile(file, render)
		}
	}
	return errors.Join(write(files.json, forms.json), write(files.junit, forms.junit), write(files.html, forms.html))
}

// pages keeps what the HTML page shows of each run, by its name: when the page
// is written, the history of a run that passed may be gone.
type pages struct {
	wanted bool

	mu     sync.Mutex
	byName map[string]report.Page
	failed []error
}

func newPages(wanted bool) *pages { return &pages{wanted: wanted, byName: map[string]report.Page{}} }

func (p *pages) keep(name string, sc *scenario.Scenario, h *history.History) {
	if !p.wanted {
		return
	}
	page, err := report.NewPage(sc, h)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName[name] = page
	if err != nil {
		p.failed = append(p.failed, err)
	}
}

func (p *pages) renderings(document report.Document) renderings {
	return renderings{
		json:  func(to io.Writer) error { return report.WriteJSON(to, document) },
		junit: func(to io.Writer) error { return report.WriteJUnit(to, document) },
		html: func(to io.Writer) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			return errors.Join(append(p.failed, report.WriteHTML(to, document, p.byName))...)
		},
	}
}
