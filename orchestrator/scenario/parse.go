package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Parse reads a scenario file and checks all that can be known without the
// system: services and variables are left to Bind, but that the compose file
// is there is looked at here. With problems the scenario holds what could be
// read, so that Bind can be asked for more of them; it is nil when the file
// is no YAML mapping at all.
func Parse(path string) (*Scenario, Problems) {
	text, problem := readFile(path)
	if problem != nil {
		return nil, Problems{*problem}
	}
	scenario, problems := ParseBytes(path, text)
	if scenario != nil {
		problems = append(problems, scenario.findSystem()...)
	}
	return scenario, problems.sorted()
}

// readFile reads a scenario file of at most fileLimit bytes.
func readFile(path string) ([]byte, *Problem) {
	refuse := func(hint, format string, values ...any) *Problem {
		return &Problem{Position: Position{File: path}, Text: fmt.Sprintf(format, values...), Hint: hint}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, refuse(missingHint(path, err), "cannot be read: %v", reason(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, fileLimit+1))
	if err != nil {
		return nil, refuse("", "cannot be read: %v", reason(err))
	}
	return text, nil
}

// ParseBytes is Parse for a text that is in memory; path names it in messages
// and gives the scenario its name. It does not look at any file.
func ParseBytes(path string, text []byte) (*Scenario, Problems) {
	if len(text) > fileLimit {
		return nil, Problems{{
			Position: Position{File: path}, Hint: "is it a scenario?",
			Text: fmt.Sprintf("is larger than %d bytes", fileLimit),
		}}
	}
	lines := sourceOf(text)
	root, problems := readYAML(path, text, lines)
	if problems != nil {
		return nil, problems.sorted()
	}
	decoder := newDecoder(path, lines)
	scenario := &Scenario{File: path}
	decoder.value(root, reflect.ValueOf(scenario).Elem(), field{key: "the scenario"}, "")
	if scenario.Name == "" && decoder.values["name"] == nil {
		base := filepath.Base(path)
		scenario.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	for i := range scenario.Faults {
		scenario.Faults[i].watchItself()
		scenario.Faults[i].When.setTiming()
	}
	scenario.Positions = decoder.positions
	scenario.Positions[""] = decoder.place(root)
	if scenario.Facts != nil {
		scenario.Facts.Positions = under(decoder.positions, factsKey)
	}
	decoder.checkScenario(scenario)
	scenario.keepWritten(lines)
	return scenario, decoder.problems.sorted()
}

// watchItself fills in whose log a trigger reads where it does not say.
func (f *Fault) watchItself() {
	if f.When.Kind == Log && f.When.Service == "" {
		f.When.Service = f.Service
	}
}

// setTiming takes back the default of Timing where Keep says that the point is
// in the middle of its call.
func (w *When) setTiming() {
	if w.Keep != "" {
		w.Timing = ""
	}
}

// readYAML gives the root of the one document in a text.
func readYAML(path string, text []byte, lines source) (*yaml.Node, Problems) {
	refuse := func(position Position, hint, text string) Problems {
		return Problems{{Position: position, Text: text, Hint: hint, Source: lines.line(position.Line)}}
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, refuse(placeOf(path, text, at), "save the file as UTF-8", "is not UTF-8 text")
	}
	reader := yaml.NewDecoder(bytes.NewReader(text))
	document, err := nextDocument(reader)
	if errors.Is(err, io.EOF) || err == nil && isEmpty(document) {
		return nil, refuse(Position{File: path, Line: 1, Column: 1}, "a scenario needs at least system: and what is expected", "is empty")
	}
	if err != nil {
		return nil, syntaxProblems(path, text, lines, err)
	}
	second, err := nextDocument(reader)
	switch {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, syntaxProblems(path, text, lines, err)
	}
	place := Position{File: path, Line: second.Line, Column: second.Column}
	return nil, refuse(place, "put the second document into a file of its own", "a file holds one scenario, and a second document begins here")
}

// nextDocument reads a document. The YAML library panics on some input that
// it does not foresee; a person who wrote such a file gets an error too.
func nextDocument(reader *yaml.Decoder) (document *yaml.Node, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("yaml: %v", trouble)
		}
	}()
	document = &yaml.Node{}
	if err := reader.Decode(document); err != nil {
		return nil, err
	}
	return document, nil
}

// isEmpty says whether a document holds nothing but comments.
func isEmpty(document *yaml.Node) bool {
	return len(document.Content) == 0 ||
		document.Content[0].Kind == yaml.ScalarNode && document.Content[0].ShortTag() == "!!null"
}

// invalidUTF8 gives the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(text []byte) int {
	for at := 0; at < len(text); {
		character, size := utf8.DecodeRune(text[at:])
		if character == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// placeOf gives the position of an offset into a text.
func placeOf(path string, text []byte, offset int) Position {
	before := sourceOf(text[:offset])
	last := before[len(before)-1]
	return Position{File: path, Line: len(before), Column: utf8.RuneCountInString(last) + 1}
}

// SystemFile is the path of the compose file: System, which is written
// relative to the scenario file, made relative to the working directory.
func (s *Scenario) SystemFile() string {
	if filepath.IsAbs(s.System) {
		return s.System
	}
	return filepath.Join(filepath.Dir(s.File), s.System)
}

// findSystem says so when there is no compose file where System says.
func (s *Scenario) findSystem() Problems {
	if s.System == "" {
		return nil
	}
	info, err := os.Stat(s.SystemFile())
	if err == nil && !info.IsDir() {
		return nil
	}
	what := "is a directory"
	hint := "name the compose file in it"
	if err != nil {
		what, hint = reason(err), missingHint(s.SystemFile(), err)
	}
	return Problems{s.problem("system", hint, "system: %s: %s", s.SystemFile(), what)}
}

// reason is what an error of the file system says, without the path.
func reason(err error) string {
	var trouble *fs.PathError
	if errors.As(err, &trouble) {
		return trouble.Err.Error()
	}
	return err.Error()
}

// missingHint names the file that was most likely meant.
func missingHint(path string, err error) string {
	if !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	directory := filepath.Dir(path)
	entries, err := os.ReadDir(directory)
	if err != nil {
		return fmt.Sprintf("there is no directory %s", directory)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if near := nearest(filepath.Base(path), names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("it is looked for in %s", directory)
}
