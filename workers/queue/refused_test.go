package queue

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A broker that closes the connection when it was told the password may refuse
// it, or may have died at that moment: only one that does it again and again is
// believed to refuse it.
func TestAPasswordIsRefusedWhenItIsRefusedAgain(t *testing.T) {
	for _, test := range []struct {
		name    string
		refuses int // logins in a row, before the broker is gone
		want    error
	}{
		{"the broker died in the handshake", 2, context.Canceled},
		{"wrong password", 3, errRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for range test.refuses {
					refuseLogin(listener)
				}
				listener.Close()
			}()
			b := New(Options{URL: "amqp://kp:secret@" + listener.Addr().String() + "/", Log: func(format string, arguments ...any) {
				if err, is := arguments[0].(error); is && strings.Contains(err.Error(), "connection refused") {
					cancel() // it asked again, and nobody is there any more
				}
			}})
			err = b.Run(ctx, nil, func(*Session) error { return errors.New("there is no session") })
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// refuseLogin is the first half of AMQP's handshake, to the end of a
// connection.start-ok.
func refuseLogin(listener net.Listener) {
	connection, err := listener.Accept()
	if err != nil {
		return
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	if _, err := reader.Discard(len("AMQP\x00\x00\x09\x01")); err != nil {
		return
	}
	method := []byte{0, 10, 0, 10, 0, 9, 0, 0, 0, 0} // connection.start of 0-9, without properties
	method = append(method, "\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"...)
	frame := append([]byte{1, 0, 0}, binary.BigEndian.AppendUint32(nil, uint32(len(method)))...)
	frame = append(append(frame, method...), 0xCE)
	if _, err := connection.Write(frame); err != nil {
		return
	}
	var header [7]byte
	if _, err := io.ReadFull(reader, header[:]); err != nil {
		return
	}
	_, _ = reader.Discard(int(binary.BigEndian.Uint32(header[3:])) + 1)
}
