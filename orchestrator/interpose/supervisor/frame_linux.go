package supervisor

import (
	"encoding/binary"
	"errors"
)

// protocolHeader opens an AMQP 0-9-1 connection.
const protocolHeader = "AMQP\x00\x00\x09\x01"

// maxMethod bounds a method frame that is kept; larger ones carry nothing that is looked for.
const maxMethod = 1 << 16

// The frame types and methods of AMQP 0-9-1 that matter here, a method as class and number in one word.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xce

	channelOpen      = 20<<16 | 10
	basicConsume     = 60<<16 | 20
	basicConsumeOk   = 60<<16 | 21
	basicPublish     = 60<<16 | 40
	basicDeliver     = 60<<16 | 60
	basicGet         = 60<<16 | 70
	basicGetOk       = 60<<16 | 71
	basicGetEmpty    = 60<<16 | 72
	basicAck         = 60<<16 | 80
	basicNack        = 60<<16 | 120
	confirmSelect    = 85<<16 | 10
	methodHeaderSize = 4
)

// errFrames says that a stream is not, or no longer, understood.
var errFrames = errors.New("not AMQP 0-9-1 frames")

// frameReader cuts one direction of a connection into frames, however the bytes are spread over calls.
type frameReader struct {
	header  [7]byte
	have    int    // bytes of the header
	left    int    // bytes of the payload and the end mark still to come
	payload []byte // of a method frame
	start   bool   // the protocol header is still to come
	greeted int    // bytes of it that came
}

// method is one complete method frame.
type method struct {
	channel   uint16
	id        uint32
	arguments []byte
	// first and last are the positions in the bytes that were fed, of the frame's first byte, which is negative when it came earlier, and behind its last.
	first, last int
}

// feed takes the next bytes of the stream and calls yield for each method frame that they complete.
func (r *frameReader) feed(data []byte, yield func(method)) error {
	position := 0
	if r.start {
		for r.greeted < len(protocolHeader) && position < len(data) {
			r.greeted++
			position++
		}
		r.start = r.greeted < len(protocolHeader)
	}
	for position < len(data) {
		if r.have < len(r.header) {
			n := copy(r.header[r.have:], data[position:])
			r.have, position = r.have+n, position+n
			if r.have < len(r.header) {
				return nil
			}
			if err := r.begin(); err != nil {
				return err
			}
			continue
		}
		n := min(r.left, len(data)-position)
		if r.header[0] == frameMethod && len(r.payload) < maxMethod {
			r.payload = append(r.payload, data[position:position+n]...)
		}
		r.left, position = r.left-n, position+n
		if r.left > 0 {
			return nil
		}
		if data[position-1] != frameEnd {
			return errFrames
		}
		r.have = 0
		r.finish(position, yield)
	}
	return nil
}

func (r *frameReader) begin() error {
	switch r.header[0] {
	case frameMethod, frameHeader, frameBody, frameHeartbeat:
	default:
		return errFrames
	}
	r.left = int(binary.BigEndian.Uint32(r.header[3:])) + 1
	r.payload = r.payload[:0]
	return nil
}

func (r *frameReader) finish(position int, yield func(method)) {
	if r.header[0] != frameMethod || len(r.payload) < methodHeaderSize+1 {
		return
	}
	arguments := r.payload[methodHeaderSize : len(r.payload)-1]
	yield(method{
		channel: binary.BigEndian.Uint16(r.header[1:]), id: binary.BigEndian.Uint32(r.payload), arguments: arguments,
		first: position - len(r.payload) - len(r.header), last: position,
	})
}

// fields reads a method's arguments one after the other. What is cut short reads as zero.
type fields []byte

func (f *fields) take(n int) []byte {
	if len(*f) < n {
		*f = nil
		return make([]byte, n)
	}
	taken := (*f)[:n]
	*f = (*f)[n:]
	return taken
}

func (f *fields) octet() byte      { return f.take(1)[0] }
func (f *fields) short() uint16    { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) longlong() uint64 { return binary.BigEndian.Uint64(f.take(8)) }
func (f *fields) text() string     { return string(f.take(int(f.octet()))) }
