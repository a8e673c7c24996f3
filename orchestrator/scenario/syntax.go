package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// syntaxProblems says what makes a text no YAML, and where. The library gives
// a line at most, and often the line in which the surrounding mapping begins;
// the place is found by looking how much of the text is YAML without the rest.
func syntaxProblems(path string, text []byte, lines source, err error) Problems {
	if tabs := tabProblems(path, lines); tabs != nil {
		return tabs
	}
	known, words := syntaxKnown(err)
	position := syntaxPlace(path, text, lines, err)
	line := lines.line(position.Line)
	what, hint := known.text, known.hint
	if rest := []rune(line); position.Column <= len(rest) && strings.ContainsRune("]}", rest[position.Column-1]) {
		what, hint = "a bracket too many", "count the brackets of the line"
	}
	return Problems{{Position: position, Text: fmt.Sprintf("%s (not YAML: %s)", what, words), Hint: hint, Source: line}}
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

// syntaxPlace finds where a text stops being YAML. Trouble with a character
// shows in every beginning of the text that holds it, so the shortest that
// shows it ends there. Trouble with what is missing shows too late, so the
// place is where the longest beginning that is YAML by itself ends: first by
// lines, then within the line.
func syntaxPlace(path string, text []byte, lines source, err error) Position {
	budget := parseBudget
	known, _ := syntaxKnown(err)
	if known.atCharacter {
		if end := shortestWith(text, known.trouble, &budget); end > 0 {
			return placeOf(path, text, lastCharacter(text[:end]))
		}
	}
	starts := lineStarts(text)
	good := len(starts) - 1
	for good > 0 && budget > 0 && !isYAML(text[:starts[good]], &budget) {
		good--
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
	if len(line) > searchWidth {
		return placeOf(path, text, starts[good]+column)
	}
	for end := len(line); end > column && budget > 0; end-- {
		if isYAML(text[:starts[good]+end], &budget) {
			column = end
			break
		}
	}
	return placeOf(path, text, starts[good]+column)
}

// shortestWith gives the length of the shortest beginning of a text that has
// a trouble which every longer one has too; 0 when that is not so.
func shortestWith(text []byte, trouble string, budget *int) int {
	return sort.Search(len(text), func(length int) bool {
		*budget -= length
		_, err := readAll(text[:length+1])
		return err != nil && strings.Contains(err.Error(), trouble)
	}) + 1
}

// lastCharacter gives the offset of the last character of a text that is no
// blank: some trouble is seen only at the blank behind what makes it.
func lastCharacter(text []byte) int {
	text = bytes.TrimRight(text, " \r\n")
	_, size := utf8.DecodeLastRune(text)
	return len(text) - size
}

// parseBudget bounds how many bytes are parsed in search of a place.
const parseBudget = 2 << 20

// searchWidth is the longest line, in bytes, in which the column is searched.
const searchWidth = 1000

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
	_, err := readAll(text)
	return err == nil
}

// readAll gives every document of a text.
func readAll(text []byte) (documents []*yaml.Node, err error) {
	reader := yaml.NewDecoder(bytes.NewReader(text))
	for {
		document, err := nextDocument(reader)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
}

func indentOf(line string) int {
	return len(line) - len(strings.TrimLeft(line, " "))
}

// syntaxTrouble is one trouble of the YAML library, in a person's words.
type syntaxTrouble struct {
	trouble, text, hint string
	// atCharacter says that a character is wrong where it stands, whatever
	// follows.
	atCharacter bool
}

const indentHint = "keys of one mapping begin in the same column, and so do the '-' of one list"

var syntaxTroubles = []syntaxTrouble{
	{"mapping values are not allowed", "a second ':' where one value ends", "put a text with ': ' in it in quotes, or check the indentation", true},
	{"did not find expected key", "the line fits nothing above it", indentHint, false},
	{"did not find expected '-' indicator", "the line fits nothing above it", indentHint, false},
	{"could not find expected ':'", "a ':' is missing after a key", "write key: value", false},
	{"found character that cannot start any token", "this character cannot begin a value", "put the value in single quotes", true},
	{"did not find expected ',' or ']'", "a list in [ ] is not closed", "write , between its entries and ] at the end", false},
	{"did not find expected ',' or '}'", "a mapping in { } is not closed", "write , between its keys and } at the end", false},
	{"found unexpected end of stream", "a quote is not closed", "close it with the quote that it begins with; '' is a quote within single quotes", false},
	{"found unknown escape character", `this is no escape after '\'`, `in double quotes '\' begins an escape: use single quotes, or '\\'`, true},
	{"unknown anchor", "an anchor of this name is not defined before", "a * begins an alias: put a text that begins with * in quotes", true},
	{"did not find expected alphabetic or numeric character", "a name must follow '&' or '*', which begin anchors and aliases", "put a text that begins with one in quotes", true},
	{"did not find expected node content", "a value was expected here", "check for a ',' or a bracket too many", false},
	{"control characters are not allowed", "a control character stands here", "leave it out, or write it as an escape in double quotes", true},
	{"did not find expected whitespace or line break", "a blank is missing", "put texts with '%', '@' or '!' in quotes", false},
	{"block sequence entries are not allowed", "a '-' cannot stand here", "begin the list in a line of its own", true},
	{"did not find expected <document start>", "the document ended before this line", indentHint, false},
}

// syntaxKnown gives what is known of an error of the YAML library, and the
// library's own words without the line.
func syntaxKnown(err error) (known syntaxTrouble, words string) {
	words = strings.TrimPrefix(err.Error(), syntaxLine.FindString(err.Error()))
	for _, known := range syntaxTroubles {
		if strings.Contains(words, known.trouble) {
			return known, words
		}
	}
	return syntaxTrouble{text: "this cannot be read", hint: "check quotes, brackets and indentation"}, words
}
