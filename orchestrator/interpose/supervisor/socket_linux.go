package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// maxReceive bounds what one call takes from a socket; a program gets fewer bytes than it asked for, as it always may.
const maxReceive = 1 << 20

// drainBound bounds the wait until a broker's machine has taken what was sent.
const drainBound = 5 * time.Second

// frameWatch follows the AMQP connections of the program.
//
// The bytes of such a connection are moved by the interposer, through a copy of the program's descriptor: only so are exactly those bytes parsed that were sent or received, whatever the program asked for.
type frameWatch struct {
	connections map[string]*connection // by the kernel's name of the socket
	occurrences map[string]int         // of recorded publishes and acks, by operation and queue
	confirm     *awaited               // the publish whose confirmation is a point
}

// awaited is a publish that was sent, at whose confirmation the program is to be held.
type awaited struct {
	point   *armed
	event   interpose.Event
	channel *channel
	number  uint64
}

func newFrameWatch() *frameWatch {
	return &frameWatch{connections: make(map[string]*connection), occurrences: make(map[string]int)}
}

// socket handles a call on a socket. It returns false for one that has nothing to do with AMQP.
func (e *engine) socket(n *notification, t *thread, op *operation) bool {
	known := e.frames.connections[op.place.path]
	if !op.outgoing {
		if known == nil || known.lost || op.mode&(unix.MSG_PEEK|unix.MSG_OOB|unix.MSG_ERRQUEUE) != 0 {
			return false
		}
		e.receive(&transmission{notification: *n, thread: t, operation: *op, connection: known})
		return true
	}
	known = e.greet(t, op, known)
	if known == nil || known.lost {
		return false
	}
	data, err := e.bytes(t, op, op.size)
	if err != nil {
		e.troubleIfDenied(err)
		return false
	}
	e.send(&transmission{notification: *n, thread: t, operation: *op, connection: known, data: data})
	return true
}

// greet recognises a connection by its first bytes. A known socket that begins anew is another one, which got the number of one that was closed.
func (e *engine) greet(t *thread, op *operation, known *connection) *connection {
	start, err := e.bytes(t, op, int64(len(protocolHeader)))
	if err != nil {
		e.troubleIfDenied(err)
		return known
	}
	switch {
	case string(start) == protocolHeader:
		known = newConnection()
		e.frames.connections[op.place.path] = known
	case known == nil && len(start) > 2 && start[0] == 0x16 && start[1] == 3:
		e.cover("coverage incomplete, because a connection uses TLS: AMQP frames in it cannot be seen")
	case known == nil && strings.HasPrefix(string(start), "AMQP"):
		e.cover("coverage incomplete, because a connection speaks another version of AMQP than 0-9-1")
	}
	return known
}

// transmission is a call on an AMQP connection while it is carried out for the program.
type transmission struct {
	notification notification
	thread       *thread
	operation    operation
	connection   *connection
	data         []byte // to send
	done         int    // of data
}

// send counts the publishes and acks in what a call sends, and sends it unless a point is reached.
func (e *engine) send(m *transmission) {
	fresh := m.connection.fresh(m.data)
	found, err := m.connection.send(fresh)
	if err != nil {
		m.connection.lost = true
		e.cover("coverage incomplete, because a connection to the broker could not be followed: " + err.Error())
	}
	var reached *armed
	var at sent
	for _, s := range found {
		e.recordSent(m, s)
		if point := e.sequence.count(s.kind, e.pointsOf(s)); point != nil && reached == nil {
			reached, at = point, s
			at.method.first = max(at.method.first, 0) + len(m.data) - len(fresh)
		}
	}
	if reached == nil {
		e.transmit(m)
		return
	}
	e.actOnSent(m, reached, at)
}

// fresh leaves out what a call sends again, after it was made to fail.
func (c *connection) fresh(data []byte) []byte {
	if len(c.unsent) > 0 && bytes.HasPrefix(data, c.unsent) {
		data = data[len(c.unsent):]
	}
	c.unsent = nil
	return data
}

// pointsOf has bit i set where point i is about that publish or ack.
func (e *engine) pointsOf(s sent) uint64 {
	var matching uint64
	for i, point := range e.sequence.points {
		if point.kind == s.kind && (point.Queue == "" || slices.Contains(s.queues, point.Queue)) {
			matching |= 1 << i
		}
	}
	return matching
}

func (e *engine) describeSent(m *transmission, s sent) interpose.Event {
	return interpose.Event{
		Incarnation: e.plan.Incarnation, PID: m.thread.process, Thread: m.thread.tid,
		Operation: s.kind.operation(), Call: m.operation.call.name, Queue: strings.Join(s.queues, ","), Size: int64(len(m.data)), Offset: -1,
	}
}

