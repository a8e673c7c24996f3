// Package broker is RabbitMQ as the orchestrator sees it: virtual hosts, one
// for each run that shares a broker, and the exact depths of queues.
//
// Everything goes through commands run in the broker's own container, so that
// no port is published and no client library's idea of a queue is trusted. A
// small Erlang program, the probe, stays connected to the node and answers in
// milliseconds; where it cannot run (an image without erl, a node by another
// name) the same is asked of rabbitmqctl, at about a second of CPU a call.
//
// Depths come from the queue processes themselves. A passive declare would
// not count unacknowledged messages, and the management plugin's figures lag
// by seconds.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Shell runs commands in the broker's container.
type Shell interface {
	// Exec runs a command to its end. Its error is about running the
	// command at all, not about its exit code.
	Exec(ctx context.Context, command []string) (stdout, stderr string, code int, err error)
	// Stream starts a command and connects its standard input and output.
	Stream(ctx context.Context, command []string) (Stream, error)
}

// Stream is a running command's standard input and output.
type Stream interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

// Depth is how many messages a queue holds: ready to be delivered, and
// delivered but not acknowledged.
type Depth struct {
	Queue   string
	Ready   int
	Unacked int
	// Exists is false when the broker knows no such queue: it was never
	// declared, or went away with a broker that did not keep it.
	Exists bool
}

// Broker is one running RabbitMQ node.
type Broker struct {
	shell Shell

	mu       sync.Mutex
	probe    *probe
	failures int // of the probe, in a row, where rabbitmqctl answered
}

// Open gives the broker whose container the shell runs commands in. Nothing
// is asked of it before the first call.
func Open(shell Shell) *Broker { return &Broker{shell: shell} }

// maxProbeFailures is how often in a row a probe may fail to start where
// rabbitmqctl answers, before it is not tried any more.
const maxProbeFailures = 3

// CreateVirtualHost adds a virtual host and gives the user every permission
// in it. One that exists already is left as it is.
func (b *Broker) CreateVirtualHost(ctx context.Context, name, user string) error {
	answer, err := b.ask(ctx, "create", name, user)
	switch {
	case errors.Is(err, errNoProbe):
		_, err = b.ctl(ctx, []string{"add_vhost", name}, []string{"set_permissions", "-p", name, user, ".*", ".*", ".*"})
	case err == nil && answer != "ok":
		err = fmt.Errorf("the broker says %s", answer)
	}
	if err != nil {
		return fmt.Errorf("create virtual host %s: %w", name, err)
	}
	return nil
}

// DeleteVirtualHost removes a virtual host with its queues and connections.
// One that is not there is no error.
func (b *Broker) DeleteVirtualHost(ctx context.Context, name string) error {
	answer, err := b.ask(ctx, "delete", name)
	switch {
	case errors.Is(err, errNoProbe):
		if _, err = b.ctl(ctx, []string{"delete_vhost", name}); err != nil && strings.Contains(err.Error(), "does not exist") {
			err = nil
		}
	case err == nil && answer != "ok" && !strings.Contains(answer, "no_such_vhost"):
		err = fmt.Errorf("the broker says %s", answer)
	}
	if err != nil {
		return fmt.Errorf("delete virtual host %s: %w", name, err)
	}
	return nil
}

// ClearVirtualHost makes a virtual host what CreateVirtualHost makes: without
// queues and without exchanges of its own. It waits until the connections to
// it are gone, whose clients must be dead; their messages are gone then too.
func (b *Broker) ClearVirtualHost(ctx context.Context, name, user string) error {
	var answer string
	var err error
	for pause := firstClearPause; ; pause = min(2*pause, longClearPause) {
		answer, err = b.ask(ctx, "clear", name)
		if err != nil || answer == "ok" {
			break
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
			err = fmt.Errorf("the broker still says: %s", answer)
		}
		break
	}
	if errors.Is(err, errNoProbe) {
		if err = b.DeleteVirtualHost(ctx, name); err == nil {
			err = b.CreateVirtualHost(ctx, name, user)
		}
	}
	if err != nil {
		return fmt.Errorf("clear virtual host %s: %w", name, err)
	}
	return nil
}

// How often the broker is asked whether the last connection is gone: its
// client is dead, so that it takes no more than a moment.
const (
	firstClearPause = time.Millisecond
	longClearPause  = 50 * time.Millisecond
)

