package scenario

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// Point is a crash point: an exact place in one life of a service. Its text
// form is the one that messages, reports, shards and replays use; two points
// are the same place when they are equal (==).
type Point struct {
	Service string
	// Kind is one of CrashPoints.
	Kind TriggerKind
	// Path says which file, as When.Path does: LiteralPattern gives it for
	// the path of one file. It is empty for AMQP.
	Path string
	// Method and Queue belong to AMQP: publish or ack, and any queue when empty.
	Method string
	Queue  string
	// Occurrence is the number of the call in its life, from 1.
	Occurrence int
	// Timing is TimingBefore or TimingAfter; empty where Keep is given.
	Timing string
	// Keep says how much of a torn write is kept: 11, half, all-but-1.
	Keep string
	// Incarnation is the life of the service, from 1.
	Incarnation int
	// Lose says what a power cut at this point takes, as lose-unsynced does;
	// empty for a process crash.
	Lose string
}

// Point gives the trigger as a point of a service. A trigger that may come in
// any life gives the point in the first, where it is waited for first. It is
// the zero Point when the trigger is no crash point.
func (w When) Point(service string) Point {
	if !w.IsCrashPoint() {
		return Point{}
	}
	point := Point{
		Service: service, Kind: w.Kind, Path: w.Path, Method: w.Method, Queue: w.Queue,
		Occurrence: max(w.Occurrence, 1), Timing: w.Timing, Keep: w.Keep, Incarnation: max(w.Incarnation, 1),
	}
	if point.Timing == "" && point.Keep == "" {
		point.Timing = TimingBefore
	}
	return point
}

// When gives the trigger that comes at this point and nowhere else.
func (p Point) When() When {
	return When{
		Kind: p.Kind, Path: p.Path, Method: p.Method, Queue: p.Queue,
		Occurrence: p.Occurrence, Timing: p.Timing, Keep: p.Keep, Incarnation: p.Incarnation,
	}
}

// Kill gives the fault that crashes the service at this point and starts it
// again at once.
func (p Point) Kill() Fault {
	restart := Duration(0)
	return Fault{
		Kind: Kill, Service: p.Service, Signal: sigkill, Restart: &restart, LoseUnsynced: p.Lose, When: p.When(),
	}
}

// Point gives the crash point of the fault, with what a power cut takes
// there; the zero Point when its trigger is none.
func (f Fault) Point() Point {
	point := f.When.Point(f.Service)
	if point != (Point{}) {
		point.Lose = f.LoseUnsynced
	}
	return point
}

// String gives the point in its text form, which ParsePoint reads and which a
// shell takes as one word without quotes:
//
//	worker-2:write:/data/users-003.csv:7:+11
//	worker-2:amqp-publish:queue-2-3:4:after:i2
//	worker-2:fsync:/data/journal:3:before:lose-drop-2
//
// The parts are service, operation, path or queue, occurrence, before or after
// or + with what is kept; then, past the first life, i with its number, and of
// a power loss lose- with what it takes. In path and queue, bytes that are not
// plain are percent-encoded.
func (p Point) String() string {
	object := p.Path
	if p.Kind == AMQP {
		object = p.Queue
	}
	place := p.Timing
	if p.Keep != "" {
		place = "+" + p.Keep
	}
	text := fmt.Sprintf("%s:%s:%s:%d:%s", p.Service, p.operation(), encodePart(object), p.Occurrence, place)
	if p.Incarnation > 1 {
		text += ":i" + strconv.Itoa(p.Incarnation)
	}
	if p.Lose != "" {
		text += ":" + losePrefix + p.Lose
	}
	return text
}

// losePrefix begins the part of a point's text that says what is lost.
const losePrefix = "lose-"

// ParsePoint reads what Point.String wrote. Nothing else is taken, so that a
// point has one text and a text one point.
func ParsePoint(text string) (Point, error) {
	point, err := readPoint(text)
	if err == nil {
		err = point.check()
	}
	if err == nil && point.String() != text {
		err = fmt.Errorf("its one form is %s", point)
	}
	if err != nil {
		return Point{}, fmt.Errorf("read crash point %q: %w", text, err)
	}
	return point, nil
}

// readPoint takes a text apart.
func readPoint(text string) (Point, error) {
	parts := strings.Split(text, ":")
	if len(parts) < pointParts {
		return Point{}, errPointShape
	}
	point := Point{Service: parts[0], Kind: TriggerKind(parts[1]), Incarnation: 1}
	object, err := decodePart(parts[2])
	if err != nil {
		return Point{}, err
	}
	if method, found := strings.CutPrefix(parts[1], string(AMQP)+"-"); found {
		point.Kind, point.Method, point.Queue = AMQP, method, object
	} else {
		point.Path = object
	}
	if point.Occurrence, err = strconv.Atoi(parts[3]); err != nil {
		return Point{}, fmt.Errorf("occurrence %q: want a whole number from 1 up", parts[3])
	}
	if keep, found := strings.CutPrefix(parts[4], "+"); found {
		point.Keep = keep
	} else {
		point.Timing = parts[4]
	}
	return point, point.readRest(parts[pointParts:])
}

