package testrunner

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/killpoint/killpoint/workers/chunk"
)

// all gives the whole plan of a configuration.
func all(t *testing.T, c Config) []item {
	t.Helper()
	p, err := newPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	for {
		next, err := p.next()
		if errors.Is(err, io.EOF) {
			return items
		}
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, next)
	}
}

func config20(seed uint64) Config {
	return Config{Chunks: 20, RowsPerChunk: 10, Partitions: 5, Client: "TEST", Seed: seed}
}

func TestTheSeedSaysWhatIsSent(t *testing.T) {
	c := config20(7)
	c.DuplicateEach, c.Malformed = 3, 4
	first, second := all(t, c), all(t, c)
	if !reflect.DeepEqual(first, second) {
		t.Error("one seed gives two plans")
	}
	c.Seed = 8
	other := all(t, c)
	for i := range first {
		if first[i].message.ID != "" && first[i].message.ID == other[i].message.ID {
			t.Errorf("seeds 7 and 8 have an id in common: %s", first[i].message.ID)
		}
	}
}

// A run with more chunks begins like one with fewer, and its ids stay.
func TestChunksDoNotDependOnHowManyThereAre(t *testing.T) {
	few := all(t, config20(1))
	c := config20(1)
	c.Chunks, c.Malformed = 30, 3
	var many []item
	for _, i := range all(t, c) {
		if i.reason == "" {
			many = append(many, i)
		}
	}
	if !reflect.DeepEqual(few, many[:len(few)]) {
		t.Error("the first 20 of 30 chunks are not the 20 of 20")
	}
}

func TestGeneratedChunks(t *testing.T) {
	ids := map[string]bool{}
	rows := map[string]int{}
	partitions := map[int]int{}
	equal := 0
	for _, i := range all(t, config20(42)) {
		if id, err := uuid.Parse(i.message.ID); err != nil || id.Version() != 4 || ids[i.message.ID] {
			t.Errorf("id %q is no UUID, or not the first one: %v", i.message.ID, err)
		}
		ids[i.message.ID] = true
		c, err := chunk.Decode(i.message.ID, i.message.Client, i.message.Body)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Rows) != 10 || len(i.rows) != 10 {
			t.Errorf("chunk has %d rows, recorded %d, want 10", len(c.Rows), len(i.rows))
		}
		for n, row := range c.Rows {
			if string(row.Line) != i.rows[n] {
				t.Errorf("sent %q, recorded %q", row.Line, i.rows[n])
			}
			if rows[i.rows[n]]++; rows[i.rows[n]] == 2 {
				equal++
			}
			partitions[chunk.Partition(row.UserID, 5)]++
		}
	}
	if len(ids) != 20 || equal < 3 {
		t.Errorf("%d chunks with %d rows that occur again, want 20 with some", len(ids), equal)
	}
	for p := range 5 {
		if partitions[p] < 10 {
			t.Errorf("partition %d gets %d rows of 200", p, partitions[p])
		}
	}
}

func TestDuplicates(t *testing.T) {
	c := config20(1)
	c.DuplicateEach = 4
	first := map[string]int{}
	var distances []int
	for position, i := range all(t, c) {
		if !i.again {
			if i.rows == nil {
				t.Errorf("the first delivery of %s has no rows", i.message.ID)
			}
			first[i.message.ID] = position
			continue
		}
		at, sent := first[i.message.ID]
		if !sent || i.rows != nil {
			t.Errorf("second delivery of %s comes first, or has rows", i.message.ID)
		}
		distances = append(distances, position-at)
	}
	// Every other one comes late; the last one after the last chunk.
	if want := []int{1, 4, 1, 4, 1}; !reflect.DeepEqual(distances, want) {
		t.Errorf("second deliveries come %v places after the first, want %v", distances, want)
	}
}

func TestMalformedMessagesAreMalformedInEveryWay(t *testing.T) {
	c := config20(1)
	c.Malformed = 7
	items := all(t, c)
	reasons := map[string]int{}
	for position, i := range items {
		_, err := chunk.Decode(i.message.ID, i.message.Client, i.message.Body)
		if (err != nil) != (i.reason != "") {
			t.Errorf("message %d: reason %q, decoding it: %v", position, i.reason, err)
		}
		if i.reason != "" {
			reasons[i.reason]++
			if position == 0 || position == len(items)-1 {
				t.Error("a malformed message is not mixed in between chunks")
			}
		}
	}
	if want := map[string]int{"no CSV at all": 3, "a row without a number in user_id": 2, "no id": 2}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("kinds are %v, want %v", reasons, want)
	}
	if len(items) != 27 {
		t.Errorf("%d messages, want 27", len(items))
	}
	c.Chunks, c.Malformed = 2, 9
	if got := len(all(t, c)); got != 11 {
		t.Errorf("%d messages with more malformed ones than chunks, want 11", got)
	}
}

func input(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "input.csv")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestInputFile(t *testing.T) {
	c := Config{RowsPerChunk: 2, Client: "TEST", Seed: 1, Input: input(t, "user_id,name\r\n1,Ann\r\n-2,\"Bob, B.\"\r\n3,Cy")}
	items := all(t, c)
	if len(items) != 2 || !reflect.DeepEqual(items[0].rows, []string{"1,Ann", `-2,"Bob, B."`}) || !reflect.DeepEqual(items[1].rows, []string{"3,Cy"}) {
		t.Errorf("chunks are %v", items)
	}
}

func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for name, test := range map[string]struct{ text, problem string }{
		"header":     {"id,name\n1,Ann\n", `the first line is "id,name"`},
		"empty":      {"", "the first line"},
		"no rows":    {"user_id,name\n", "no row under the header"},
		"bad row":    {"user_id,name\n1,Ann\n2,Bob\nx,Cy\n", `line 4 has no whole number as user_id: "x,Cy"`},
		"empty line": {"user_id,name\n1,Ann\n\n", "line 3 does not have two columns"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newPlan(Config{RowsPerChunk: 2, Input: input(t, test.text)})
			if err == nil || !strings.Contains(err.Error(), test.problem) || !strings.Contains(err.Error(), "INPUT") {
				t.Errorf("err = %v, want one that names INPUT and says %q", err, test.problem)
			}
		})
	}
	if _, err := newPlan(Config{RowsPerChunk: 2, Input: "/does/not/exist.csv"}); err == nil || !strings.Contains(err.Error(), "INPUT") {
		t.Errorf("err = %v, want one that names INPUT", err)
	}
}