// Depths asks the queues of a virtual host how many messages they hold, and
// gives those that were named, in the order in which they were named.
func (b *Broker) Depths(ctx context.Context, virtualHost string, queues []string) ([]Depth, error) {
	answer, err := b.ask(ctx, append([]string{"depths", virtualHost}, queues...)...)
	if errors.Is(err, errNoProbe) {
		answer, err = b.ctl(ctx, []string{"--quiet", "list_queues", "--no-table-headers", "-p", virtualHost, "name", "messages_ready", "messages_unacknowledged"})
	}
	if err != nil {
		return nil, fmt.Errorf("ask depths of queues: %w", err)
	}
	known, err := parseDepths(answer)
	if err != nil {
		return nil, fmt.Errorf("ask depths of queues: %w", err)
	}
	depths := make([]Depth, 0, len(queues))
	for _, queue := range queues {
		depth := known[queue]
		depth.Queue = queue
		depths = append(depths, depth)
	}
	return depths, nil
}

// Close ends the probe. The broker itself goes on.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.probe == nil {
		return nil
	}
	err := b.probe.close()
	b.probe = nil
	return err
}

// ctl runs rabbitmqctl in the broker's container, once with each of the
// argument lists, and gives what the last one printed.
func (b *Broker) ctl(ctx context.Context, calls ...[]string) (string, error) {
	printed := ""
	for _, arguments := range calls {
		stdout, stderr, code, err := b.shell.Exec(ctx, append([]string{"rabbitmqctl"}, arguments...))
		if err != nil {
			return "", fmt.Errorf("run rabbitmqctl: %w", err)
		}
		if code != 0 {
			return "", fmt.Errorf("rabbitmqctl %s: exit %d: %s", strings.Join(arguments, " "), code, strings.TrimSpace(stdout+stderr))
		}
		printed = stdout
	}
	b.probeFailed()
	return printed, nil
}

// parseDepths reads a queue a line, "name\tready\tunacked". The figures are
// the last two fields: a name may hold tabs.
func parseDepths(text string) (map[string]Depth, error) {
	depths := map[string]Depth{}
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		var depth Depth
		fields := strings.Split(line, "\t")
		if len(fields) < 3 {
			return nil, fmt.Errorf("read depth of a queue: %q has %d fields, want 3", line, len(fields))
		}
		figures := fields[len(fields)-2:]
		if _, err := fmt.Sscan(figures[0]+" "+figures[1], &depth.Ready, &depth.Unacked); err != nil {
			return nil, fmt.Errorf("read depth of a queue: %q: %w", line, err)
		}
		depth.Queue, depth.Exists = strings.Join(fields[:len(fields)-2], "\t"), true
		depths[depth.Queue] = depth
	}
	return depths, nil
}

// Address is what an amqp:// URL says of a broker.
type Address struct {
	User        string
	VirtualHost string
}

// ParseURL reads the user and the virtual host of an amqp:// or amqps:// URL.
func ParseURL(text string) (Address, error) {
	parsed, err := parseURL(text)
	if err != nil {
		return Address{}, err
	}
	address := Address{User: "guest", VirtualHost: "/"}
	if name := parsed.User.Username(); name != "" {
		address.User = name
	}
	if path := strings.TrimPrefix(parsed.EscapedPath(), "/"); path != "" {
		if address.VirtualHost, err = url.PathUnescape(path); err != nil {
			return Address{}, fmt.Errorf("read broker URL: virtual host %q: %w", path, err)
		}
	}
	return address, nil
}

// WithVirtualHost is the URL with another virtual host.
func WithVirtualHost(text, virtualHost string) (string, error) {
	parsed, err := parseURL(text)
	if err != nil {
		return "", err
	}
	parsed.Path = "/" + virtualHost
	parsed.RawPath = "/" + url.PathEscape(virtualHost)
	return parsed.String(), nil
}

func parseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		// The URL may hold a password: say what is wrong without repeating it.
		return nil, errors.New("read broker URL: it is not a URL")
	}
	if parsed.Scheme != "amqp" && parsed.Scheme != "amqps" {
		return nil, fmt.Errorf("read broker URL: scheme is %q, want amqp or amqps", parsed.Scheme)
	}
	return parsed, nil
}
