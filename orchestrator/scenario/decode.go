package scenario

import (
	"fmt"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

// Limits on what is read. They are far above any scenario that a person
// writes, and keep one that a program writes from taking the machine.
const (
	// fileLimit is the largest scenario file, in bytes.
	fileLimit = 1 << 20
	// listLimit is the most entries of one list, the faults among them.
	listLimit = 1000
	// nodeLimit is the most values that are looked at, with what anchors
	// repeat counted as often as it is repeated.
	nodeLimit = 200_000
)

// decoder reads YAML nodes into the types of the language and keeps every
// problem that it meets instead of stopping at the first.
type decoder struct {
	file      string
	lines     source
	problems  Problems
	positions map[string]Position

	// values is the node of each value by its path, so that rules that look
	// at several values can point at one of them.
	values map[string]*yaml.Node
	// open is the aliases that are being followed: one inside itself has no end.
	open  map[*yaml.Node]bool
	nodes int
}

func newDecoder(file string, lines source) *decoder {
	return &decoder{
		file: file, lines: lines,
		positions: map[string]Position{}, values: map[string]*yaml.Node{}, open: map[*yaml.Node]bool{},
	}
}

// place gives the position of a node.
func (d *decoder) place(node *yaml.Node) Position {
	return Position{File: d.file, Line: node.Line, Column: node.Column}
}

// refuse records a problem at a node.
func (d *decoder) refuse(node *yaml.Node, hint, format string, values ...any) {
	d.refuseAt(d.place(node), hint, format, values...)
}

func (d *decoder) refuseAt(position Position, hint, format string, values ...any) {
	d.problems = append(d.problems, Problem{
		Position: position, Text: fmt.Sprintf(format, values...), Hint: hint, Source: d.lines.line(position.Line),
	})
}

// value reads a node into target. Where the node is wrong it says so, leaves
// target as it is and gives false.
func (d *decoder) value(node *yaml.Node, target reflect.Value, field field, path string) bool {
	node, leave := d.follow(node)
	if node == nil {
		return false
	}
	defer leave()
	d.values[path] = node
	if !d.tagged(node) {
		return false
	}
	if target.Kind() == reflect.Pointer {
		made := reflect.New(target.Type().Elem())
		// A mapping that is partly wrong is kept: what is right in it is
		// looked at together with the rest.
		if !d.value(node, made.Elem(), field, path) && made.Elem().Kind() != reflect.Struct {
			return false
		}
		target.Set(made)
		return true
	}
	switch target.Kind() {
	case reflect.Struct:
		return d.mapping(node, target, path)
	case reflect.Slice:
		return d.list(node, target, field, path)
	case reflect.Map:
		return d.table(node, target, field, path)
	}
	return d.scalar(node, target, field)
}

// follow gives the node that an alias stands for, nil when it has no end or
// there is too much, and what to call when one is done with it.
func (d *decoder) follow(node *yaml.Node) (*yaml.Node, func()) {
	if d.nodes++; d.nodes > nodeLimit {
		if d.nodes == nodeLimit+1 {
			d.refuse(node, "anchors that repeat anchors grow quickly: write less, or in several files", "more than %d values", nodeLimit)
		}
		return nil, nil
	}
	if node.Kind != yaml.AliasNode {
		return node, func() {}
	}
	if d.open[node.Alias] {
		d.refuse(node, "an anchor cannot hold itself", "*%s stands inside &%s", node.Value, node.Value)
		return nil, nil
	}
	d.open[node.Alias] = true
	return node.Alias, func() { delete(d.open, node.Alias) }
}

// tagged refuses a node with a YAML tag that would make it something else.
func (d *decoder) tagged(node *yaml.Node) bool {
	if node.Style&yaml.TaggedStyle == 0 || slices.Contains([]string{"!!str", "!!int", "!!bool", "!!map", "!!seq"}, node.ShortTag()) {
		return true
	}
	d.refuse(node, "write the value itself", "tag %s is not supported", node.Tag)
	return false
}

// join puts a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
