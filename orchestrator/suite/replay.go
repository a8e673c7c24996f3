package suite

import (
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/run"
)

// ReplayFlags is the flags of killpoint run that do runs in this way, those
// that change what a run does.
func ReplayFlags(options run.Options) []string {
	var flags []string
	for _, flag := range []struct {
		set  bool
		name string
	}{{options.Publish, "--publish"}, {options.BindRW, "--bind-rw"}, {options.AllowExternal, "--allow-external"}} {
		if flag.set {
			flags = append(flags, flag.name)
		}
	}
	return flags
}

// withFlags adds to a command the flags that it does not have yet.
func withFlags(command string, flags []string) string {
	if command == "" {
		return ""
	}
	for _, flag := range flags {
		if !strings.Contains(command+" ", " "+flag+" ") {
			command += " " + flag
		}
	}
	return command
}

// Quoted makes an argument safe to paste into a shell.
func Quoted(argument string) string {
	plain := func(char rune) bool {
		return char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' ||
			strings.ContainsRune("-_=./:,+@%", char)
	}
	if argument != "" && !slices.ContainsFunc([]rune(argument), func(char rune) bool { return !plain(char) }) {
		return argument
	}
	return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
}
