package scenario

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var seed = flag.Uint64("seed", 1, "the seed of the mutants")

// mutantsEach is how many mutants are made of each good scenario.
const mutantsEach = 60

// mutant is a good scenario that was spoilt in one place.
type mutant struct {
	text string
	how  string
	// refuse is why Parse must refuse it; empty when it may be right still.
	refuse string
	// line is where one of the problems must stand, when it must be refused;
	// 0 when that is open.
	line int
}

// TestMutants spoils every good scenario in many ways: each mutant is refused
// with a place and a reason, or it is right. What is right is judged by others
// than Parse: the schema, and a walk over the YAML that looks for each key in
// what Parse says it has read.
func TestMutants(t *testing.T) {
	schema := compiledSchema(t)
	random := rand.New(rand.NewPCG(*seed, 0))
	made, refused := 0, 0
	good := goodScenarios(t)
	for _, name := range slices.Sorted(maps.Keys(good)) {
		for range mutantsEach {
			mutant, possible := mutate(random, good[name])
			if !possible {
				continue
			}
			made++
			scenario, problems := ParseBytes("mutant.yaml", []byte(mutant.text))
			if problems != nil {
				refused++
				checkSound(t, []byte(mutant.text), problems)
				if mutant.line > 0 && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Position.Line == mutant.line }) {
					t.Errorf("%s, %s: no problem stands in line %d:\n%v\n%s", name, mutant.how, mutant.line, problems, mutant.text)
				}
				continue
			}
			if mutant.refuse != "" {
				t.Errorf("%s, %s: accepted, though %s\n%s", name, mutant.how, mutant.refuse, mutant.text)
			}
			if plain, readable := plainYAML(mutant.text); readable {
				if err := schema.Validate(plain); err != nil {
					t.Errorf("%s, %s: accepted, but not by the schema: %v\n%s", name, mutant.how, err, mutant.text)
				}
			}
			for _, path := range unread(mutant.text, scenario) {
				t.Errorf("%s, %s: accepted, but %s is not read\n%s", name, mutant.how, path, mutant.text)
			}
		}
	}
	t.Logf("seed %d: %d mutants, %d refused", *seed, made, refused)
	if made < 200 || refused < made/3 || refused == made {
		t.Errorf("%d mutants, %d refused: too few of one kind to say anything", made, refused)
	}
}