func (e *engine) recordSent(m *transmission, s sent) {
	if e.recorded&s.kind == 0 {
		return
	}
	event := e.describeSent(m, s)
	event.Kind = interpose.Op
	key := string(event.Operation) + " " + event.Queue
	e.frames.occurrences[key]++
	event.Occurrence = e.frames.occurrences[key]
	event.Pending = e.pending()
	e.events.add(event)
}

// actOnSent does what the plan says at a publish or ack.
func (e *engine) actOnSent(m *transmission, point *armed, s sent) {
	event := e.describeSent(m, s)
	event.Kind, event.Point, event.Action, event.Timing = interpose.Reached, point.ID, point.Action, point.Timing
	event.Occurrence = point.count
	finish := func() { e.transmit(m) }
	if point.Action == interpose.Hold && point.Timing == interpose.After && s.number > 0 {
		// It fires when the broker has confirmed.
		e.frames.confirm = &awaited{point, event, s.channel, s.number}
		e.transmit(m)
		return
	}
	point.fired++
	switch point.Action {
	case interpose.Hold:
		cut := func(*quiescer) (int64, error) { return e.cutSent(m, point, s) }
		e.hold(&m.notification, m.thread, point, event, cut, finish)
	case interpose.Fail:
		m.connection.unsent = m.data
		respond(e.listener, &response{id: m.notification.id, errno: -interpose.Errnos[point.Errno]})
		e.events.add(event)
	case interpose.Delay:
		e.events.add(event)
		e.delay(&m.notification, m.thread, point.Wait, finish)
	default:
		e.events.add(event)
		e.transmit(m)
	}
}

// cutSent sends what belongs before the point: the frames ahead of it in the same call, or all of the call.
func (e *engine) cutSent(m *transmission, point *armed, s sent) (int64, error) {
	end := s.method.first
	if point.Timing == interpose.After {
		end = len(m.data)
	}
	if end == 0 {
		return 0, nil
	}
	socket, err := m.thread.copyDescriptor(m.operation.descriptor)
	if err != nil {
		return 0, err
	}
	defer unix.Close(socket)
	deadline := time.Now().Add(drainBound)
	for m.done < end {
		if err := m.sendSome(socket, end); err != nil && !errors.Is(err, unix.EAGAIN) {
			return int64(m.done), err
		}
		if err := awaitReady(socket, unix.POLLOUT, deadline); err != nil {
			return int64(m.done), err
		}
	}
	if err := awaitTaken(socket, deadline); err != nil {
		return int64(m.done), err
	}
	if s.kind == kindPublish && point.Timing == interpose.After {
		return int64(m.done), errors.New("the channel has no publisher confirms: that the broker has the message is not known")
	}
	return int64(m.done), nil
}

