package queue

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/workers/queue/queuetest"
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
					queuetest.RefuseLogin(listener)
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
