package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// String gives the fault as a phrase: kill worker-2 when its log says "x" the
// 5th time, restart after 200ms.
func (f Fault) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s", f.Kind, f.Service)
	if f.Signal != "" && f.Signal != "SIGKILL" {
		text.WriteString(" with " + f.Signal)
	}
	if f.Grace != nil {
		fmt.Fprintf(&text, " within %s", f.Grace)
	}
	if f.For != nil {
		fmt.Fprintf(&text, " for %s", f.For)
	}
	if f.When.Kind != "" {
		text.WriteString(" " + f.When.phrase(f.Service))
	}
	if f.Restart != nil {
		fmt.Fprintf(&text, ", restart after %s", f.Restart)
	}
	if f.Times > 1 {
		fmt.Fprintf(&text, ", %d times", f.Times)
	}
	return text.String()
}

// String gives the trigger as a phrase: after 3s, or when the log of worker-2
// says "x" the 2nd time.
func (w When) String() string { return w.phrase("") }

// phrase is String in a sentence about a service, which is "its" there.
func (w When) phrase(about string) string {
	switch w.Kind {
	case After:
		if w.After == nil {
			return "after no time"
		}
		return "after " + w.After.String()
	case Log:
		whose := "its log"
		if w.Service != "" && w.Service != about {
			whose = "the log of " + w.Service
		}
		return fmt.Sprintf("when %s says %q", whose, w.Log) + w.count()
	}
	return "when " + string(w.Kind)
}

// count says which occurrence in which incarnation; nothing for the first one
// in any.
func (w When) count() string {
	var text string
	if w.Occurrence > 1 {
		text = " the " + ordinal(w.Occurrence) + " time"
	}
	if w.Incarnation > 0 {
		text += fmt.Sprintf(" in incarnation %d", w.Incarnation)
	}
	return text
}

// ordinal gives 1st, 2nd, 3rd, 4th, … 11th, … 21st.
func ordinal(number int) string {
	suffix := "th"
	if number/10%10 != 1 {
		switch number % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(number) + suffix
}
