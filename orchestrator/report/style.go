package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Style is what an output stream can show.
type Style struct {
	Colour  bool // escape sequences for colour; a mark or a word always says the same
	Unicode bool // marks such as ✓; letters otherwise
	Width   int  // columns of the terminal; 0 when it is none
}

// StyleFor decides from the environment what a stream can show. Width is 0
// when the stream is no terminal.
func StyleFor(width int, env func(string) string) Style {
	dumb := env("TERM") == "dumb"
	if dumb {
		width = 0
	}
	locale := env("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = env(name)
		}
	}
	locale = strings.ToLower(locale)
	return Style{
		Colour:  width > 0 && env("NO_COLOR") == "",
		Unicode: strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8"),
		Width:   width,
	}
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

func (s Style) paint(code, text string) string {
	if !s.Colour || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Mark is a sign for an outcome, in its colour, for output beside results.
func (s Style) Mark(outcome Outcome) string { return s.mark(outcome) }

// mark is a sign for an outcome, in its colour.
func (s Style) mark(outcome Outcome) string {
	signs := map[Outcome][2]string{
		Passed: {"✓", "ok"}, Failed: {"✗", "FAIL"}, Inconclusive: {"?", "?"},
		Broken: {"!", "!"}, Interrupted: {"!", "!"}, NotRun: {"-", "-"},
	}
	sign := signs[outcome][1]
	if s.Unicode {
		sign = signs[outcome][0]
	}
	return s.paint(colourOf(outcome), sign)
}

// outcome is the outcome that a check's status amounts to, for its mark.
func (status CheckStatus) outcome() Outcome {
	switch status {
	case CheckPassed:
		return Passed
	case CheckFailed:
		return Failed
	case CheckOff:
		return NotRun
	default:
		return Inconclusive
	}
}

func colourOf(outcome Outcome) string {
	switch outcome {
	case Passed:
		return green
	case Failed, Broken:
		return red
	case NotRun:
		return faint
	default:
		return yellow
	}
}

// printable makes text of other programs safe to print: control characters,
// with which a log line could repaint the terminal, are shown as escapes.
// Newlines and tabs stay.
func printable(text string) string {
	if strings.IndexFunc(text, unsafe) < 0 && utf8.ValidString(text) {
		return text
	}
	var safe strings.Builder
	for index, width := 0, 0; index < len(text); index += width {
		var char rune
		char, width = utf8.DecodeRuneInString(text[index:])
		switch {
		case char == utf8.RuneError && width == 1:
			fmt.Fprintf(&safe, `\x%02x`, text[index])
		case unsafe(char):
			fmt.Fprintf(&safe, `\x%02x`, char)
		default:
			safe.WriteRune(char)
		}
	}
	return safe.String()
}

func unsafe(char rune) bool { return unicode.IsControl(char) && char != '\n' && char != '\t' }

// oneLine is printable text whose newlines are shown as escapes.
func oneLine(text string) string { return strings.ReplaceAll(printable(text), "\n", `\n`) }

// continued puts a bar before every line but the first, so that what a
// container wrote is never at the start of a line, where CI systems read
// commands.
func continued(text, indent string) string {
	return strings.ReplaceAll(strings.TrimRight(printable(text), "\n"), "\n", "\n"+indent+"| ")
}

// cut shortens a line to the given number of columns; 0 is no limit.
func cut(line string, columns int) string {
	if columns <= 0 {
		return line
	}
	used := 0
	for index, char := range line {
		if used += columnsOfRune(char); used > columns {
			return line[:index]
		}
	}
	return line
}

// columnsOf is how wide a line is on a terminal.
func columnsOf(line string) int {
	columns := 0
	for _, char := range line {
		columns += columnsOfRune(char)
	}
	return columns
}

// columnsOfRune counts what is drawn over the character before it as nothing,
// and the wide characters of East Asian scripts as two.
func columnsOfRune(char rune) int {
	if unicode.In(char, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(char).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// shortTime is a time as people say it: 7.4s, 41s, 2m05s.
func shortTime(d time.Duration) string {
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 59500*time.Millisecond:
		return fmt.Sprintf("%.0fs", d.Seconds())
	default:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
}

func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}
