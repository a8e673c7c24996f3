package queue

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// errRefused is what a broker without a word about it is taken to mean that
// closes the connection after it was told the user and the password. One that
// dies at that moment does the same, and the client library cannot ask for an
// answer: so it is believed only when it is said refusals times in a row.
var errRefused = errors.New("refuses this user or password")

const refusals = 3

// explainDial tells trouble that passes (the broker is starting, or away) from
// an answer that will be the same the next time.
func (b *Broker) explainDial(err error) error {
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		return fmt.Errorf("connect to %s: %v: %w", b.address, err, ErrLost)
	}
	switch {
	case errors.Is(err, amqp.ErrVhost) || refusal.Code == amqp.NotAllowed:
		return fmt.Errorf("connect to %s: the broker does not let this user into the virtual host (%s); make it, or set RABBITMQ_URL to another: %w", b.address, refusal.Reason, ErrLost)
	case refusal.Code == amqp.AccessRefused:
		return fmt.Errorf("connect to %s: the broker %w (%s); set RABBITMQ_URL to what RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS say, and mind that guest is for local connections only", b.address, errRefused, refusal.Reason)
	}
	return fmt.Errorf("connect to %s: %v: %w", b.address, err, ErrLost)
}

// explainDeclare says what to set when the broker does not have such a queue.
func (b *Broker) explainDeclare(name string, err error) error {
	var refusal *amqp.Error
	switch {
	case !errors.As(err, &refusal):
	case strings.Contains(refusal.Reason, "transient_nonexcl_queues"):
		return fmt.Errorf("declare queue %s: this broker refuses queues that are neither durable nor exclusive (RabbitMQ does from 4.3 on): set deprecated_features.permit.transient_nonexcl_queues = true in its rabbitmq.conf, or QUEUE_DURABLE=true for every worker: %v", name, err)
	case refusal.Code == amqp.PreconditionFailed:
		return fmt.Errorf("declare queue %s: it exists with other properties (this worker has QUEUE_DURABLE=%v): give every worker the same QUEUE_DURABLE, or delete the queue: %v", name, b.options.Durable, err)
	case refusal.Code == amqp.AccessRefused:
		return fmt.Errorf("declare queue %s: the user of RABBITMQ_URL may not: %v", name, err)
	}
	return fmt.Errorf("declare queue %s: %v: %w", name, err, ErrLost)
}
