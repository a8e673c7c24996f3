package scenario

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"pgregory.net/rapid"
)

// TestPointText holds the text form to the one that the docs and reports show.
func TestPointText(t *testing.T) {
	tests := []struct {
		point Point
		want  string
	}{
		{
			Point{Service: "worker-2", Kind: Write, Path: "/app/worker-data/partitions/TEST-users-partition-003.csv", Occurrence: 7, Keep: "11", Incarnation: 1},
			"worker-2:write:/app/worker-data/partitions/TEST-users-partition-003.csv:7:+11",
		},
		{Point{Service: "worker-2", Kind: Write, Path: "/a", Occurrence: 1, Keep: "all-but-1", Incarnation: 2}, "worker-2:write:/a:1:+all-but-1:i2"},
		{Point{Service: "a", Kind: Fsync, Path: "/", Occurrence: 1, Timing: TimingBefore, Incarnation: 1}, "a:fsync:/:1:before"},
		{Point{Service: "a", Kind: Rename, Path: "/50% of a:b ~x\x1b\xff\n'\"$(*", Occurrence: 3, Timing: TimingAfter, Incarnation: 1}, "a:rename:/50%25%20of%20a%3Ab%20%7Ex%1B%FF%0A%27%22%24%28%2A:3:after"},
		{Point{Service: "worker-2", Kind: AMQP, Method: Publish, Queue: "queue-2-3", Occurrence: 4, Timing: TimingAfter, Incarnation: 1}, "worker-2:amqp-publish:queue-2-3:4:after"},
		{Point{Service: "worker-2", Kind: AMQP, Method: Ack, Occurrence: 4, Timing: TimingBefore, Incarnation: 12}, "worker-2:amqp-ack::4:before:i12"},
		{Point{Service: "worker-2", Kind: Fsync, Path: "/data/x", Occurrence: 3, Timing: TimingBefore, Incarnation: 1, Lose: "drop-3"}, "worker-2:fsync:/data/x:3:before:lose-drop-3"},
		{Point{Service: "worker-2", Kind: Fsync, Path: "/data/x", Occurrence: 3, Timing: TimingAfter, Incarnation: 2, Lose: "17"}, "worker-2:fsync:/data/x:3:after:i2:lose-17"},
	}
	for _, test := range tests {
		if got := test.point.String(); got != test.want {
			t.Errorf("%#v is written %s, want %s", test.point, got, test.want)
		}
		if back, err := ParsePoint(test.want); err != nil || back != test.point {
			t.Errorf("%s is read as %#v, %v", test.want, back, err)
		}
	}
}

func TestPointsThatAreNone(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "want service:operation:path:occurrence:place"},
		{"worker-2", "want service:operation:path:occurrence:place"},
		{"a:write:/x:1:+1:i2:x", "want service:operation:path:occurrence:place"},
		{":write:/x:1:+1", "service: is empty"},
		{"a b:write:/x:1:+1", "cannot be a service's name"},
		{"a:writ:/x:1:+1", `unknown operation "writ": want write, fsync, rename, create, truncate, unlink, read, mkdir, amqp-publish or amqp-ack`},
		{"a:log:/x:1:before", `unknown operation "log"`},
		{"a:amqp:q:1:before", `unknown operation "amqp-"`},
		{"a:amqp-get:q:1:before", `unknown operation "amqp-get"`},
		{"a:write:x:1:+1", "is relative"},
		{"a:write::1:+1", "is relative"},
		{"a:write:/x/../y:1:+1", "is not a plain path"},
		{"a:write:/x%00:1:+1", "zero byte"},
		{"a:write:/x%5B:1:+1", "is not a glob"},
		{"a:write:/x%2:1:+1", "two hexadecimal digits"},
		{"a:write:/x%2fy:1:+1", "its one form is a:write:/x/y:1:+1"},
		{"a:write:/%61:1:+1", "its one form is a:write:/a:1:+1"},
		{"a:write:/é:1:+1", "its one form is a:write:/%C3%A9:1:+1"},
		{"a:amqp-ack:" + strings.Repeat("q", 256) + ":1:before", "at most 255 bytes"},
		{"a:write:/x:0:+1", "both are counted from 1"},
		{"a:write:/x:one:+1", `occurrence "one"`},
		{"a:write:/x:01:+1", "its one form is a:write:/x:1:+1"},
		{"a:write:/x:1:+1:i0", "both are counted from 1"},
		{"a:write:/x:1:+1:i1", "its one form is a:write:/x:1:+1"},
		{"a:write:/x:1:+1:2", `part "2": want i and the number of a life`},
		{"a:write:/x:1:+1:lose-", "lose- without what is lost"},
		{"a:write:/x:1:+1:lose-some", "does not say what is lost"},
		{"a:write:/x:1:+1:lose-drop-0", "does not say what is lost"},
		{"a:write:/x:1:+1:lose-keep-01", "does not say what is lost"},
		{"a:write:/x:1:+1:lose-prefix-9999999999", "does not say what is lost"},
		{"a:write:/x:1:+1:lose-all:i2", "want service:operation:path:occurrence:place"},
		{"a:write:/x:1:+1:lose-all:lose-all", `part "lose-all": want i and the number of a life`},
		{"a:write:/x:1:during", "want before, after, or + with what is kept"},
		{"a:write:/x:1:", "want before, after, or + with what is kept"},
		{"a:write:/x:1:+", "want before, after, or + with what is kept"},
		{"a:write:/x:1:+all-but-0", "tears nothing"},
		{"a:fsync:/x:1:+1", "only a write can be torn, not fsync"},
		{"a:amqp-ack:q:1:+1", "only a write can be torn, not amqp-ack"},
		{"a:write:/x:99999999999:+1", "both are counted from 1"},
	}
	for _, test := range tests {
		point, err := ParsePoint(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q gives %v, %v; want %q in one line", test.text, point, err, test.want)
		}
		if point != (Point{}) {
			t.Errorf("%q gives an error and a point: %v", test.text, point)
		}
	}
}