func (m *transmission) sendSome(socket, end int) error {
	n, err := unix.SendmsgN(socket, m.data[m.done:end], nil, nil, int(m.operation.mode)|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if n > 0 {
		m.done += n
	}
	return err
}

// awaitReady waits until a socket can be read from or written to.
func awaitReady(socket int, events int16, deadline time.Time) error {
	poll := []unix.PollFd{{Fd: int32(socket), Events: events}}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("wait for the broker: %w", unix.ETIMEDOUT)
		}
		n, err := unix.Poll(poll, max(int(left.Milliseconds()), 1))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the broker: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// awaitTaken waits until everything that was sent was acknowledged by the broker's machine, so that it does not die with this end.
func awaitTaken(socket int, deadline time.Time) error {
	for {
		left, err := unix.IoctlGetInt(socket, unix.TIOCOUTQ)
		if err != nil {
			return fmt.Errorf("ask for what is not yet sent: %w", err)
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for the broker to take %d bytes: %w", left, unix.ETIMEDOUT)
		}
		pause()
	}
}

// transmit sends the rest of what a call sends and answers it with the whole. Where the socket is full it goes on in the background.
func (e *engine) transmit(m *transmission) {
	socket, err := m.thread.copyDescriptor(m.operation.descriptor)
	if err != nil {
		e.trouble(err)
		proceed(e.listener, m.notification.id)
		return
	}
	if e.transmitOn(m, socket) {
		unix.Close(socket)
		return
	}
	e.background(m, socket, unix.POLLOUT, time.Time{}, func() bool { return e.transmitOn(m, socket) }, func() { e.transmit(m) })
}

// transmitOn sends what the socket takes now and reports whether the call was answered.
func (e *engine) transmitOn(m *transmission, socket int) bool {
	for m.done < len(m.data) {
		err := m.sendSome(socket, len(m.data))
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if err != nil {
			e.answer(m, 0, err)
			return true
		}
	}
	e.answer(m, len(m.data), nil)
	return true
}

// answer ends the call.
func (e *engine) answer(m *transmission, value int, err error) {
	r := response{id: m.notification.id, value: int64(value)}
	var errno unix.Errno
	if errors.As(err, &errno) {
		r.errno = -int32(errno)
	}
	respond(e.listener, &r)
}

// background goes on with a call whenever the socket is ready, while other calls are handled. A held point leaves the call where it is, for again to go on with.
func (e *engine) background(m *transmission, socket int, events int16, deadline time.Time, step func() bool, again func()) {
	id := m.notification.id
	e.waiting[id] = waiter{m.thread.tid, again}
	go func() {
		defer unix.Close(socket)
		for {
			ready := e.awaitSocket(socket, events, deadline)
			e.mu.Lock()
			_, waits := e.waiting[id]
			if !waits || e.frozen || !stillWaiting(e.listener, &id) {
				e.mu.Unlock()
				return
			}
			delete(e.waiting, id)
			if !ready {
				e.answer(m, 0, unix.EAGAIN)
				e.mu.Unlock()
				return
			}
			done := step()
			if !done {
				e.waiting[id] = waiter{m.thread.tid, again}
			}
			e.mu.Unlock()
			if done {
				return
			}
		}
	}()
}

// awaitSocket waits until the socket is ready, and returns false when the program's own time limit for it is over. It returns now and then, so that a call whose thread has died is not waited for.
func (e *engine) awaitSocket(socket int, events int16, deadline time.Time) bool {
	pause := time.Now().Add(time.Second)
	if !deadline.IsZero() && deadline.Before(pause) {
		return awaitReady(socket, events, deadline) == nil
	}
	_ = awaitReady(socket, events, pause) // a socket that is not ready is tried and found so
	return true
}

// receive takes bytes from the broker for the program.
func (e *engine) receive(m *transmission) {
	socket, err := m.thread.copyDescriptor(m.operation.descriptor)
	if err != nil {
		e.trouble(err)
		proceed(e.listener, m.notification.id)
		return
	}
	if e.receiveOn(m, socket) {
		unix.Close(socket)
		return
	}
	if m.operation.mode&unix.MSG_DONTWAIT != 0 || nonblocking(socket) {
		unix.Close(socket)
		e.answer(m, 0, unix.EAGAIN)
		return
	}
	var deadline time.Time
	if limit, err := unix.GetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO); err == nil && limit.Nano() > 0 {
		deadline = time.Now().Add(time.Duration(limit.Nano()))
	}
	e.background(m, socket, unix.POLLIN, deadline, func() bool { return e.receiveOn(m, socket) }, func() { e.receive(m) })
}

func nonblocking(socket int) bool {
	flags, err := unix.FcntlInt(uintptr(socket), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK != 0
}

// receiveOn takes what is there and reports whether the call was answered, or is held with what it got.
func (e *engine) receiveOn(m *transmission, socket int) bool {
	buffer := make([]byte, min(m.operation.size, maxReceive))
	n, _, err := unix.Recvfrom(socket, buffer, unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	if err != nil {
		e.answer(m, 0, err)
		return true
	}
	data := buffer[:n]
	confirmations, err := m.connection.receive(data)
	if err != nil {
		m.connection.lost = true
		e.cover("coverage incomplete, because a connection to the broker could not be followed: " + err.Error())
	}
	deliver := func() { e.deliver(m, data) }
	if awaited := e.frames.confirm; awaited != nil {
		for _, c := range confirmations {
			if c.covers(awaited.channel, awaited.number) {
				e.confirmed(m, awaited, c, deliver)
				return true
			}
		}
	}
	deliver()
	return true
}

// confirmed holds the program at the moment when the broker has confirmed and the program does not know it yet.
func (e *engine) confirmed(m *transmission, a *awaited, c confirmation, deliver func()) {
	e.frames.confirm = nil
	a.point.fired++
	nothing := func(*quiescer) (int64, error) {
		if c.refused {
			return 0, errors.New("the broker refused the message")
		}
		return a.event.Size, nil
	}
	// The lock is held here by the goroutine that handles notifications or by one in the background; the first of them must not go on while the point is held.
	e.hold(&m.notification, m.thread, a.point, a.event, nothing, deliver)
}

// deliver gives the program what was received.
func (e *engine) deliver(m *transmission, data []byte) {
	err := e.scatter(m.thread, &m.operation, data)
	if err == nil && m.operation.message != 0 {
		err = e.clearMessage(m)
	}
	if err != nil {
		e.trouble(fmt.Errorf("deliver %d bytes from the broker: %w", len(data), err))
		e.answer(m, 0, unix.EIO)
		return
	}
	e.answer(m, len(data), nil)
}

// clearMessage sets what recvmsg reports besides the bytes: no address, no control data, no flags.
func (e *engine) clearMessage(m *transmission) error {
	return errors.Join(
		e.memory.write(m.thread, m.operation.message+8, make([]byte, 4)),
		e.memory.write(m.thread, m.operation.message+40, make([]byte, 12)),
	)
}
