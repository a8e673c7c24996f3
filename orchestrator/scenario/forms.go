package scenario

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// form is what a text must look like; fields name theirs in the tag form.
type form struct {
	// doc names it in messages and in the reference: "a …".
	doc string
	// pattern is the part of it that JSON Schema can say (ECMA 262).
	pattern string
	// words are the texts that it takes, where they can be listed.
	words []string
	// least is the smallest of the numbers among its texts, where there are.
	least int
	// check says what is wrong with a text that is not empty, and what to do.
	check func(text string) (wrong, hint string)
}

// forms is every form by the name that the tags use. An empty text is refused
// before check is asked.
var forms = map[string]form{
	"text":    {doc: "text", pattern: `^[^\x00]+$`, check: checkText},
	"line":    {doc: "one line of text", pattern: `^[^\x00\n\r]+$`, check: checkLine},
	"service": {doc: "a service's name", pattern: servicePattern, check: checkService},
	"profile": {doc: "a profile's name", pattern: servicePattern, check: checkProfile},
	"queue":   {doc: "a queue's name", pattern: `^[^\x00\n\r]{1,255}$`, check: checkQueue},
	"variable": {
		doc: "a variable's name", pattern: variablePattern, check: checkVariable,
	},
	"count-or-variable": {
		doc: "a number or a variable's name", pattern: `^([1-9][0-9]*|[A-Za-z_][A-Za-z0-9_]*)$`,
		check: checkCountOrVariable, least: 1,
	},
	"regexp":  {doc: "a regular expression", pattern: `^[^\n\r]+$`, check: checkRegexp},
	"group":   {doc: "a regular expression with one group", pattern: `^[^\n\r]*\([^\n\r]*\)[^\n\r]*$`, check: checkGroup},
	"path":    {doc: "an absolute path in the container", pattern: `^/[^*?\[\]{}]*[^/*?\[\]{}]$`, check: checkPath},
	"glob":    {doc: "a glob of absolute paths in the container", pattern: `^/.*[^/]$`, check: checkGlob},
	"pattern": {doc: "an absolute path in the container, or a glob of such", pattern: `^/(.*[^/])?$`, check: checkPattern},
	"signal":  {doc: "a signal's name", words: signals, check: checkSignal},
	"errno":   {doc: "an error's name, such as ENOSPC", words: Errnos, check: checkErrno},
	"keep":    {doc: "a number of bytes, half or all-but-n", pattern: keepPattern, check: checkKeep},
	"loss":    {doc: "all, none, drop-n, keep-n, prefix-n or a seed", pattern: lossPattern, check: checkLoss},
}

func checkText(text string) (wrong, hint string) {
	if strings.ContainsRune(text, 0) {
		return "a text cannot hold a zero byte", ""
	}
	return "", ""
}

func checkLine(text string) (wrong, hint string) {
	if strings.ContainsAny(text, "\n\r") {
		return "must be one line", "a block text (| or >) ends in a line break: write it in quotes, on one line"
	}
	return checkText(text)
}

// These two patterns are what Go checks as well as what editors check.
const (
	servicePattern  = `^[a-zA-Z0-9._-]+$`
	variablePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
)

var (
	serviceName  = regexp.MustCompile(servicePattern)
	variableName = regexp.MustCompile(variablePattern)
)

func checkService(text string) (wrong, hint string) {
	if !serviceName.MatchString(text) {
		return quote(text) + " cannot be a service's name", "write its key under services in the compose file: letters, digits, '.', '_' and '-'"
	}
	return "", ""
}

func checkProfile(text string) (wrong, hint string) {
	if !serviceName.MatchString(text) {
		return quote(text) + " cannot be a profile's name", "letters, digits, '.', '_' and '-'"
	}
	return "", ""
}

// queueLimit is the longest name that AMQP can say, in bytes.
const queueLimit = 255

func checkQueue(text string) (wrong, hint string) {
	if len(text) > queueLimit {
		return fmt.Sprintf("a queue's name has at most %d bytes", queueLimit), ""
	}
	return checkLine(text)
}

func checkVariable(text string) (wrong, hint string) {
	if !variableName.MatchString(text) {
		return quote(text) + " cannot be a variable's name", "letters, digits and '_', not beginning with a digit"
	}
	return "", ""
}

// countLimit bounds every number that a scenario may give: more than any run
// can count to, and small enough that sums of a few do not overflow.
const countLimit = 1_000_000_000

func checkCountOrVariable(text string) (wrong, hint string) {
	if text[0] >= '0' && text[0] <= '9' || text[0] == '-' || text[0] == '+' {
		count, err := strconv.Atoi(text)
		if err != nil || count < 1 || count > countLimit {
			return fmt.Sprintf("%s is not a count", text), "give a whole number from 1 up, or the name of a variable"
		}
		return "", ""
	}
	return checkVariable(text)
}