// unread gives the paths of the keys in a text that Parse has not read.
func unread(text string, scenario *Scenario) []string {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return []string{"the text"}
	}
	var missing []string
	var walk func(node *yaml.Node, path string)
	walk = func(node *yaml.Node, path string) {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(node.Content); i += 2 {
				key, value := node.Content[i], node.Content[i+1]
				if key.Value == "<<" {
					continue
				}
				inner := strings.TrimPrefix(path+"."+key.Value, ".")
				if _, read := scenario.Positions[inner]; !read {
					missing = append(missing, inner)
				}
				walk(value, inner)
			}
		case yaml.SequenceNode:
			for i, item := range node.Content {
				walk(item, fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
	walk(document.Content[0], "")
	return missing
}

// place is one key of a mapping in a document.
type place struct {
	mapping *yaml.Node
	index   int // of the key in the mapping's Content
	// free says that the keys of the mapping are the user's own.
	free bool
}

func (p place) key() *yaml.Node   { return p.mapping.Content[p.index] }
func (p place) value() *yaml.Node { return p.mapping.Content[p.index+1] }

// mutate spoils one place of a text, chosen at random; false when the text
// has no place for the spoiling that was chosen.
func mutate(random *rand.Rand, text string) (mutant, bool) {
	if random.IntN(4) == 0 {
		return mutateText(random, text)
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil || strings.Contains(text, "&") {
		// In a text with anchors a place may stand for several.
		return mutateText(random, text)
	}
	places := placesOf(document.Content[0], false)
	if len(places) == 0 {
		return mutant{}, false
	}
	at := places[random.IntN(len(places))]
	made := []func(*rand.Rand, place, []place) mutant{
		deleteKey, renameKey, duplicateKey, changeType, swapValue, replaceValue, spoilPoint,
	}[random.IntN(7)](random, at, places)
	encoded, err := yaml.Marshal(&document)
	if err != nil {
		return mutant{}, false
	}
	made.text = string(encoded)
	if made.line > 0 {
		made.line = lineOfMark(made.text)
	}
	return made, true
}

// placesOf gives every key of every mapping below a node.
func placesOf(node *yaml.Node, free bool) []place {
	var places []place
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			places = append(places, place{node, i, free})
			key := node.Content[i].Value
			places = append(places, placesOf(node.Content[i+1], key == "env" || key == "exits")...)
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			places = append(places, placesOf(item, false)...)
		}
	}
	return places
}

// mark is in a key that a mutation adds, so that its line can be found.
const mark = "qqq"

func lineOfMark(text string) int {
	before, _, found := strings.Cut(text, mark)
	if !found {
		return 0
	}
	return strings.Count(before, "\n") + 1
}

func deleteKey(_ *rand.Rand, at place, _ []place) mutant {
	key := at.key().Value
	at.mapping.Content = slices.Delete(at.mapping.Content, at.index, at.index+2)
	made := mutant{how: "without " + key}
	if key == "system" || key == "when" || key == "service" && at.index == 0 && len(at.mapping.Content) > 0 && at.mapping.Content[0].Value != "log" {
		made.refuse = key + " is required"
	}
	if slices.ContainsFunc(FaultKinds, func(k Kind) bool { return hasKey(at.mapping, k.Name) && slices.Contains(k.Required, key) }) ||
		slices.ContainsFunc(TriggerKinds, func(k Kind) bool { return k.Name == key && !at.free }) {
		made.refuse = key + " makes it what it is"
	}
	return made
}

// hasKey says whether a mapping has a key.
func hasKey(mapping *yaml.Node, key string) bool { return valueOf(mapping, key) != nil }

// valueOf gives the value of a key, or nil.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// spoilPoint makes a fault at a crash point one that cannot be done: each of
// these contradicts what a crash point is, whatever else the fault says.
func spoilPoint(random *rand.Rand, _ place, places []place) mutant {
	var points []place
	for _, at := range places {
		if when := at.value(); at.key().Value == "when" && slices.ContainsFunc(CrashPoints, func(k TriggerKind) bool { return hasKey(when, string(k)) }) {
			points = append(points, at)
		}
	}
	if len(points) == 0 {
		return mutant{how: "as it is"}
	}
	at := points[random.IntN(len(points))]
	fault, when := at.mapping, at.value()
	onCall := hasKey(fault, "fail") || hasKey(fault, "short") || hasKey(fault, "delay")
	spoilings := []struct {
		possible       bool
		mapping        *yaml.Node
		key, tag, text string
		refuse         string
	}{
		{true, when, "service", "!!str", "b", "a crash point is in the service that is hurt"},
		{true, when, "occurrence", "!!int", "0", "occurrences are counted from 1"},
		{true, when, "incarnation", "!!int", "0", "incarnations are counted from 1"},
		{true, when, "timing", "!!str", "during", "no call is at such a time"},
		{true, when, "after", "!!str", "1s", "it has two triggers"},
		{!hasKey(when, "amqp"), when, "queue", "!!str", "q", "files are in no queue"},
		{!hasKey(when, "write") || onCall, when, "keep", "!!int", "3", "only a write that is held can be torn"},
		{hasKey(when, "keep"), when, "timing", "!!str", "before", "it is at two places of its call"},
		{onCall, when, "timing", "!!str", "after", "it is done before the call"},
		{onCall, fault, "lose-unsynced", "!!str", "all", "only a kill loses anything"},
		{onCall, fault, "restart", "!!str", "1s", "it takes nothing down"},
		{hasKey(fault, "lose-unsynced"), fault, "signal", "!!str", "SIGTERM", "a power loss sends no signal"},
		{hasKey(fault, "kill"), fault, "errno", "!!str", "EIO", "a kill returns no error"},
	}
	for {
		chosen := spoilings[random.IntN(len(spoilings))]
		if !chosen.possible {
			continue
		}
		value := yaml.Node{Kind: yaml.ScalarNode, Tag: chosen.tag, Value: chosen.text}
		if old := valueOf(chosen.mapping, chosen.key); old != nil {
			*old = value
		} else {
			key := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: chosen.key}
			chosen.mapping.Content = append(chosen.mapping.Content, &key, &value)
		}
		return mutant{how: "with " + chosen.key + ": " + chosen.text, refuse: chosen.refuse}
	}
}

