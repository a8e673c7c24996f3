package interpose

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// fakeInterposer is the other end of a client: it answers commands by a function.
func fakeInterposer(t *testing.T, answer func(Request) []any) *Client {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		decoder, encoder := json.NewDecoder(far), json.NewEncoder(far)
		for {
			var command Request
			if decoder.Decode(&command) != nil {
				return
			}
			for _, line := range answer(command) {
				if text, raw := line.(string); raw {
					_, _ = far.Write([]byte(text))
					far.Close()
					return
				}
				if encoder.Encode(line) != nil {
					return
				}
			}
		}
	}()
	client, err := NewClient(near, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestClientTellsRepliesFromEvents(t *testing.T) {
	client := fakeInterposer(t, func(command Request) []any {
		switch command.Name {
		case CommandAttach:
			return []any{Event{Kind: Hello, Sequence: command.Sequence + 1}}
		case CommandLose:
			return []any{Event{Kind: Reply, Command: command.Number + 7}, Event{Kind: Reached, Sequence: 5}, Event{Kind: Reply, Command: command.Number, Lost: []int64{4}}}
		}
		return []any{Event{Kind: Reply, Command: command.Number, Message: "no program runs"}}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if event := <-client.Events(); event.Kind != Hello || event.Sequence != 4 {
		t.Errorf("unexpected event %+v", event)
	}
	lost, err := client.Lose(ctx, Lose{Survive: "none"})
	if err != nil || len(lost) != 1 || lost[0] != 4 {
		t.Errorf("got %v, %v", lost, err)
	}
	if event := <-client.Events(); event.Kind != Reached {
		t.Errorf("unexpected event %+v", event)
	}
	if err := client.Kill(ctx); err == nil || !strings.Contains(err.Error(), "no program runs") {
		t.Errorf("got %v", err)
	}
}

func TestClientEndsWithItsContainer(t *testing.T) {
	client := fakeInterposer(t, func(command Request) []any {
		if command.Name == CommandAttach {
			return nil
		}
		return []any{Event{Kind: Killed}, `{"event":"exi`} // death cuts the last line short
	})
	err := client.Kill(context.Background())
	if !errors.Is(err, ErrDetached) {
		t.Errorf("got %v, want ErrDetached", err)
	}
	if event := <-client.Events(); event.Kind != Killed {
		t.Errorf("unexpected event %+v", event)
	}
	if event, open := <-client.Events(); open {
		t.Errorf("unexpected event %+v", event)
	}
	if !errors.Is(client.Err(), ErrDetached) {
		t.Errorf("got %v, want ErrDetached", client.Err())
	}
}

func TestClientGivesUpWithItsContext(t *testing.T) {
	client := fakeInterposer(t, func(Request) []any { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := client.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
