// Package queuetest holds brokers that do what a real one does only when it
// dies.
package queuetest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
)

// RefuseLogin takes one connection and hangs up as soon as it was told the
// password: what a broker does that refuses it and cannot say so, and one that
// dies at that moment. It is the first half of AMQP's handshake, to the end of
// a connection.start-ok.
func RefuseLogin(listener net.Listener) {
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
