package scenario

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// syntaxProblems says what makes a text no YAML, and where. The library gives
// a line at most, and often the line in which the surrounding mapping begins;
// the place is found by looking how much of the text is YAML without the rest.
func syntaxProblems(path string, text []byte, lines source, err error) Problems {
	if tabs := tabProblems(path, lines); tabs != nil {
		return tabs
	}
	what, hint := syntaxText(err)
	position := syntaxPlace(path, text, lines, err)
	return Problems{{Position: position, Text: what, Hint: hint, Source: lines.line(position.Line)}}
}

// tabProblems finds every tab that indents a line. In a text that is YAML,
// tabs may stand there, within a block text; in one that is not, they are
// what is wrong with it.
func tabProblems(path string, lines source) Problems {
	var problems Problems
	for i, line := range lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(indent) < len(line) {
			problems = append(problems, Problem{
				Position: Position{File: path, Line: i + 1, Column: tab + 1},
				Text:     "a tab indents the line", Hint: "YAML is indented with spaces", Source: lines.line(i + 1),
			})
		}
	}
	return problems
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxPlace finds where a text stops being YAML: after its longest
// beginning that is YAML by itself, first by lines, then within the line.
func syntaxPlace(path string, text []byte, lines source, err error) Position {
	budget := parseBudget
	good := 0
	starts := lineStarts(text)
	for n := len(starts) - 1; n >= 0 && budget > 0; n-- {
		if isYAML(text[:starts[n]], &budget) {
			good = n
			break
		}
	}
	if budget <= 0 {
		line, _ := strconv.Atoi(syntaxLine.FindStringSubmatch(err.Error())[1])
		line = min(max(line, 1), len(lines))
		return Position{File: path, Line: line, Column: indentOf(lines.line(line)) + 1}
	}
	line := text[starts[good]:]
	if end := bytes.IndexAny(line, "\r\n"); end >= 0 {
		line = line[:end]
	}
	column := indentOf(string(line))
	for end := len(line); end > column && budget > 0; end-- {
		if isYAML(text[:starts[good]+end], &budget) {
			column = end
			break
		}
	}
	return placeOf(path, text, starts[good]+column)
}

// parseBudget bounds how many bytes are parsed in search of a place.
const parseBudget = 16 << 20

// lineStarts gives the offset of the beginning of each line.
func lineStarts(text []byte) []int {
	starts := []int{0}
	for i, character := range text {
		if character == '\n' && i+1 < len(text) {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// isYAML says whether a text is YAML and takes its length from the budget.
func isYAML(text []byte, budget *int) bool {
	*budget -= len(text) + 1
	reader := yaml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := nextDocument(reader); err != nil {
			return err.Error() == "EOF"
		}
	}
}

func indentOf(line string) int {
	return len(line) - len(strings.TrimLeft(line, " "))
}

// syntaxTexts says in a person's words what the YAML library says in its own.
var syntaxTexts = []struct{ trouble, text, hint string }{
	{"mapping values are not allowed", "a second ': ' where one value ends", "put a text with ': ' in it in quotes, or check the indentation"},
	{"did not find expected key", "a key was expected here", "keys of one mapping begin in the same column, and a '{' or '[' that is opened is closed"},
	{"did not find expected '-' indicator", "a '-' was expected here", "entries of one list begin in the same column"},
	{"could not find expected ':'", "a ':' is missing after a key", "write key: value"},
	{"found character that cannot start any token", "this character cannot begin a value", "put the value in single quotes"},
	{"did not find expected ',' or ']'", "a list in [ ] is not closed", "write , between its entries and ] at the end"},
	{"did not find expected ',' or '}'", "a mapping in { } is not closed", "write , between its keys and } at the end"},
	{"found unexpected end of stream", "a quote is not closed", "close it with the quote that it begins with; '' is a quote within single quotes"},
	{"found unknown escape character", "unknown escape after '\\'", `in double quotes '\' begins an escape: use single quotes, or '\\'`},
	{"unknown anchor", "the anchor is not defined", "a * begins an alias: put a text that begins with * in quotes"},
	{"did not find expected node content", "a value was expected here", "check for a ',' or a bracket too many"},
	{"control characters are not allowed", "a control character stands here", "leave it out, or write it as an escape in double quotes"},
	{"did not find expected whitespace or line break", "a space is missing", "separate values by spaces, and put texts with '%', '@' or '!' in quotes"},
	{"did not find expected alphabetic or numeric character", "'&' and '*' begin anchors and aliases", "put a text that begins with one in quotes"},
	{"block sequence entries are not allowed", "a '-' cannot stand here", "begin the list in a line of its own"},
	{"block mapping", "a key cannot stand here", "check the indentation"},
	{"did not find expected <document start>", "the document ended before this line", "check the indentation"},
}

// syntaxText gives what is wrong and what to do about it.
func syntaxText(err error) (what, hint string) {
	trouble := strings.TrimPrefix(err.Error(), syntaxLine.FindString(err.Error()))
	for _, known := range syntaxTexts {
		if strings.Contains(trouble, known.trouble) {
			return fmt.Sprintf("%s (not YAML: %s)", known.text, trouble), known.hint
		}
	}
	return fmt.Sprintf("not YAML: %s", trouble), "check quotes, brackets and indentation"
}
