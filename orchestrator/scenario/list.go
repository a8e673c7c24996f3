package scenario

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// list reads a list of texts or of mappings. One text in the place of a
// command is for the shell.
func (d *decoder) list(node *yaml.Node, target reflect.Value, field field, path string) bool {
	if field.accepts("shell") && node.Kind == yaml.ScalarNode {
		return d.shell(node, target, field)
	}
	if node.Kind != yaml.SequenceNode {
		d.refuse(node, listHint(node, field), "%s must be a list, not %s", field.key, describe(node))
		return false
	}
	if len(node.Content) > listLimit {
		d.refuse(node, "split the scenario", "%s has %d entries, at most %d are taken", field.key, len(node.Content), listLimit)
		return false
	}
	if field.accepts("shell") && (len(node.Content) == 0 || node.Content[0].Value == "" && node.Content[0].Kind == yaml.ScalarNode) {
		d.refuse(node, "give the program and its arguments", "%s names no program", field.key)
		return false
	}
	complete := true
	made := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		inner := fmt.Sprintf("%s[%d]", path, i)
		d.positions[inner] = d.place(item)
		complete = d.value(item, made.Index(i), field, inner) && complete
	}
	target.Set(made)
	return complete
}

// shell reads one text in the place of a command: it is for the shell.
func (d *decoder) shell(node *yaml.Node, target reflect.Value, field field) bool {
	text, ok := d.text(node, field)
	if ok && strings.TrimSpace(text) == "" {
		d.refuse(node, "give the program and its arguments", "%s is empty", field.key)
		return false
	}
	if ok {
		target.Set(reflect.ValueOf([]string{"/bin/sh", "-c", text}))
	}
	return ok
}

// table reads a mapping whose keys are the user's own.
func (d *decoder) table(node *yaml.Node, target reflect.Value, field field, path string) bool {
	if node.Kind != yaml.MappingNode {
		hint := nothingHint(node)
		if hint == "" {
			hint = fmt.Sprintf("write %s: {NAME: value}", field.key)
		}
		d.refuse(node, hint, "%s must be a mapping, not %s", field.key, describe(node))
		return false
	}
	complete := true
	made := reflect.MakeMap(target.Type())
	for _, entry := range d.entries(node) {
		if wrong, hint := checkForm(field.keyForm, entry.key.Value); wrong != "" {
			d.refuse(entry.key, hint, "%s: %s", field.key, wrong)
			complete = false
			continue
		}
		inner := join(path, entry.key.Value)
		d.positions[inner] = d.place(entry.value)
		value := reflect.New(target.Type().Elem()).Elem()
		of := field
		of.key = inner
		if d.value(entry.value, value, of, inner) {
			made.SetMapIndex(reflect.ValueOf(entry.key.Value), value)
		} else {
			complete = false
		}
	}
	target.Set(made)
	return complete
}
