package scenario

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// entry is one key of a mapping with its value.
type entry struct {
	key   *yaml.Node
	value *yaml.Node
}

// entries gives the keys of a mapping in order, those of merge keys (<<) last
// and only where the mapping does not give them itself. A key that is given
// twice is a problem, and its first value counts.
func (d *decoder) entries(node *yaml.Node) []entry {
	var all []entry
	var merges []*yaml.Node
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = &yaml.Node{Kind: key.Alias.Kind, Tag: key.Alias.Tag, Value: key.Alias.Value, Line: key.Line, Column: key.Column}
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			d.refuse(key, "a key is one word; check for '{', '[' and '?' before it", "a key must be text, not %s", describe(key))
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case seen[key.Value] > 0:
			d.refuse(key, fmt.Sprintf("it is given in line %d already: leave one of them out", seen[key.Value]), "key %q is given twice", key.Value)
		default:
			seen[key.Value] = key.Line
			all = append(all, entry{key, value})
		}
	}
	for _, merge := range merges {
		for _, merged := range d.merged(merge) {
			if seen[merged.key.Value] == 0 {
				seen[merged.key.Value] = merged.key.Line
				all = append(all, merged)
			}
		}
	}
	return all
}

// merged gives the entries that the value of a merge key stands for: a
// mapping, or a list of them of which the first that has a key gives it.
func (d *decoder) merged(node *yaml.Node) []entry {
	node, leave := d.follow(node)
	if node == nil {
		return nil
	}
	defer leave()
	switch node.Kind {
	case yaml.MappingNode:
		return d.entries(node)
	case yaml.SequenceNode:
		var all []entry
		for _, item := range node.Content {
			all = append(all, d.merged(item)...)
		}
		return all
	}
	d.refuse(node, "write << : *anchor, where &anchor marks a mapping", "<< takes a mapping, not %s", describe(node))
	return nil
}