func renameKey(_ *rand.Rand, at place, _ []place) mutant {
	key := at.key()
	made := mutant{how: "with " + key.Value + " renamed"}
	key.Value += mark
	if !at.free {
		made.refuse, made.line = "the new key is unknown", 1
	}
	return made
}

func duplicateKey(_ *rand.Rand, at place, _ []place) mutant {
	key, value := *at.key(), *at.value()
	at.mapping.Content = append(at.mapping.Content, &key, &value)
	return mutant{how: "with " + key.Value + " twice", refuse: "a key stands twice"}
}

func changeType(random *rand.Rand, at place, _ []place) mutant {
	value := at.value()
	made := mutant{how: "with another type for " + at.key().Value, refuse: "the type is wrong"}
	switch {
	case value.Kind == yaml.ScalarNode && random.IntN(2) == 0:
		inner := *value
		*value = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{&inner}}
	case value.Kind == yaml.ScalarNode:
		inner := *value
		key := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: mark}
		*value = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{&key, &inner}}
	default:
		*value = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "word"}
	}
	if at.key().Value == "command" {
		made.refuse = ""
	}
	return made
}

func swapValue(random *rand.Rand, at place, places []place) mutant {
	other := places[random.IntN(len(places))]
	made := mutant{how: "with the values of " + at.key().Value + " and " + other.key().Value + " swapped"}
	first, second := *at.value(), *other.value()
	if contains(at.value(), other.value()) || contains(other.value(), at.value()) {
		return made
	}
	*at.value(), *other.value() = second, first
	return made
}

func contains(node, inner *yaml.Node) bool {
	return node == inner || slices.ContainsFunc(node.Content, func(n *yaml.Node) bool { return contains(n, inner) })
}

func replaceValue(random *rand.Rand, at place, _ []place) mutant {
	values := []yaml.Node{
		{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"},
		{Kind: yaml.ScalarNode, Tag: "!!str", Value: "", Style: yaml.DoubleQuotedStyle},
		{Kind: yaml.ScalarNode, Tag: "!!int", Value: "-1"},
		{Kind: yaml.ScalarNode, Tag: "!!int", Value: "0"},
		{Kind: yaml.ScalarNode, Tag: "!!float", Value: ".nan"},
		{Kind: yaml.ScalarNode, Tag: "!!str", Value: "(["},
		{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"},
		{Kind: yaml.SequenceNode, Tag: "!!seq"},
		{Kind: yaml.MappingNode, Tag: "!!map"},
	}
	chosen := values[random.IntN(len(values))]
	*at.value() = chosen
	made := mutant{how: fmt.Sprintf("with %q (%s) for %s", chosen.Value, chosen.Tag, at.key().Value)}
	if chosen.Tag == "!!null" {
		made.refuse = "a key has no value"
	}
	return made
}

// mutateText spoils a line: its indentation, or one character of it.
func mutateText(random *rand.Rand, text string) (mutant, bool) {
	lines := strings.Split(text, "\n")
	i := random.IntN(len(lines))
	line := lines[i]
	if strings.TrimSpace(line) == "" {
		return mutant{}, false
	}
	made := mutant{}
	switch random.IntN(5) {
	case 0:
		made.how, lines[i] = "indented more", " "+line
	case 1:
		made.how, lines[i] = "indented less", strings.TrimPrefix(line, " ")
	case 2:
		made.how, lines[i] = "indented with a tab", "\t"+line
	case 3:
		at := random.IntN(len(line))
		made.how, lines[i] = "without a character", line[:at]+line[at+1:]
	case 4:
		at := random.IntN(len(line))
		made.how, lines[i] = "with a character more", line[:at]+string("{}[]:,-'\"#&*!|>%@`x7"[random.IntN(20)])+line[at:]
	}
	made.how = fmt.Sprintf("line %d %s", i+1, made.how)
	made.text = strings.Join(lines, "\n")
	return made, made.text != text
}
