package scenario

import (
	"fmt"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

// mapping reads a mapping into a struct, by the shape of its type.
func (d *decoder) mapping(node *yaml.Node, target reflect.Value, path string) bool {
	shape := shapes[target.Type()]
	if node.Kind != yaml.MappingNode {
		d.refuse(node, mappingHint(node, shape), "%s must be a mapping, not %s", shape.what, describe(node))
		return false
	}
	if position := target.FieldByName("Position"); position.IsValid() {
		position.Set(reflect.ValueOf(d.place(node)))
	}
	entries := d.entries(node)
	before := len(d.problems)
	kinds := d.kinds(node, shape, entries)
	if len(kinds) == 1 {
		target.FieldByName("Kind").SetString(kinds[0].Name)
	}
	given := map[string]bool{}
	for _, entry := range entries {
		given[entry.key.Value] = true
		_, isField := shape.field(entry.key.Value)
		if _, isKind := shape.kind(entry.key.Value); !isField && !isKind {
			// A key that is only misspelt is not also missing.
			given[nearest(entry.key.Value, shape.keys())] = true
		}
		field, known := d.known(shape, kinds, entry)
		if !known {
			continue
		}
		inner := join(path, entry.key.Value)
		d.positions[inner] = d.place(entry.value)
		d.value(entry.value, target.Field(field.index), field, inner)
	}
	d.complete(node, shape, kinds, given, target)
	return len(d.problems) == before
}

// kinds gives the kinds that a mapping's keys name: exactly one, or there is
// a problem. Of a shape without kinds it gives none.
func (d *decoder) kinds(node *yaml.Node, shape *shape, entries []entry) []Kind {
	if len(shape.kinds) == 0 {
		return nil
	}
	var found []Kind
	var places []*yaml.Node
	misspelt := false
	for _, entry := range entries {
		if kind, known := shape.kind(entry.key.Value); known {
			if !shape.isKeyOfAnother(entries, entry) {
				found, places = append(found, kind), append(places, entry.key)
			}
			continue
		}
		if _, known := shape.field(entry.key.Value); !known {
			_, near := shape.kind(nearest(entry.key.Value, shape.keys()))
			misspelt = misspelt || near
		}
	}
	switch {
	case len(found) == 0 && !misspelt:
		d.refuse(node, "give one of "+listed(shape.kinds), "%s does not say what it is", shape.what)
	case len(found) > 1:
		d.refuse(places[1], "keep one of them; a fault more is an entry of its own", "%s is %s and %s at once", shape.what, found[0].Name, found[1].Name)
	}
	return found
}

// isKeyOfAnother says whether an entry that is named like a kind is a key of
// another kind instead: restart is a fault, and beside kill it is a delay.
func (s *shape) isKeyOfAnother(entries []entry, of entry) bool {
	name := of.key.Value
	field, isField := s.field(name)
	if !isField || field.key == s.into[name].key && field.index == s.into[name].index {
		return false
	}
	return slices.ContainsFunc(entries, func(other entry) bool {
		kind, isKind := s.kind(other.key.Value)
		return isKind && kind.Name != name && (kind.takes(name) || field.looksRight(of.value))
	})
}

// known gives the field that a key stands for, and says what is wrong with
// one that stands for none or that the mapping's kind does not take.
func (d *decoder) known(shape *shape, kinds []Kind, entry entry) (field, bool) {
	key := entry.key.Value
	if slices.ContainsFunc(kinds, func(kind Kind) bool { return kind.Name == key }) {
		return shape.into[key], true
	}
	field, known := shape.field(key)
	switch {
	case !known:
		d.refuse(entry.key, unknownHint(key, shape, kinds), "unknown key %q in %s", key, shape.what)
		return field, false
	case len(kinds) == 0, slices.Contains(shape.common, key):
		return field, true
	case slices.ContainsFunc(kinds, func(kind Kind) bool { return kind.takes(key) }):
		return field, true
	}
	takers := shape.takers(key)
	d.refuse(entry.key, strayHint(key, kinds[0]), "%q belongs to %s; %s does not take it", key, conjoin(takers, "and"), kinds[0].Name)
	return field, false
}

// complete refuses a mapping without a key that it needs, and gives every key
// that is left out its default.
func (d *decoder) complete(node *yaml.Node, shape *shape, kinds []Kind, given map[string]bool, target reflect.Value) {
	if len(shape.kinds) > 0 && len(kinds) != 1 {
		return
	}
	var kind Kind
	if len(kinds) == 1 {
		kind = kinds[0]
	}
	for _, field := range shape.fieldsOf(kind) {
		switch {
		case given[field.key]:
		case field.required:
			what := shape.what
			if kind.Name != "" {
				what = kind.Name
			}
			d.refuse(node, fmt.Sprintf("%s: %s", field.key, field.doc), "%s needs %q", what, field.key)
		case field.fallback != "":
			setDefault(target.Field(field.index), field)
		}
	}
}

// setDefault puts a field's default into it.
func setDefault(target reflect.Value, field field) {
	switch {
	case target.Type() == reflect.TypeFor[Duration]():
		target.SetInt(int64(mustDuration(field.fallback)))
	case target.Kind() == reflect.Int:
		target.SetInt(int64(mustNumber(field.fallback)))
	case target.Kind() == reflect.String:
		target.SetString(field.fallback)
	default:
		panic(fmt.Sprintf("scenario: field %s: a %v cannot have a default", field.key, target.Type()))
	}
}