// pointParts is how many parts every point's text has.
const pointParts = 5

var errPointShape = errors.New("want service:operation:path:occurrence:place, such as worker-2:write:/data/a.csv:7:+11")

// readRest reads the parts that only some points have: the life, then what a
// power cut takes.
func (p *Point) readRest(parts []string) (err error) {
	if len(parts) > 0 {
		if loss, found := strings.CutPrefix(parts[len(parts)-1], losePrefix); found {
			if p.Lose, parts = loss, parts[:len(parts)-1]; loss == "" {
				return errors.New("lose- without what is lost")
			}
		}
	}
	switch {
	case len(parts) > 1:
		return errPointShape
	case len(parts) == 0:
		return nil
	}
	number, found := strings.CutPrefix(parts[0], "i")
	if p.Incarnation, err = strconv.Atoi(number); err != nil || !found {
		return fmt.Errorf("part %q: want i and the number of a life, such as i2, or lose- and what is lost, such as lose-all", parts[0])
	}
	return nil
}

// check says what is wrong with a point, one thing at a time.
func (p Point) check() error {
	kind, _ := shapes[reflect.TypeFor[When]()].kind(string(p.Kind))
	badMethod := p.Kind == AMQP && p.Method != Publish && p.Method != Ack
	if !p.Kind.IsCrashPoint() || badMethod {
		return fmt.Errorf("unknown operation %q: want %s", p.operation(), conjoin(pointOperations(), "or"))
	}
	if wrong, hint := checkForm("service", p.Service); wrong != "" {
		return fmt.Errorf("service: %s: %s", wrong, hint)
	}
	if err := p.checkObject(); err != nil {
		return err
	}
	if p.Occurrence < 1 || p.Incarnation < 1 || max(p.Occurrence, p.Incarnation) > countLimit {
		return fmt.Errorf("occurrence %d, incarnation %d: both are counted from 1", p.Occurrence, p.Incarnation)
	}
	switch {
	case p.Keep == "" && p.Timing != TimingBefore && p.Timing != TimingAfter:
		return fmt.Errorf("place %q: want before, after, or + with what is kept of a write", p.Timing)
	case p.Keep != "" && !kind.takes("keep"):
		return fmt.Errorf("place +%s: only a write can be torn, not %s", p.Keep, p.operation())
	case p.Keep != "":
		if wrong, hint := checkKeep(p.Keep); wrong != "" {
			return fmt.Errorf("place: %s: %s", wrong, hint)
		}
	}
	if p.Lose == "" {
		return nil
	}
	if wrong, hint := checkLoss(p.Lose); wrong != "" {
		return fmt.Errorf("lose: %s: %s", wrong, hint)
	}
	return nil
}

// checkObject checks the path or the queue. Unlike those of a scenario, which
// are text, they hold any bytes that the kernel and the broker take.
func (p Point) checkObject() error {
	switch {
	case p.Kind == AMQP && len(p.Queue) > queueLimit:
		return fmt.Errorf("queue: at most %d bytes", queueLimit)
	case p.Kind == AMQP:
		return nil
	case strings.ContainsRune(p.Path, 0):
		return errors.New("path: holds a zero byte")
	}
	wrong, hint := checkPlainPath(p.Path)
	if wrong == "" {
		wrong, hint = checkMeta(p.Path)
	}
	if wrong != "" {
		return fmt.Errorf("path: %s: %s", wrong, hint)
	}
	return nil
}

// operation is the kind, with the method where it has one: amqp-publish.
func (p Point) operation() string {
	if p.Kind == AMQP {
		return string(p.Kind) + "-" + p.Method
	}
	return string(p.Kind)
}

// pointOperations is every operation that a point can have.
func pointOperations() []string {
	var all []string
	for _, kind := range CrashPoints {
		if kind != AMQP {
			all = append(all, Point{Kind: kind}.operation())
			continue
		}
		for _, method := range []string{Publish, Ack} {
			all = append(all, Point{Kind: kind, Method: method}.operation())
		}
	}
	return all
}

// plainBytes are those that stand for themselves in a point's text, letters
// and digits apart: no shell changes them in the middle of a word.
const plainBytes = "/._-+,@="

// encodePart writes a path or a queue so that it holds no ':' and nothing
// that a shell, a terminal or a line of a report would take for something else.
func encodePart(text string) string {
	var encoded strings.Builder
	for _, one := range []byte(text) {
		switch {
		case one >= 'a' && one <= 'z', one >= 'A' && one <= 'Z', one >= '0' && one <= '9', strings.IndexByte(plainBytes, one) >= 0:
			encoded.WriteByte(one)
		default:
			fmt.Fprintf(&encoded, "%%%02X", one)
		}
	}
	return encoded.String()
}

// decodePart reads what encodePart wrote.
func decodePart(text string) (string, error) {
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return "", fmt.Errorf("%q: want %% and two hexadecimal digits for a byte", text)
	}
	return decoded, nil
}

// LiteralPattern gives the pattern that only this path matches: in it, what a
// glob would take for more than a character is marked with a backslash.
func LiteralPattern(path string) string {
	return literal.Replace(path)
}

var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`)
