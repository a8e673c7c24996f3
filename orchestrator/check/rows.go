package check

import (
	"fmt"
	"sort"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// promise is what a system says of its rows.
type promise string

// The promises that expect.rows can name.
const (
	exactlyOnce promise = "exactly-once"
	atLeastOnce promise = "at-least-once"
	atMostOnce  promise = "at-most-once"
)

// checkRows is the row oracle. It compares what was sent with what the output
// files hold, by six rules:
//
//  1. every row of a chunk whose publish was confirmed is there;
//  2. none is there that was never sent;
//  3. each is there once, however often its chunk was sent;
//  4. each is in its partition;
//  5. a chunk's rows of a partition, a block, stand together and in order;
//  6. every line is complete, and the header stands once, as the first line.
//
// Blocks are compared as a multiset: two chunks with equal rows need two
// blocks, and which of them is whose does not matter. A block of a chunk that
// was never confirmed may be present or absent, each partition's by itself,
// but only as a whole: one of which some rows are there is torn.
//
// at-least-once leaves out rule 3 and at-most-once rule 1, and the wholeness
// of blocks with it. With order: sent, blocks of a file moreover stand in the
// order in which their chunks were first sent. That rule leaves out chunks
// that were sent more than once or never confirmed, and blocks that are equal
// to one of those: when they arrived is not known.
//
// A row's text says which partition it belongs to, so partitions are looked
// at one by one, and only one is in memory. The work on each is done in three
// steps, over hashes of rows. Most data needs only the first: each file is
// taken apart into whole blocks (cover.go). Where blocks could be taken in
// several ways and the way chosen did not work out, a search decides whether
// any does (search.go). What is left over is explained row by row
// (explain.go). At the end lines that are no row at all are compared with the
// rows of which they may be a part (fragments.go).
func checkRows(seen *evidence) Result {
	expect := promise(seen.scenario.Expect.Rows)
	switch {
	case expect == "off", expect == "" && seen.facts.Rows == nil:
		return off()
	case expect == "":
		expect = exactlyOnce
	}
	sent, err := seen.sent()
	if err != nil {
		return uncomputed(err.Error())
	}
	o, reason := newOracle(seen, sent, expect)
	if reason != "" {
		return uncomputed(reason)
	}
	defer o.strangers.close()
	if err := o.judge(); err != nil {
		return uncomputed(err.Error())
	}
	findings, err := o.report.findings(o)
	if err != nil {
		return uncomputed(err.Error())
	}
	detail := fmt.Sprintf("%s in %s", amount(o.lines, "row"), amount(len(o.files), "file"))
	return conclude(findings, append(o.undecided, sent.doubts(seen)...), detail)
}

// oracle holds one comparison of what was sent with what is there.
type oracle struct {
	seen   *evidence
	facts  *scenario.Rows
	place  *placer
	sent   *ledger
	expect promise
	inSent bool // order: sent

	files []*outputFile
	lines int // rows in all files, headers not counted

	// foreign are the lines that stand in another file than their
	// partition's, by the partition to which they belong.
	foreign   []stream
	strangers spool

	table     partitionCheck // used again for each partition
	fragments fragments
	absences  map[int][]absence // by partition
	undecided []string
	report    report
}

// newOracle gathers the files; a reason says why there is nothing to compare.
func newOracle(seen *evidence, sent *ledger, expect promise) (o *oracle, reason string) {
	place, err := newPlacer(seen.facts.Rows)
	if err != nil {
		return nil, err.Error()
	}
	o = &oracle{
		seen: seen, facts: seen.facts.Rows, place: place, sent: sent, expect: expect,
		inSent:  seen.scenario.Expect.Order == "sent",
		foreign: make([]stream, place.count), strangers: spool{limit: seen.limits.held},
		absences: map[int][]absence{}, report: report{tornLast: map[int]bool{}},
	}
	o.fragments.oracle, o.fragments.expected = o, map[linePlace][]rowID{}
	o.table.left.limit = seen.limits.explained
	service := o.facts.Output.Service
	for _, event := range seen.history.Events {
		if event.Kind == history.Warning && event.Service == service && strings.Contains(event.Text, "collect") {
			return nil, event.Text
		}
	}
	for _, file := range seen.history.Files {
		if file.Service != service || file.Stage != history.AtEnd {
			continue
		}
		matched, err := doublestar.Match(o.facts.Output.Files, file.Path)
		if err != nil {
			return nil, fmt.Sprintf("the output files %q are no valid glob: %v", o.facts.Output.Files, err)
		}
		if matched {
			o.files = append(o.files, &outputFile{File: file, partition: place.ofFile(file.Path)})
		}
	}
	sort.Slice(o.files, func(a, b int) bool { return o.files[a].Path < o.files[b].Path })
	// The sender's record was collected, so collecting came about. No output
	// file then means that all is lost, if the service was there to write one.
	if len(o.files) == 0 && !seen.created(service) {
		return nil, fmt.Sprintf("%s, which writes the output files, never ran", service)
	}
	return o, ""
}

// created says whether a service's container was there at all.
func (e *evidence) created(service string) bool {
	for _, event := range e.history.Events {
		if event.Kind == history.Created && event.Service == service {
			return true
		}
	}
	return e.started(service)
}

// requiredChunk says whether a chunk's rows must be there.
func (o *oracle) requiredChunk(chunk int) bool {
	return o.expect != atMostOnce && o.sent.confirmed(chunk)
}

// judge goes through the partitions twice. The first time it takes files
// apart and learns which lines belong to another partition; a partition in
// which nothing is wrong is done with then. The others are explained the
// second time, when all lines that belong to them are known.
func (o *oracle) judge() error {
	for number, file := range o.files {
		if file.partition < 0 || file.partition >= o.place.count {
			if err := o.readStray(number, file); err != nil {
				return err
			}
		}
	}
	var wrong []int
	for partition := range o.place.count {
		c, err := o.open(partition, true)
		if err != nil {
			return err
		}
		if c.clean() {
			c.finish()
		} else {
			wrong = append(wrong, partition)
		}
	}
	for partition := range o.place.count {
		if len(wrong) > 0 && wrong[0] == partition {
			wrong = wrong[1:]
		} else if o.foreign[partition].empty() {
			continue
		}
		c, err := o.open(partition, false)
		if err != nil {
			return err
		}
		if err := c.settle(); err != nil {
			return err
		}
		if err := c.explain(); err != nil {
			return err
		}
		c.finish()
	}
	o.table = partitionCheck{} // what follows reads the record again, and needs the memory
	if err := o.fragments.resolve(); err != nil {
		return err
	}
	o.reportAbsences()
	o.reportLastLines()
	return nil
}

// reportLastLines notes whole rows at the end of a file that have no newline.
func (o *oracle) reportLastLines() {
	for number, file := range o.files {
		if file.incomplete && !o.report.tornLast[number] {
			line := namedLine{file: number, index: uint32(file.lines - 1), row: noRow}
			o.report.noteTorn(tornLine{namedLine: line, why: "a whole row without its newline"})
		}
	}
}

// pathOf gives the one file of a partition, "" when there is none or several.
func (o *oracle) pathOf(partition int) string {
	path := ""
	for _, file := range o.files {
		if file.partition == partition {
			if path != "" {
				return ""
			}
			path = file.Path
		}
	}
	return path
}