func checkRegexp(text string) (wrong, hint string) {
	if strings.ContainsAny(text, "\n\r") {
		return "must be one line", "write it in single quotes, on one line"
	}
	if _, err := regexp.Compile(text); err != nil {
		return fmt.Sprintf("%s is not a regular expression: %s", quote(text), regexpTrouble(err)),
			`put '\' before a character that is meant as it stands, and the whole in single quotes`
	}
	return "", ""
}

// regexpTrouble is what a regexp error says, without what the caller says too.
func regexpTrouble(err error) string {
	if trouble, ok := err.(*syntax.Error); ok {
		return fmt.Sprintf("%s at %s", trouble.Code, quote(trouble.Expr))
	}
	return err.Error()
}

func checkGroup(text string) (wrong, hint string) {
	if wrong, hint := checkRegexp(text); wrong != "" {
		return wrong, hint
	}
	switch groups := regexp.MustCompile(text).NumSubexp(); groups {
	case 1:
		return "", ""
	case 0:
		return quote(text) + " has no group", `put ( ) around the part that is wanted, and '\(' where a bracket is meant`
	default:
		return fmt.Sprintf("%s has %d groups, want exactly one", quote(text), groups), "write (?:…) for the groups that only hold together"
	}
}

func checkPath(text string) (wrong, hint string) {
	if strings.ContainsAny(text, "*?[]{}") {
		return quote(text) + " is a pattern, want one file", "name the file itself"
	}
	return checkAbsolute(text)
}

func checkGlob(text string) (wrong, hint string) {
	if wrong, hint := checkAbsolute(text); wrong != "" {
		return wrong, hint
	}
	return checkMeta(text)
}

// checkMeta refuses a pattern of which nobody knows what it matches.
func checkMeta(text string) (wrong, hint string) {
	if !doublestar.ValidatePattern(text) {
		return quote(text) + " is not a glob", `* any name, ** any directories, ? one character, [ab] and {a,b} a choice; '\' before one that is meant as it stands`
	}
	return "", ""
}

// checkPattern is checkGlob for what a call may name: directories too.
func checkPattern(text string) (wrong, hint string) {
	if wrong, hint := checkLine(text); wrong != "" {
		return wrong, hint
	}
	if wrong, hint := checkPlainPath(text); wrong != "" {
		return wrong, hint
	}
	return checkMeta(text)
}

// checkAbsolute refuses what can name no file in a container.
func checkAbsolute(text string) (wrong, hint string) {
	if wrong, hint := checkLine(text); wrong != "" {
		return wrong, hint
	}
	if text == "/" || strings.HasPrefix(text, "/") && strings.HasSuffix(text, "/") {
		return quote(text) + " is a directory", "name the files in it"
	}
	return checkPlainPath(text)
}

// checkPlainPath refuses what is never the name of a file or a directory:
// they are compared by their absolute path without '.', '..' and empty parts.
func checkPlainPath(text string) (wrong, hint string) {
	switch {
	case text == "/":
		return "", ""
	case !strings.HasPrefix(text, "/"):
		return quote(text) + " is relative", fmt.Sprintf("paths in a container are absolute, such as %q", path.Join("/app", text))
	case strings.HasSuffix(text, "/"):
		return quote(text) + " ends in a slash", fmt.Sprintf("write %q, or for what is in it %q", path.Clean(text), path.Join(text, "*"))
	}
	for part := range strings.SplitSeq(text[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return quote(text) + " is not a plain path", "leave out '.', '..' and doubled slashes"
		}
	}
	return "", ""
}

// signals is what can be sent, by Linux's names.
var signals = func() []string {
	names := strings.Fields("SIGABRT SIGALRM SIGBUS SIGCHLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGKILL " +
		"SIGPIPE SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU " +
		"SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN")
	for i := range 15 {
		names = append(names, fmt.Sprintf("SIGRTMIN+%d", i+1))
	}
	return names
}()

func checkSignal(text string) (wrong, hint string) {
	if slices.Contains(signals, text) {
		return "", ""
	}
	wrong = fmt.Sprintf("unknown signal %q", text)
	if with := "SIG" + strings.ToUpper(text); slices.Contains(signals, with) {
		return wrong, fmt.Sprintf("did you mean %q?", with)
	}
	if near := nearest(text, signals); near != "" {
		return wrong, fmt.Sprintf("did you mean %q?", near)
	}
	return wrong, "write it by its name, such as SIGTERM"
}
