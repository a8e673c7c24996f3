package report

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// dumpLine is one line of a hexdump. It has a cell for each byte, and one more
// behind them, since a cut may stand there.
type dumpLine struct {
	at    int64
	cells []dumpCell
}

type dumpCell struct {
	at    int64
	value byte
	blank bool // behind the last byte
	cut   bool // the mark stands before it
}

// dumpLines makes bytes of a file, from a place in it on, into lines. A cut
// behind the last byte of all stands in the line of that byte; one that the
// file does not reach stands nowhere.
func dumpLines(from int64, content []byte, cut *int64) []dumpLine {
	end := from + int64(len(content))
	var lines []dumpLine
	for start := from; start < end; start += lineBytes {
		line := dumpLine{at: start}
		next := start + lineBytes
		for at := start; at <= next; at++ {
			cell := dumpCell{at: at, blank: at == next || at >= end}
			if !cell.blank {
				cell.value = content[at-from]
			}
			cell.cut = cut != nil && *cut == at && (!cell.blank || at == end)
			line.cells = append(line.cells, cell)
		}
		lines = append(lines, line)
	}
	return lines
}

// write writes the codes of a line, with a gap in its middle.
func (l dumpLine) write(to *strings.Builder, code func(dumpCell) string, mark string) {
	for index, cell := range l.cells {
		if index == lineBytes/2 {
			to.WriteByte(' ')
		}
		if cell.cut {
			to.WriteString(mark)
		} else {
			to.WriteByte(' ')
		}
		if index < lineBytes {
			to.WriteString(code(cell))
		}
	}
}

// text is the bytes of a line as text, with the mark.
func (l dumpLine) text(mark string) string {
	var text strings.Builder
	for _, cell := range l.cells {
		if cell.cut {
			text.WriteString(mark)
		}
		if !cell.blank {
			text.WriteByte(visible(cell.value))
		}
	}
	return text.String()
}

// visible is a byte as a hexdump shows it beside the codes.
func visible(char byte) byte {
	if char < ' ' || char > '~' {
		return '.'
	}
	return char
}

// hexdump is some bytes of a file, line by line: where the line begins, the
// bytes in hexadecimal, and as text where they are printable. Before the byte
// at the cut stands the mark, in both.
func hexdump(some *Bytes, cut *int64, mark string) []string {
	content, err := hex.DecodeString(some.Hex)
	if err != nil {
		return nil
	}
	var lines []string
	for _, line := range dumpLines(some.From, content, cut) {
		var codes strings.Builder
		line.write(&codes, func(cell dumpCell) string {
			if cell.blank {
				return "  "
			}
			return fmt.Sprintf("%02x", cell.value)
		}, mark)
		lines = append(lines, fmt.Sprintf("%08x %s |%s|", line.at, codes.String(), line.text(mark)))
	}
	return lines
}

// near gives the lines around the one that holds the cut, or the last ones
// when there is no cut.
func near[Line any](lines []Line, some *Bytes, cut *int64, before, after int) []Line {
	if len(lines) == 0 {
		return nil
	}
	line := len(lines) - 1
	if cut != nil && *cut >= some.From {
		line = min(line, int((*cut-some.From)/lineBytes))
	}
	return lines[max(0, line-before):min(len(lines), line+after+1)]
}