// points draws any point that there can be; paths and queues of any bytes.
func points() *rapid.Generator[Point] {
	text := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9._/%: *+~$'"\\=@,-]{1,40}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 20), func(b []byte) string { return string(b) }),
	)
	return rapid.Custom(func(t *rapid.T) Point {
		point := Point{
			Service:    rapid.StringMatching(`[a-zA-Z0-9._-]{1,12}`).Draw(t, "service"),
			Kind:       rapid.SampledFrom(CrashPoints).Draw(t, "kind"),
			Occurrence: rapid.IntRange(1, countLimit).Draw(t, "occurrence"), Incarnation: rapid.IntRange(1, 4).Draw(t, "incarnation"),
			Timing: rapid.SampledFrom([]string{TimingBefore, TimingAfter}).Draw(t, "timing"),
			Lose:   rapid.StringMatching(`|all|none|(drop|keep|prefix)-[1-9][0-9]{0,8}|0|[1-9][0-9]{0,8}`).Draw(t, "lose"),
		}
		object := text.Draw(t, "object")
		if point.Kind == AMQP {
			point.Method = rapid.SampledFrom([]string{Publish, Ack}).Draw(t, "method")
			point.Queue = rapid.SampledFrom([]string{object, ""}).Draw(t, "queue")
			return point
		}
		point.Path = LiteralPattern(plainPath(object))
		if point.Kind == Write && rapid.Bool().Draw(t, "torn") {
			point.Timing = ""
			point.Keep = rapid.StringMatching(`half|all-but-[1-9][0-9]{0,5}|0|[1-9][0-9]{0,8}`).Draw(t, "keep")
		}
		return point
	})
}

// plainPath makes any bytes the absolute path of a file.
func plainPath(text string) string {
	parts := slices.DeleteFunc(strings.Split(strings.ReplaceAll(text, "\x00", ""), "/"), func(part string) bool {
		return part == "" || part == "." || part == ".."
	})
	return "/" + strings.Join(parts, "/")
}

// TestPointRoundTrip holds that a point's text is one word of plain bytes that
// gives the same point again, and so does the trigger that it is.
func TestPointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		point := points().Draw(t, "point")
		text := point.String()
		back, err := ParsePoint(text)
		if err != nil || back != point {
			t.Fatalf("%#v is written %s and read as %#v, %v", point, text, back, err)
		}
		if parts := strings.Count(text, ":"); parts < 4 || parts > 6 {
			t.Fatalf("%s has %d colons", text, parts)
		}
		for _, one := range []byte(text) {
			if one <= ' ' || one > '~' || strings.IndexByte("\"'`\\$&|;<>()[]{}*?!#~^", one) >= 0 {
				t.Fatalf("%s holds %q", text, one)
			}
		}
		if again := point.Kill().Point(); again != point {
			t.Fatalf("the kill at %#v is at the point %#v", point, again)
		}
	})
}

