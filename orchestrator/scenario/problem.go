package scenario

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a scenario, and what to do about it.
type Problem struct {
	Position Position
	// Text says what is wrong, without the place.
	Text string
	// Hint says what to do; empty when Text leaves no doubt.
	Hint string
	// Source is the line at Position as it stands in the file; empty when it
	// is not known.
	Source string
}

// Error gives file:line:col: what is wrong; Detail adds the line and the hint.
func (p Problem) Error() string {
	if place := p.Position.String(); place != "" {
		return place + ": " + p.Text
	}
	return p.Text
}

// Detail gives the problem with the line that it is in, a caret under the
// column, and the hint. It does not end in a newline.
func (p Problem) Detail() string {
	var text strings.Builder
	text.WriteString(p.Error())
	if p.Source != "" && p.Position.Line > 0 {
		shown, caret := excerpt(p.Source, p.Position.Column)
		number := fmt.Sprint(p.Position.Line)
		fmt.Fprintf(&text, "\n  %s | %s", number, shown)
		fmt.Fprintf(&text, "\n  %s | %s^", strings.Repeat(" ", len(number)), strings.Repeat(" ", caret))
	}
	if p.Hint != "" {
		text.WriteString("\n  hint: " + p.Hint)
	}
	return text.String()
}

// excerptWidth is how many characters of a line are shown at most.
const excerptWidth = 100

// excerpt gives the part of a line around a column (counted in characters
// from 1) and how far into it the column is. Tabs become one space each and
// what cannot be printed becomes a dot, so that the caret stands right.
func excerpt(line string, column int) (string, int) {
	characters := []rune(line)
	for i, character := range characters {
		switch {
		case character == '\t':
			characters[i] = ' '
		case !unicode.IsPrint(character):
			characters[i] = '.'
		}
	}
	caret := min(max(column-1, 0), len(characters))
	start := 0
	if len(characters) > excerptWidth {
		start = min(max(caret-excerptWidth/2, 0), len(characters)-excerptWidth)
		characters = characters[start : start+excerptWidth]
	}
	return strings.TrimRight(string(characters), " "), caret - start
}

// Problems is every problem of a scenario, sorted by position. It is an error,
// but a nil Problems in an error variable is not nil: use Err.
type Problems []Problem

// problemLimit is how many problems Error prints before it only counts.
const problemLimit = 50

// Error gives every problem in full, one below the other.
func (p Problems) Error() string {
	var text strings.Builder
	for i, problem := range p {
		if i == problemLimit {
			fmt.Fprintf(&text, "\nand %d more problems", len(p)-problemLimit)
			break
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(problem.Detail())
	}
	return text.String()
}

// Err gives the problems as an error, and nil when there is none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// sorted gives the problems by position, each once, and nil when there is
// none. Those whose place is not known come first.
func (p Problems) sorted() Problems {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
		)
	})
	return slices.CompactFunc(p, func(a, b Problem) bool {
		return a.Position == b.Position && a.Text == b.Text
	})
}

// source is the lines of a file, from which problems quote.
type source []string

// sourceOf splits a file's text into its lines, as YAML counts them.
func sourceOf(text []byte) source {
	normal := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(text))
	return strings.Split(normal, "\n")
}

// line gives the line with a number counted from 1, or "".
func (s source) line(number int) string {
	if number < 1 || number > len(s) {
		return ""
	}
	return strings.ToValidUTF8(s[number-1], string(utf8.RuneError))
}

// readSource gives the lines of a file as it is now, and none when it cannot
// be read: a message is complete without the line that it quotes.
func readSource(path string) source {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > fileLimit {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return sourceOf(text)
}
