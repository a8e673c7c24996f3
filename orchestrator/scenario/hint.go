package scenario

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// listed names all kinds.
func listed(kinds []Kind) string {
	var all []string
	for _, kind := range kinds {
		all = append(all, kind.Name)
	}
	return conjoin(all, "or")
}

// conjoin joins words as a sentence does: a, b and c.
func conjoin(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// describe says what a node is, as a person would.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return "the boolean " + node.Value
	case "!!timestamp":
		return "the date " + node.Value
	}
	return "text"
}

// nothingHint says what to do about a key without a value; most often what
// should be in it is not indented.
func nothingHint(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return "what belongs to it must be indented below it; leave the key out when there is nothing"
	}
	return ""
}

// mappingHint says how to write a mapping where something else stands.
func mappingHint(node *yaml.Node, shape *shape) string {
	switch {
	case nothingHint(node) != "":
		return nothingHint(node)
	case len(shape.kinds) > 0:
		return "write it like " + shape.kinds[0].Example
	case node.Kind == yaml.SequenceNode:
		return "leave out the '-' or '[' before its keys"
	}
	return "its keys: " + strings.Join(shape.keys(), ", ")
}

// listHint says how to write a list where something else stands.
func listHint(node *yaml.Node, field field) string {
	switch {
	case nothingHint(node) != "":
		return nothingHint(node)
	case node.Kind == yaml.ScalarNode && field.form != "" && !strings.ContainsAny(node.Value, "\r\n"):
		return fmt.Sprintf("write %s: [%s]", field.key, node.Value)
	}
	return "begin each entry with '- '"
}

// unknownHint says what an unknown key may have been meant to be, or where a
// key of that name belongs.
func unknownHint(key string, in *shape, kinds []Kind) string {
	var taken []string
	for _, kind := range kinds {
		for _, field := range in.fieldsOf(kind) {
			taken = append(taken, field.key)
		}
	}
	if len(kinds) == 0 {
		taken = in.keys()
	}
	if near := nearest(key, taken); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if homes := homesOf(key); len(homes) > 0 {
		return fmt.Sprintf("%q is a key of %s", key, conjoin(homes, "and"))
	}
	if near := nearest(key, in.keys()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "it takes " + conjoin(taken, "and")
}

// strayHint says what to do about a key that another kind takes.
func strayHint(key string, kind Kind) string {
	switch {
	case key == "service" && kind.Group == pointGroup:
		return "leave it out: a crash point is in the service that the fault is done to"
	case key == "keep" && kind.Group == pointGroup:
		return "only a write can be torn: write timing: before or after"
	case key == "bytes" && kind.Name == string(Kill):
		return "for a write that is torn by the kill, write keep in its trigger"
	}
	return "leave it out"
}

// homesOf gives the mappings that have a key, by name.
func homesOf(key string) []string {
	var homes []string
	for _, shape := range shapes {
		if slices.Contains(shape.keys(), key) {
			homes = append(homes, shape.what)
		}
	}
	slices.Sort(homes)
	return homes
}