// TestSequenceRoundTrip holds the same of several points in a row, whatever
// their services and queues are called.
func TestSequenceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sequence := Sequence(rapid.SliceOfN(points(), 1, 4).Draw(t, "sequence"))
		for i := range sequence {
			if rapid.Bool().Draw(t, "then") {
				sequence[i].Service = "then"
			}
			if sequence[i].Kind == AMQP && rapid.Bool().Draw(t, "queue") {
				sequence[i].Queue = "then"
			}
		}
		text := sequence.String()
		back, err := ParseSequence(text)
		if err != nil || !slices.Equal(back, sequence) {
			t.Fatalf("%#v is written %s and read as %#v, %v", sequence, text, back, err)
		}
		for i, fault := range sequence.Kills() {
			if fault.Point() != sequence[i] {
				t.Fatalf("the kill at %s is at %s", sequence[i], fault.Point())
			}
		}
	})
}

func TestSequencesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "want service:operation",
		"a:write:/x:1:+1:then":                `part "then"`,
		"a:write:/x:1:+1:then:":               "nothing comes after then",
		"a:write:/x:1:+1:then:b":              "want service:operation",
		"a:write:/x:1:then:b:write:/x:1:+1":   "want service:operation",
		"a:write:/x:1:+1:then:then:write:/x:": `read crash point "then:write:/x:"`,
		"a:write:/x:1:+1:then:b:write:/x:1:+1:then:c:write:/x:1:+y": "place",
		strings.Repeat("a:write:/x:1:+1:then:", 101):                "more than 100",
	} {
		if sequence, err := ParseSequence(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, %v; want %q", text, sequence, err, want)
		}
	}
	sequence, err := ParseSequence("worker-2:write:/data/a.csv:7:+11:then:worker-2:amqp-publish:then:1:before:i2:lose-all")
	if err != nil || len(sequence) != 2 || sequence[1].Queue != "then" || sequence[1].Lose != "all" || sequence[1].Incarnation != 2 {
		t.Errorf("read as %#v, %v", sequence, err)
	}
}

// TestLoss holds each value of lose-unsynced to what it is, its text and its
// phrase.
func TestLoss(t *testing.T) {
	for text, want := range map[string]struct {
		loss   Loss
		phrase string
	}{
		"all":       {Loss{Kind: LoseAll}, "losing all that was not synced"},
		"none":      {Loss{Kind: LoseNone}, "losing nothing that was not synced"},
		"drop-3":    {Loss{LoseDrop, 3}, "losing the 3rd un-synced change alone"},
		"keep-21":   {Loss{LoseKeep, 21}, "losing every un-synced change but the 21st"},
		"prefix-1":  {Loss{LosePrefix, 1}, "losing every un-synced change after the first"},
		"prefix-12": {Loss{LosePrefix, 12}, "losing every un-synced change after the first 12"},
		"0":         {Loss{LoseSeed, 0}, "losing some of what was not synced (seed 0)"},
		"17":        {Loss{LoseSeed, 17}, "losing some of what was not synced (seed 17)"},
	} {
		loss, err := ParseLoss(text)
		if err != nil || loss != want.loss || loss.String() != text || loss.phrase() != want.phrase {
			t.Errorf("%s is %#v, %v, written %s, in words %s", text, loss, err, loss, loss.phrase())
		}
		fault := Fault{Kind: Kill, Service: "a", Signal: sigkill, LoseUnsynced: text, When: When{Kind: Fsync, Path: "/x"}}
		if got := fault.String(); got != "kill a before its 1st fsync of /x, "+want.phrase {
			t.Errorf("the fault reads: %s", got)
		}
	}
	for _, text := range []string{"", "drop", "drop-", "drop-0", "drop--1", "keep-01", "prefix-0", "prefix-x", "seed-1", "-1", "+1", "01", "ALL", "drop-1000000001"} {
		if loss, err := ParseLoss(text); err == nil {
			t.Errorf("%q is taken for %#v", text, loss)
		}
	}
}

// TestPointsAreDistinct holds that two points share no text.
func TestPointsAreDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := points().Draw(t, "one"), points().Draw(t, "other")
		if (one == other) != (one.String() == other.String()) {
			t.Fatalf("%#v and %#v are written %s and %s", one, other, one, other)
		}
	})
}

