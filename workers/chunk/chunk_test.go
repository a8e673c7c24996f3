package chunk

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

const id = "8f14e45f-ceea-467f-a9ab-1d6a9d2c3b10"

func TestDecodeGivesTheRowsAsTheyWereSent(t *testing.T) {
	rows := []string{"1,Ann", "-7,Zoë", `12,"Smith, ""Al"""`, "0,", "1,Ann", "3,O'Hara von X"}
	c, err := Decode(id, "TEST", Encode(rows))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != id || c.Client != "TEST" || len(c.Rows) != len(rows) {
		t.Fatalf("decoded %+v", c)
	}
	for i, want := range []int64{1, -7, 12, 0, 1, 3} {
		if c.Rows[i].UserID != want || string(c.Rows[i].Line) != rows[i] {
			t.Errorf("row %d is %d %q, want %d %q", i, c.Rows[i].UserID, c.Rows[i].Line, want, rows[i])
		}
	}
}

func TestDecodeTakesOtherLineEnds(t *testing.T) {
	c, err := Decode(id, "TEST", []byte("user_id,name\r\n1,Ann\r\n2,Bob"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rows) != 2 || string(c.Rows[0].Line) != "1,Ann" || string(c.Rows[1].Line) != "2,Bob" {
		t.Errorf("rows are %v", c.Rows)
	}
}

func TestDecodeRefusesWhatIsNoChunk(t *testing.T) {
	for name, test := range map[string]struct{ id, client, body, reason string }{
		"binary":             {id, "TEST", "\x00\xff\x1f\x8b", "the body is not text"},
		"zero bytes":         {id, "TEST", "user_id,name\n1,A\x00nn\n", "the body is not text"},
		"empty":              {id, "TEST", "", "does not begin with"},
		"other header":       {id, "TEST", "id,name\n1,Ann\n", "does not begin with"},
		"no rows":            {id, "TEST", "user_id,name\n", "no row"},
		"no number":          {id, "TEST", "user_id,name\n1,Ann\nBob,2\n", "line 3 has no whole number as user_id: \"Bob,2\""},
		"plus sign":          {id, "TEST", "user_id,name\n+1,Ann\n", "no whole number"},
		"blank in number":    {id, "TEST", "user_id,name\n 1,Ann\n", "no whole number"},
		"too large a number": {id, "TEST", "user_id,name\n9223372036854775808,Ann\n", "no whole number"},
		"empty number":       {id, "TEST", "user_id,name\n,Ann\n", "no whole number"},
		"quoted empty":       {id, "TEST", "user_id,name\n\"\",Ann\n", "no whole number"},
		"one column":         {id, "TEST", "user_id,name\n1\n", "two columns"},
		"three columns":      {id, "TEST", "user_id,name\n1,Ann,x\n", "two columns"},
		"three with quotes":  {id, "TEST", "user_id,name\n1,\"Ann\",x\n", "two columns"},
		"open quote":         {id, "TEST", "user_id,name\n1,\"Ann\n2,Bob\n", "not CSV"},
		"empty line":         {id, "TEST", "user_id,name\n1,Ann\n\n2,Bob\n", "line 3 does not have two columns"},
		"line break":         {id, "TEST", "user_id,name\n1,A\rnn\n", "line break"},
		"no id":              {"", "TEST", "user_id,name\n1,Ann\n", "there is no id"},
		"blank in id":        {"a b", "TEST", "user_id,name\n1,Ann\n", "the id"},
		"line break in id":   {"a\nb", "TEST", "user_id,name\n1,Ann\n", "the id"},
		"no client":          {id, "", "user_id,name\n1,Ann\n", "no client_id"},
		"path as client":     {id, "../x", "user_id,name\n1,Ann\n", "the client_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(test.id, test.client, []byte(test.body))
			var malformed *MalformedError
			if !errors.As(err, &malformed) || !strings.Contains(malformed.Reason, test.reason) {
				t.Errorf("err = %v, want a MalformedError that says %q", err, test.reason)
			}
		})
	}
}

// The short way for plain rows takes none that the long way does not, and reads
// the same in it.
func TestPlainRowsAreReadAsAnyOther(t *testing.T) {
	const letters = "0019-+,,\"\r aZ\xc3\xab"
	random := rand.New(rand.NewPCG(1, 1))
	plain := 0
	for range 200_000 {
		line := make([]byte, random.IntN(12))
		for i := range line {
			line[i] = letters[random.IntN(len(letters))]
		}
		if random.IntN(3) == 0 {
			line = append([]byte(strings.Repeat("9", random.IntN(22))), line...)
		}
		got, taken := parsePlain(line)
		if !taken {
			continue
		}
		plain++
		if want, err := parseAny(line); err != nil || got != want {
			t.Fatalf("%q is %d in the short way; in the long way it is %d, %v", line, got, want, err)
		}
	}
	if plain < 1000 {
		t.Errorf("only %d lines were plain", plain)
	}
}

func TestPartitionIsTheEuclideanRemainder(t *testing.T) {
	for _, test := range []struct {
		userID     int64
		partitions int
		want       int
	}{{0, 5, 0}, {7, 5, 2}, {-1, 5, 4}, {-5, 5, 0}, {math.MinInt64, 3, 1}, {math.MaxInt64, 10, 7}, {math.MinInt64, 1, 0}} {
		if got := Partition(test.userID, test.partitions); got != test.want {
			t.Errorf("Partition(%d, %d) = %d, want %d", test.userID, test.partitions, got, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("user_id,name\n1,Ann\n2,\"B,ob\"\n"))
	f.Add([]byte("user_id,name\r\n-3,\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Decode(id, "TEST", body)
		if err != nil {
			var malformed *MalformedError
			if !errors.As(err, &malformed) {
				t.Fatalf("err = %v, not a MalformedError", err)
			}
			return
		}
		// What was taken can be written as lines and read again the same.
		rows := make([]string, len(c.Rows))
		for i, row := range c.Rows {
			rows[i] = string(row.Line)
		}
		again, err := Decode(id, "TEST", Encode(rows))
		if err != nil || len(again.Rows) != len(c.Rows) {
			t.Fatalf("decoding again: %v, %d rows of %d", err, len(again.Rows), len(c.Rows))
		}
		for i := range c.Rows {
			if again.Rows[i].UserID != c.Rows[i].UserID || string(again.Rows[i].Line) != string(c.Rows[i].Line) {
				t.Fatalf("row %d changed from %q to %q", i, c.Rows[i].Line, again.Rows[i].Line)
			}
		}
	})
}
