package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path"
	"slices"
	"strings"
)

//go:embed web
var web embed.FS

// The parts of the pages. Each page is one file with its sheet and its script
// in it, so that it can be mailed and kept.
var (
	sheet          = asset("style.css")
	runsScript     = script("page.js", "chart.js", "timeline.js", "runs.js")
	campaignScript = script("page.js", "chart.js", "matrix.js")
	pages          = template.Must(template.New("").Funcs(pageFuncs).ParseFS(web, "web/*.html"))
)

func asset(name string) string {
	text, err := web.ReadFile(path.Join("web", name))
	if err != nil {
		panic(err) // it is in this executable
	}
	return string(text)
}

// script puts files into one strict scope, so that nothing of theirs is global.
func script(names ...string) string {
	var text strings.Builder
	text.WriteString("(() => {\n'use strict';\n")
	for _, name := range names {
		text.WriteString(asset(name))
	}
	text.WriteString("})();\n")
	return text.String()
}

// frame is what every page has.
type frame struct {
	Title, Killpoint, Date, From string
	IconColour                   string
	Outcome                      Outcome
	Style                        template.CSS
	Script                       template.JS
}

func newFrame(title, killpoint string, outcome Outcome, code string) frame {
	colour := map[Outcome]string{Passed: "1b7448", Failed: "b3261e", Broken: "b3261e"}[outcome]
	if colour == "" {
		colour = "7d5300"
	}
	return frame{
		Title: title, Killpoint: killpoint, IconColour: colour, Outcome: outcome,
		Style: template.CSS(sheet), Script: template.JS(code),
	}
}

// Policy forbids the page everything but its own sheet and script: what a log
// holds can then neither run nor call anybody.
func (f frame) Policy() string {
	sum := sha256.Sum256([]byte(f.Script))
	return "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// embedJSON is a value as JSON that cannot end the script that it stands in.
func embedJSON(value any) (template.JS, error) {
	text, err := json.Marshal(value) // escapes <, > and &
	if err != nil {
		return "", fmt.Errorf("write data of a page: %w", err)
	}
	return template.JS(text), nil
}

func render(to io.Writer, name string, data any) error {
	var page bytes.Buffer // whole or not at all
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	if _, err := page.WriteTo(to); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return nil
}

var pageFuncs = template.FuncMap{
	"words":      outcomeWords,
	"grouped":    grouped,
	"iconOf":     iconOf,
	"statusOf":   func(status CheckStatus) Outcome { return status.outcome() },
	"modelWords": modelWords,
	"placeOf": func(finding Finding) string {
		if finding.Line == 0 {
			return ""
		}
		return place(finding.File, finding.Line, finding.Column)
	},
	"rowTable": newRowTable,
	"withMany": func(run htmlRun, many bool) any {
		return struct {
			Run  htmlRun
			Many bool
		}{run, many}
	},
}

// iconOf is the sign of an outcome; some share one.
func iconOf(outcome Outcome) Outcome {
	switch outcome {
	case Passed, Failed, Broken, NotRun:
		return outcome
	default:
		return Inconclusive
	}
}

func modelWords(model string) string {
	switch model {
	case "process-crash":
		return "SIGKILL: what was written is in the page cache and survives"
	case "power-loss":
		return "what was not synced is gone"
	default:
		return ""
	}
}

// rowTable is the rows of a finding without the columns that say nothing.
type rowTable struct {
	File, Partition, Expected, Chunk, Text bool
	Folder                                 string // of all files, when it is one
	Rows                                   []tableRow
	More                                   int
}

type tableRow struct{ Place, Partition, Expected, Chunk, Text string }

func newRowTable(finding Finding) rowTable {
	table := rowTable{More: max(0, finding.Count-len(finding.Rows))}
	folders := map[string]bool{}
	for _, row := range finding.Rows {
		table.File = table.File || row.File != ""
		table.Partition = table.Partition || row.Partition != nil
		table.Expected = table.Expected || row.Partition != nil && row.Expected != nil && *row.Partition != *row.Expected
		table.Chunk = table.Chunk || row.Chunk != ""
		table.Text = table.Text || row.Text != ""
		folders[path.Dir(row.File)] = true
	}
	one := table.File && len(folders) == 1
	for _, row := range finding.Rows {
		cells := tableRow{
			Place: place(row.File, row.Line, 0), Partition: number(row.Partition), Expected: number(row.Expected),
			Chunk: oneLine(row.Chunk), Text: oneLine(row.Text),
		}
		if one {
			table.Folder, cells.Place = path.Dir(row.File), place(path.Base(row.File), row.Line, 0)
		}
		table.Rows = append(table.Rows, cells)
	}
	return table
}

func number(value *int) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(*value)
}

// grouped writes a number with its thousands apart.
func grouped(value int) string {
	digits := fmt.Sprint(value)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// anchors gives each name an id that no other has and that is safe in an
// address.
type anchors []string

func (a *anchors) of(name string) string {
	plain := strings.Map(func(char rune) rune {
		if char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || char == '-' || char == '.' {
			return char
		}
		return '-'
	}, name)
	id := "run-" + plain
	for count := 2; slices.Contains(*a, id); count++ {
		id = fmt.Sprintf("run-%s-%d", plain, count)
	}
	*a = append(*a, id)
	return id
}
