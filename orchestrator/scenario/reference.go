package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Reference is the reference of the language in Markdown, from the same types
// and tables that Parse reads by. docs/scenarios.md holds it between markers.
func Reference() string {
	var page strings.Builder
	page.WriteString("## Reference\n\n")
	page.WriteString("Durations are numbers with a unit: `200ms`, `5s`, `1m30s`. Keys that are not listed here are errors.\n")
	for _, section := range referenceSections() {
		fmt.Fprintf(&page, "\n### %s\n\n%s\n\n", section.title, section.text)
		section.write(&page, shapes[section.of])
	}
	return page.String()
}

// section is the part of the reference for one mapping.
type section struct {
	title string
	text  string
	of    reflect.Type
	write func(*strings.Builder, *shape)
}

func referenceSections() []section {
	return []section{
		{"A scenario", "The file itself.", reflect.TypeFor[Scenario](), writeFields},
		{
			"Faults", "Each entry of `faults` is one of these; its own key names the service. They are done in order, each armed when the one before has fired.",
			reflect.TypeFor[Fault](), writeKinds("- "),
		},
		{"Triggers", "`when` is one of these. Those from `write` on are crash points, in the service that the fault is done to.", reflect.TypeFor[When](), writeKinds("when: ")},
		{"Expectations", "The keys of `expect`.", reflect.TypeFor[Expect](), writeFields},
		{
			"Log lines", "Each entry of `logs`. With `contains` and `matches`, a line counts when it does both; with no count, there must be one at least.",
			reflect.TypeFor[LogExpect](), writeFields,
		},
		{"Commands", "Each entry of `run`.", reflect.TypeFor[RunExpect](), writeFields},
		{"Stable files", "Each entry of `stable`.", reflect.TypeFor[StableExpect](), writeFields},
		{"Facts", "The keys of `x-killpoint`, in the compose file or in the scenario.", reflect.TypeFor[Facts](), writeFields},
		{"`broker`", "Of `x-killpoint`.", reflect.TypeFor[Broker](), writeFields},
		{"`done`", "Of `x-killpoint`.", reflect.TypeFor[Done](), writeFields},
		{"`verdicts`", "Of `x-killpoint`.", reflect.TypeFor[Verdicts](), writeFields},
		{"`explore`", "Of `x-killpoint`.", reflect.TypeFor[Explore](), writeFields},
		{"`rows`", "Of `x-killpoint`.", reflect.TypeFor[Rows](), writeFields},
		{"`sent`", "Of `rows`.", reflect.TypeFor[SentFile](), writeFields},
		{"`output`", "Of `rows`.", reflect.TypeFor[Output](), writeFields},
		{"`partition`", "Of `rows`.", reflect.TypeFor[Partition](), writeFields},
	}
}

// writeFields writes one row for each key of a mapping.
func writeFields(page *strings.Builder, shape *shape) {
	page.WriteString("| key | value | left out | meaning |\n| --- | --- | --- | --- |\n")
	for _, field := range shape.fields {
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", field.key, valueText(field), absentText(field), cell(field.doc))
	}
}

// writeKinds writes every kind with its keys, then the keys, then how each
// kind is written.
func writeKinds(before string) func(*strings.Builder, *shape) {
	return func(page *strings.Builder, shape *shape) {
		page.WriteString("| kind | its value | what | keys |\n| --- | --- | --- | --- |\n")
		for _, kind := range shape.kinds {
			var keys []string
			for _, field := range shape.fieldsOf(kind) {
				if !slices.Contains(shape.common, field.key) {
					keys = append(keys, keyText(field))
				}
			}
			fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", kind.Name, valueText(shape.into[kind.Name]), cell(kind.Doc), strings.Join(keys, ", "))
		}
		page.WriteString("\n| key | with | value | left out | meaning |\n| --- | --- | --- | --- | --- |\n")
		for _, field := range shape.fields {
			with := "all"
			if !slices.Contains(shape.common, field.key) {
				with = shape.takersText(field.key)
			}
			if with != "" {
				fmt.Fprintf(page, "| `%s` | %s | %s | %s | %s |\n", field.key, with, valueText(field), absentText(field), cell(field.doc))
			}
		}
		page.WriteString("\n```yaml\n")
		for _, kind := range shape.kinds {
			page.WriteString(before + kind.Example + "\n")
		}
		page.WriteString("```\n")
	}
}

// takersText is the kinds that take a key, for a table.
func (s *shape) takersText(key string) string {
	takers := s.takers(key)
	for i, name := range takers {
		if _, isKind := s.kind(name); isKind {
			takers[i] = "`" + name + "`"
		}
	}
	return strings.Join(takers, ", ")
}

// keyText is a key in a list of keys, marked when the kind needs it.
func keyText(field field) string {
	if field.required {
		return "`" + field.key + "` (required)"
	}
	return "`" + field.key + "`"
}

// absentText says what holds when a key is left out.
func absentText(field field) string {
	switch {
	case field.required:
		return "required"
	case field.fallback != "":
		return "`" + field.fallback + "`"
	}
	return ""
}

// valueText says what a value looks like.
func valueText(field field) string {
	return cell(valueWords(field.value, field))
}

func valueWords(value reflect.Type, of field) string {
	switch {
	case value == reflect.TypeFor[Duration]():
		return "a duration"
	case value.Kind() == reflect.Pointer:
		return valueWords(value.Elem(), of)
	case value.Kind() == reflect.Struct:
		return "a mapping"
	case value.Kind() == reflect.Slice:
		if of.accepts("shell") {
			return "a list of texts, or one text"
		}
		if value.Elem().Kind() == reflect.Struct {
			return "a list of mappings"
		}
		return "a list, each " + valueWords(value.Elem(), of)
	case value.Kind() == reflect.Map:
		return "a mapping from " + forms[of.keyForm].doc + " to " + valueWords(value.Elem(), of)
	case value.Kind() == reflect.Int:
		return numberWords(of)
	case value.Kind() == reflect.Bool:
		return "true or false"
	case len(of.enum) > 0:
		return "`" + strings.Join(of.enum, "`, `") + "`"
	case of.form != "":
		return forms[of.form].doc
	}
	return "text"
}

func numberWords(of field) string {
	low, high := of.bounds()
	if high == countLimit {
		return fmt.Sprintf("a whole number from %d up", low)
	}
	return fmt.Sprintf("a whole number from %d to %d", low, high)
}

// cell makes a text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
