package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// document is a compose file as it was written, for the places of problems.
type document struct {
	file  string // as messages name it
	lines []string
	root  *yaml.Node // nil when the file is no YAML mapping
}

func readDocument(path, shown string) (*document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &document{file: shown, lines: strings.Split(string(text), "\n")}
	var top yaml.Node
	err = yaml.NewDecoder(bytes.NewReader(text)).Decode(&top)
	if err != nil && !errors.Is(err, io.EOF) {
		return d, err
	}
	if len(top.Content) == 1 && top.Content[0].Kind == yaml.MappingNode {
		d.root = top.Content[0]
	}
	return d, nil
}

// find gives the node at a path of keys and how many of the keys were found.
// The position of a key is that of the key itself, not of its value.
func (d *document) find(path ...string) (position scenario.Position, value *yaml.Node, depth int) {
	position = scenario.Position{File: d.file}
	value = d.root
	for _, key := range path {
		at, next := child(value, key)
		if at == nil {
			return position, value, depth
		}
		position.Line, position.Column = at.Line, at.Column
		value, depth = next, depth+1
	}
	return position, value, depth
}

// child gives the key's node and its value, following aliases and merges. A
// list's items go by their number.
func child(node *yaml.Node, key string) (at, value *yaml.Node) {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil {
		return nil, nil
	}
	if node.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
		return nil, nil
	}
	if node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i], node.Content[i+1]
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Tag != "!!merge" {
			continue
		}
		merged := []*yaml.Node{node.Content[i+1]}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, from := range merged {
			if at, value := child(from, key); at != nil {
				return at, value
			}
		}
	}
	return nil, nil
}

// problem is a problem with the place of a path, as far as it is in the file.
func (d *document) problem(path []string, hint, format string, arguments ...any) scenario.Problem {
	position, _, _ := d.find(path...)
	return d.problemAt(position, hint, format, arguments...)
}

func (d *document) problemAt(position scenario.Position, hint, format string, arguments ...any) scenario.Problem {
	problem := scenario.Problem{Position: position, Text: fmt.Sprintf(format, arguments...), Hint: hint}
	if position.Line > 0 && position.Line <= len(d.lines) {
		problem.Source = strings.TrimSuffix(d.lines[position.Line-1], "\r")
	}
	return problem
}

var (
	errorLine    = regexp.MustCompile(`\bline (\d+)`)
	errorPath    = regexp.MustCompile(`\b(?:services|networks|volumes|configs|secrets|jobs|models)\.[^\s:"']+`)
	errorUnknown = regexp.MustCompile(`additional propert(?:y|ies) '([^']+)'`)
	errorService = regexp.MustCompile(`\bservice "?([\w.-]+)"?`)
)

// explain makes a problem of the loader's error. The loader names places by
// line, by path or by service, if at all, so they are found in its words.
func (d *document) explain(path string, err error) scenario.Problem {
	text := strings.TrimPrefix(err.Error(), "validating "+path+": ")
	text = strings.TrimPrefix(text, "failed to parse "+path+": ")
	text = strings.TrimPrefix(text, "yaml: ")
	text = strings.ReplaceAll(text, path, d.file)
	text, hint := oneLine(text)
	position := scenario.Position{File: d.file}
	switch {
	case errorPath.MatchString(text):
		keys := strings.Split(strings.TrimRight(errorPath.FindString(text), ".,"), ".")
		if unknown := errorUnknown.FindStringSubmatch(text); unknown != nil {
			keys = append(keys, unknown[1])
		}
		position, _, _ = d.find(keys...)
	case errorLine.MatchString(text):
		position.Line, _ = strconv.Atoi(errorLine.FindStringSubmatch(text)[1])
		position.Column = 1
		text = strings.TrimPrefix(text, errorLine.FindString(text)+": ")
	case errorUnknown.MatchString(text):
		position, _, _ = d.find(errorUnknown.FindStringSubmatch(text)[1])
	case errorService.MatchString(text):
		position, _, _ = d.find("services", errorService.FindStringSubmatch(text)[1])
	case d.root == nil && len(d.lines) > 0:
		position.Line, position.Column = 1, 1
	}
	return d.problemAt(position, hint, "%s", text)
}

// escapeHint is what the loader says below a template that it cannot read.
const escapeHint = "You may need to escape any $ with another $."

// oneLine makes the loader's error, which may go over several lines, one line
// and a hint. Of a line within a line, the inner one is the place; further
// errors of the kind are left for when the first was put right.
func oneLine(text string) (line, hint string) {
	if before, template, found := strings.Cut(text, escapeHint); found {
		return strings.TrimRight(before, ".\n ") + ": " + strings.Join(strings.Fields(template), " "), "a $ that is meant as such is written $$"
	}
	if errors, found := strings.CutPrefix(text, "construct errors:"); found {
		text = strings.TrimSpace(errors)
		text, _, _ = strings.Cut(text, "\n")
		for outer := errorLine.FindString(text); outer != "" && strings.HasPrefix(text, outer+": line "); outer = errorLine.FindString(text) {
			text = strings.TrimPrefix(text, outer+": ")
		}
	}
	return strings.Join(strings.Fields(text), " "), ""
}
