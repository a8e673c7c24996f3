package broker

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		url  string
		want Address
		err  string
	}{
		{url: "amqp://guest:guest@rabbitmq:5672/", want: Address{"guest", "/"}},
		{url: "amqp://rabbitmq", want: Address{"guest", "/"}},
		{url: "amqp://app:secret@rabbitmq:5672", want: Address{"app", "/"}},
		{url: "amqps://app:secret@rabbitmq/orders", want: Address{"app", "orders"}},
		{url: "amqp://app@rabbitmq/%2f", want: Address{"app", "/"}},
		{url: "amqp://app@rabbitmq/a%2Fb?heartbeat=10", want: Address{"app", "a/b"}},
		{url: "amqp://us%40er:p@rabbitmq/x", want: Address{"us@er", "x"}},
		{url: "http://rabbitmq:15672/", err: `scheme is "http"`},
		{url: "rabbitmq:5672", err: `scheme is "rabbitmq"`},
		{url: "", err: `scheme is ""`},
		{url: "amqp://app:sec ret@rabbit mq:x/", err: "not a URL"},
	}
	for _, test := range tests {
		got, err := ParseURL(test.url)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("ParseURL(%q): %v, want an error that says %q", test.url, err, test.err)
			} else if strings.Contains(err.Error(), "sec ret") {
				t.Errorf("ParseURL(%q) repeats the password: %v", test.url, err)
			}
		case err != nil || got != test.want:
			t.Errorf("ParseURL(%q) = %+v, %v; want %+v", test.url, got, err, test.want)
		}
	}
}

func TestWithVirtualHost(t *testing.T) {
	tests := []struct{ url, virtualHost, want string }{
		{"amqp://guest:guest@rabbitmq:5672/", "kp-1", "amqp://guest:guest@rabbitmq:5672/kp-1"},
		{"amqp://rabbitmq", "kp-1", "amqp://rabbitmq/kp-1"},
		{"amqp://a:p%2Fq@rabbitmq/%2f?heartbeat=10", "kp-1", "amqp://a:p%2Fq@rabbitmq/kp-1?heartbeat=10"},
		{"amqp://rabbitmq/old", "a/b c", "amqp://rabbitmq/a%2Fb%20c"},
	}
	for _, test := range tests {
		got, err := WithVirtualHost(test.url, test.virtualHost)
		if err != nil || got != test.want {
			t.Errorf("WithVirtualHost(%q, %q) = %q, %v; want %q", test.url, test.virtualHost, got, err, test.want)
			continue
		}
		// What is written must be what a client reads.
		if read, err := ParseURL(got); err != nil || read.VirtualHost != test.virtualHost {
			t.Errorf("ParseURL(%q) = %+v, %v; want virtual host %q", got, read, err, test.virtualHost)
		}
	}
	if _, err := WithVirtualHost("http://rabbitmq/", "kp-1"); err == nil {
		t.Error("a URL of another scheme was accepted")
	}
}

func TestParseDepths(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]Depth
		fails      bool
	}{
		{name: "no queue", text: "", want: map[string]Depth{}},
		{name: "lines of rabbitmqctl", text: "a\t1\t2\nb\t0\t0\n", want: map[string]Depth{
			"a": {Queue: "a", Ready: 1, Unacked: 2, Exists: true}, "b": {Queue: "b", Exists: true}}},
		{name: "an answer of the probe", text: "a\t1\t2\rb\t0\t30", want: map[string]Depth{
			"a": {Queue: "a", Ready: 1, Unacked: 2, Exists: true}, "b": {Queue: "b", Unacked: 30, Exists: true}}},
		{name: "odd names", text: "a;b c\t1\t2\nx\ty\t3\t4", want: map[string]Depth{
			"a;b c": {Queue: "a;b c", Ready: 1, Unacked: 2, Exists: true}, "x\ty": {Queue: "x\ty", Ready: 3, Unacked: 4, Exists: true}}},
		{name: "too few fields", text: "a\t1", fails: true},
		{name: "no number", text: "a\tundefined\t0", fails: true},
		{name: "half a number", text: "a\t1x\t0", fails: true},
		{name: "a figure is missing", text: "a\t\t0", fails: true},
	}
	for _, test := range tests {
		got, err := parseDepths(test.text)
		if test.fails {
			if err == nil {
				t.Errorf("%s: got %+v, want an error", test.name, got)
			}
			continue
		}
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: got %+v, %v; want %+v", test.name, got, err, test.want)
		}
		for queue, want := range test.want {
			if got[queue] != want {
				t.Errorf("%s: queue %q is %+v, want %+v", test.name, queue, got[queue], want)
			}
		}
	}
}
