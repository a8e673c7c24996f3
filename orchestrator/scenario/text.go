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
	text.WriteString(f.manner())
	switch {
	case f.Kind.OnCall() && f.When.IsCrashPoint():
		text.WriteString(" at " + f.When.call(f.Service))
	case f.When.Kind != "":
		text.WriteString(" " + f.When.phrase(f.Service))
	}
	text.WriteString(f.loss())
	if f.Restart != nil {
		fmt.Fprintf(&text, ", restart after %s", f.Restart)
	}
	if f.Times > 1 {
		fmt.Fprintf(&text, ", %d times", f.Times)
	}
	if f.RestartIfExited != nil {
		fmt.Fprintf(&text, ", restart after %s if it exited", f.RestartIfExited)
	}
	return text.String()
}

// manner says how the fault is done: with SIGTERM, for 2s, to 5 bytes.
func (f Fault) manner() string {
	var text strings.Builder
	if f.Signal != "" && f.Signal != sigkill {
		text.WriteString(" with " + f.Signal)
	}
	if f.Errno != "" {
		text.WriteString(" with " + f.Errno)
	}
	if f.Bytes != nil {
		text.WriteString(" to " + bytesText(*f.Bytes))
	}
	if f.By != nil {
		fmt.Fprintf(&text, " by %s", f.By)
	}
	if f.Grace != nil {
		fmt.Fprintf(&text, " within %s", f.Grace)
	}
	if f.For != nil {
		fmt.Fprintf(&text, " for %s", f.For)
	}
	return text.String()
}

// loss says what becomes of what was not synced; nothing of a process crash.
func (f Fault) loss() string {
	if f.LoseUnsynced == "" {
		return ""
	}
	loss, err := ParseLoss(f.LoseUnsynced)
	if err != nil {
		return ", losing " + printable(f.LoseUnsynced) // a fault that no parser made
	}
	return ", " + loss.phrase()
}

// String gives the trigger as a phrase: after 3s, when the log of worker-2
// says "x" the 2nd time, or before the 7th write to /data/*.csv.
func (w When) String() string { return w.phrase("") }

// phrase is String in a sentence about a service, which is "its" there.
func (w When) phrase(about string) string {
	switch {
	case w.Kind == After && w.After == nil:
		return "after no time"
	case w.Kind == After:
		return "after " + w.After.String()
	case w.Kind == Log:
		whose := "its log"
		if w.Service != "" && w.Service != about {
			whose = "the log of " + w.Service
		}
		return fmt.Sprintf("when %s says %q", whose, w.Log) + w.count()
	case !w.IsCrashPoint():
		return "when " + string(w.Kind)
	case w.Keep != "":
		return "after " + keepPhrase(w.Keep) + " of " + w.call(about)
	case w.Timing == TimingAfter && w.Method == Publish:
		return "after the broker confirmed " + w.call(about)
	case w.Timing == TimingAfter:
		return "after " + w.call(about)
	}
	return "before " + w.call(about)
}

// calls is what a crash point's call is named in a phrase, before its object.
var calls = map[TriggerKind]string{
	Write: "write to", Fsync: "fsync of", Rename: "rename of", Create: "creation of", Truncate: "truncation of",
	Unlink: "removal of", Read: "read of", Mkdir: "mkdir of",
}

// call names the call of a crash point in a sentence about a service: its 7th
// write to /data/*.csv.
func (w When) call(about string) string {
	text := "the "
	if about != "" {
		text = "its "
	}
	text += ordinal(max(w.Occurrence, 1)) + " "
	switch {
	case w.Kind != AMQP:
		text += calls[w.Kind] + " " + printable(w.Path)
	case w.Queue == "":
		text += w.Method
	case w.Method == Publish:
		text += "publish to " + printable(w.Queue)
	default:
		text += w.Method + " on " + printable(w.Queue)
	}
	if w.Incarnation > 0 {
		text += fmt.Sprintf(" in incarnation %d", w.Incarnation)
	}
	return text
}

// keepPhrase is Keep in a phrase: 11 bytes, half, all but 1 byte.
func keepPhrase(keep string) string {
	digits, isAllBut := strings.CutPrefix(keep, allBut)
	count, err := strconv.Atoi(digits)
	switch {
	case err != nil:
		return keep
	case isAllBut:
		return "all but " + bytesText(count)
	}
	return bytesText(count)
}

func bytesText(count int) string {
	if count == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", count)
}

// printable gives a path as it stands, in quotes where it would spoil a
// sentence.
func printable(text string) string {
	if quoted := quote(text); text == "" || quoted != `"`+text+`"` || strings.ContainsAny(text, " \\") {
		return quoted
	}
	return text
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