// TestPointIsOneWordOfTheShell asks the shell itself.
func TestPointIsOneWordOfTheShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	var texts []string
	for seed := range 200 {
		texts = append(texts, points().Example(seed).String())
	}
	said, err := exec.Command(shell, "-c", "printf '%s\\n' "+strings.Join(texts, " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(texts, "\n") + "\n"; string(said) != want {
		t.Errorf("the shell takes\n%sfor\n%s", said, want)
	}
}

// TestLiteralPattern holds that it matches the path and nothing like it.
func TestLiteralPattern(t *testing.T) {
	for _, path := range []string{"/a*", "/a?", "/[ab]", "/{a,b}", `/a\b`, "/a**/b", "/é", "/a]", "/a}"} {
		pattern := LiteralPattern(path)
		for _, other := range []string{path, "/ab", "/a", "/b", "/[ab", "/ax/b", "/a*b", "/é"} {
			matched, err := doublestar.Match(pattern, other)
			if err != nil || matched != (other == path) {
				t.Errorf("%s matches %s: %v, %v", pattern, other, matched, err)
			}
		}
	}
}

// TestPointOfWhen holds what a trigger says to the point that it is.
func TestPointOfWhen(t *testing.T) {
	tests := []struct{ when, want string }{
		{"{write: /data/*.csv}", "a:write:/data/%2A.csv:1:before"},
		{"{write: /x, occurrence: 7, keep: 11}", "a:write:/x:7:+11"},
		{"{fsync: /x, timing: after, incarnation: 2}", "a:fsync:/x:1:after:i2"},
		{"{read: /x, incarnation: 1}", "a:read:/x:1:before"},
		{"{amqp: publish, queue: queue-2-3, occurrence: 4, timing: after}", "a:amqp-publish:queue-2-3:4:after"},
	}
	for _, test := range tests {
		scenario, problems := ParseBytes("s.yaml", []byte("system: a.yaml\nfaults: [{kill: a, when: "+test.when+"}]\n"))
		if problems != nil {
			t.Fatal(problems)
		}
		point := scenario.Faults[0].When.Point("a")
		if point.String() != test.want {
			t.Errorf("%s is the point %s, want %s", test.when, point, test.want)
		}
		if back, err := ParsePoint(test.want); err != nil || back != point {
			t.Errorf("%s is read as %#v, %v", test.want, back, err)
		}
	}
	if point := (When{Kind: Log, Log: "x"}).Point("a"); point != (Point{}) {
		t.Errorf("a log line is the point %s", point)
	}
	if point := (When{Kind: Unlink, Path: "/x"}).Point("a"); point.String() != "a:unlink:/x:1:before" {
		t.Errorf("a trigger that a program made is the point %s", point)
	}
}

// TestErrnosAreSorted keeps the list one that can be compared and read.
func TestErrnosAreSorted(t *testing.T) {
	if !slices.IsSorted(Errnos) || len(slices.Compact(slices.Clone(Errnos))) != len(Errnos) {
		t.Errorf("not in order, or one of them twice: %v", Errnos)
	}
}

// TestCrashPointsAreAGroup holds the list to the table of triggers, and the
// words that phrases need to both.
func TestCrashPointsAreAGroup(t *testing.T) {
	var grouped []TriggerKind
	for _, kind := range TriggerKinds {
		if kind.Group == pointGroup {
			grouped = append(grouped, TriggerKind(kind.Name))
		}
	}
	if !slices.Equal(grouped, CrashPoints) {
		t.Errorf("the table has the crash points %v, the list %v", grouped, CrashPoints)
	}
	for _, kind := range CrashPoints {
		if kind != AMQP && calls[kind] == "" {
			t.Errorf("a phrase has no words for %s", kind)
		}
	}
}

func TestUnitsOfASequence(t *testing.T) {
	for text, want := range map[string]int{
		"a:write:/x:1:before":                                                    1,
		"a:write:/x:1:before:i7":                                                 7,
		"a:write:/x:1:before:then:a:write:/x:1:before:i3":                        2,
		"a:write:/x:1:before:i2:then:a:fsync:/x:1:before:i7":                     6,
		"a:write:/x:1:before:then:a:write:/x:1:+1:i3:then:a:read:/x:1:before:i5": 3,
	} {
		sequence, err := ParseSequence(text)
		if err != nil || sequence.Units() != want {
			t.Errorf("%s is in unit %d (%v), want %d", text, sequence.Units(), err, want)
		}
	}
}
