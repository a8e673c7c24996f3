package scenario

import (
	"maps"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// factsKey is the key of the facts, in compose files and in scenarios.
const factsKey = "x-killpoint"

// ParseFacts reads the value of x-killpoint in a compose file. The node keeps
// the lines and columns of that file, which messages name. With problems the
// facts hold what could be read; they are nil when the node is no mapping.
func ParseFacts(file string, node *yaml.Node) (*Facts, Problems) {
	if node == nil {
		return nil, nil
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	decoder := newDecoder(file, readSource(file))
	facts := &Facts{}
	decoder.value(node, reflect.ValueOf(facts).Elem(), field{key: factsKey}, factsKey)
	decoder.positions[factsKey] = decoder.place(node)
	facts.Positions = decoder.positions
	decoder.checkFacts(facts)
	if decoder.values[factsKey] == nil || decoder.values[factsKey].Kind != yaml.MappingNode {
		facts = nil
	}
	return facts, decoder.problems.sorted()
}

// under gives the positions of a path and of what is in it.
func under(positions map[string]Position, path string) map[string]Position {
	part := maps.Clone(positions)
	maps.DeleteFunc(part, func(key string, _ Position) bool { return !isUnder(key, path) })
	return part
}

// isUnder says whether a path is another or in it.
func isUnder(path, of string) bool {
	rest, found := strings.CutPrefix(path, of)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
