package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

// forward: ADDRESS, and "blocking" for a socket without Go's poller. It consumes from the queue in, publishes each message to the queue out, and acks it when the broker has confirmed.
func forward(arguments []string) error {
	config := amqp.Config{Heartbeat: time.Hour}
	if len(arguments) > 1 {
		config.Dial = dialBlocking
	}
	connection, err := amqp.DialConfig("amqp://guest:guest@"+arguments[0]+"/", config)
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	deliveries, err := channel.Consume("in", "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for delivery := range deliveries {
		confirmation, err := channel.PublishWithDeferredConfirm("", "out", false, false, amqp.Publishing{Body: delivery.Body})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if _, err := confirmation.WaitContext(context.Background()); err != nil {
			return err
		}
		if err := delivery.Ack(false); err != nil {
			return err
		}
		if strings.HasPrefix(string(delivery.Body), "last") {
			os.Exit(0)
		}
	}
	return fmt.Errorf("the connection was lost")
}

// blocking is a connection by plain system calls, as most languages make them.
type blocking struct {
	net.Conn // for the addresses and deadlines, which nobody uses
	socket   int
}

func dialBlocking(_, address string) (net.Conn, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(socket, &unix.SockaddrInet4{Port: int(parsed.Port()), Addr: parsed.Addr().As4()}); err != nil {
		return nil, err
	}
	unused, _ := net.Pipe()
	return blocking{unused, socket}, nil
}

func (b blocking) Read(data []byte) (int, error) {
	n, _, err := unix.Recvfrom(b.socket, data, 0)
	if n == 0 && err == nil {
		return 0, net.ErrClosed
	}
	return max(n, 0), err
}

func (b blocking) Write(data []byte) (int, error) {
	return unix.SendmsgN(b.socket, data, nil, nil, unix.MSG_NOSIGNAL)
}

func (b blocking) Close() error { return unix.Close(b.socket) }

// greet: ADDRESS BYTES sends the bytes, which are given in hexadecimal, and waits for the other side to end the connection.
func greet(arguments []string) error {
	connection, err := net.Dial("tcp", arguments[0])
	if err != nil {
		return err
	}
	data, err := hex.DecodeString(arguments[1])
	if err != nil {
		return err
	}
	if _, err := connection.Write(data); err != nil {
		return err
	}
	_, _ = connection.Read(make([]byte, 1)) // its end is all that is waited for
	return nil
}
