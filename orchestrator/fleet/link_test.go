package fleet

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/killpoint/killpoint/workers/queue/queuetest"
)

// A broker that hangs up when it was told the password may have died at that
// moment: only one that does it again and again is believed to refuse it.
func TestAPasswordIsRefusedWhenItIsRefusedAgain(t *testing.T) {
	for _, test := range []struct {
		name    string
		refuses int // logins in a row
		refused bool
	}{
		{"the broker died in the handshake", 2, false},
		{"wrong password", 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(timed(t))
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
				if _, err := listener.Accept(); err == nil {
					cancel() // it tries again
				}
			}()
			err = connected(ctx, "amqp://kp:secret@"+listener.Addr().String()+"/", "test", func(string) {}, func(*link) error { return errors.New("there is no session") })
			if isRefused(err) != test.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}
