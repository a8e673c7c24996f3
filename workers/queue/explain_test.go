package queue

import (
	"errors"
	"net"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What a broker will always refuse ends the worker with a hint; what may pass
// is tried again.
func TestExplanations(t *testing.T) {
	b := New(Options{URL: "amqp://kp:secret@rabbitmq:5672/run-1"})
	refusal := func(code int, reason string) error { return &amqp.Error{Code: code, Reason: reason} }
	for name, test := range map[string]struct {
		err   error
		again bool
		hint  string
	}{
		"transient queues, as RabbitMQ 4.3 says it": {b.explainDeclare("q", refusal(541, "INTERNAL_ERROR - Feature 'transient_nonexcl_queues' is deprecated")), false, "deprecated_features.permit.transient_nonexcl_queues = true"},
		"other properties":                          {b.explainDeclare("q", refusal(406, "PRECONDITION_FAILED - inequivalent arg 'durable'")), false, "QUEUE_DURABLE=false"},
		"no permission to declare":                  {b.explainDeclare("q", refusal(403, "ACCESS_REFUSED")), false, "RABBITMQ_URL"},
		"virtual host goes down":                    {b.explainDeclare("q", refusal(541, "INTERNAL_ERROR - vhost is down")), true, "vhost is down"},
		"connection lost while declaring":           {b.explainDeclare("q", amqp.ErrClosed), true, "declare queue q"},
		"wrong password":                            {b.explainDial(amqp.ErrCredentials), false, "RABBITMQ_DEFAULT_PASS"},
		"no such virtual host":                      {b.explainDial(amqp.ErrVhost), true, "virtual host"},
		"nobody listens":                            {b.explainDial(&net.OpError{Op: "dial", Err: errors.New("connection refused")}), true, "connect to rabbitmq:5672/run-1"},
		"handshake breaks off":                      {b.explainDial(refusal(501, "EOF")), true, "EOF"},
	} {
		if errors.Is(test.err, ErrLost) != test.again {
			t.Errorf("%s: tried again = %v, want %v: %v", name, !test.again, test.again, test.err)
		}
		if !strings.Contains(test.err.Error(), test.hint) {
			t.Errorf("%s: %q does not say %q", name, test.err, test.hint)
		}
		if strings.Contains(test.err.Error(), "secret") {
			t.Errorf("%s: %q shows the password", name, test.err)
		}
	}
}
