package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// errNoProbe tells a caller to ask rabbitmqctl.
var errNoProbe = errors.New("no probe in the broker's container")

// The probe is an Erlang program that reads a request a line from standard
// input, fields separated by tabs, and answers each with a line "= answer".
// Depths of several queues stand in one answer, separated by carriage
// returns: of the queues that were asked for, since a name may hold anything.
// It calls what rabbitmqctl and the management plugin call on the node:
// rabbit_vhost:put_vhost/5 (adds, waits until it runs, grants permissions),
// rabbit_vhost:delete/2, rabbit_amqqueue:info_all/2, list/1 and delete/4,
// rabbit_exchange:list/1 and delete/3, and rabbit_networking's
// connection_info_all/1, which exist unchanged from RabbitMQ 3.8 to 4.x. Other lines of its output (warnings of the
// runtime) are passed over.
const probeProgram = `
ok = io:setopts(standard_io, [{encoding, unicode}]),
Node = list_to_atom(os:getenv("KILLPOINT_NODE")),
Call = fun(Module, Function, Arguments) -> rpc:call(Node, Module, Function, Arguments, 15000) end,
Binary = fun(Text) -> unicode:characters_to_binary(Text) end,
Queue = fun(Info) ->
  {resource, _, queue, Name} = proplists:get_value(name, Info),
  io_lib:format("~ts\t~p\t~p", [Name, proplists:get_value(messages_ready, Info), proplists:get_value(messages_unacknowledged, Info)])
end,
Answer = fun
  (["create", Host, User]) ->
    case Call(rabbit_vhost, put_vhost, [Binary(Host), <<>>, <<>>, false, Binary(User)]) of
      ok -> "ok"; Other -> io_lib:format("~0tp", [Other])
    end;
  (["delete", Host]) ->
    io_lib:format("~0tp", [Call(rabbit_vhost, delete, [Binary(Host), <<"killpoint">>])]);
  (["clear", Host]) ->
    V = Binary(Host),
    Open = [I || I <- Call(rabbit_networking, connection_info_all, [[vhost]]), proplists:get_value(vhost, I) =:= V],
    Own = fun(Exchange) -> {resource, _, exchange, Name} = element(2, Exchange),
      Name =/= <<>> andalso binary:match(Name, <<"amq.">>) =/= {0, 4} end,
    case length(Open) of
      0 ->
        [Call(rabbit_amqqueue, delete, [Q, false, false, <<"killpoint">>]) || Q <- Call(rabbit_amqqueue, list, [V])],
        [Call(rabbit_exchange, delete, [element(2, E), false, <<"killpoint">>]) || E <- Call(rabbit_exchange, list, [V]), Own(E)],
        case {Call(rabbit_amqqueue, list, [V]), [E || E <- Call(rabbit_exchange, list, [V]), Own(E)]} of
          {[], []} -> "ok"; {Queues, Exchanges} -> io_lib:format("left ~p ~p", [length(Queues), length(Exchanges)])
        end;
      Count -> io_lib:format("open ~p", [Count])
    end;
  (["depths", Host | Names]) ->
    Wanted = [Binary(Name) || Name <- Names],
    Is = fun(Info) -> lists:member(element(4, proplists:get_value(name, Info)), Wanted) end,
    case Call(rabbit_amqqueue, info_all, [Binary(Host), [name, messages_ready, messages_unacknowledged]]) of
      Infos when is_list(Infos) -> lists:join("\r", [Queue(Info) || Info <- Infos, Is(Info)]);
      Other -> io_lib:format("! ~0tp", [Other])
    end;
  (["ping"]) -> io_lib:format("~p", [Call(rabbit, is_running, [])])
end,
Loop = fun Again() ->
  case io:get_line("") of
    Line when is_list(Line) ->
      Text = try Answer(string:split(string:trim(Line, trailing, "\n"), "\t", all)) catch _:Why -> io_lib:format("! ~0tp", [Why]) end,
      io:format("= ~ts~n", [string:replace(lists:flatten(Text), "\n", " ", all)]),
      Again();
    _ -> halt(0)
  end
end,
Loop().
`

// The node is called as the broker's own scripts call it, and the cookie is
// where the node keeps it; HOME differs from it when the command runs as
// another user than the node.
const probeScript = `
if [ "$RABBITMQ_USE_LONGNAME" = true ]; then names=-name host=$(hostname -f); else names=-sname host=$(hostname -s); fi
KILLPOINT_NODE=${RABBITMQ_NODENAME:-rabbit}
case $KILLPOINT_NODE in *@*) ;; *) KILLPOINT_NODE=$KILLPOINT_NODE@$host ;; esac
export KILLPOINT_NODE
for file in "$HOME/.erlang.cookie" /var/lib/rabbitmq/.erlang.cookie; do
  if [ -r "$file" ]; then cookie=$(cat "$file"); break; fi
done
cookie=${RABBITMQ_ERLANG_COOKIE:-$cookie}
exec erl -noshell -hidden $names "kp$$" -setcookie "$cookie" +S 1 +SDio 1 +A 1 -kernel logger_level critical -eval "$0"
`

type probe struct {
	stream  Stream
	answers *bufio.Reader
}

// ask sends one request to the probe, which it starts when there is none.
// errNoProbe means that no probe could be started and rabbitmqctl should be
// asked; any other error, that the broker did not answer: it may be
// restarting, and the next call starts a fresh probe.
func (b *Broker) ask(ctx context.Context, fields ...string) (string, error) {
	for _, field := range fields {
		if strings.ContainsAny(field, "\t\n\r") {
			return "", fmt.Errorf("%q has a tab or a line break", field)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		fresh := b.probe == nil
		if fresh {
			if err := b.startProbe(ctx); err != nil {
				return "", err
			}
		}
		answer, err := b.probe.ask(ctx, fields)
		if err == nil {
			if reason, failed := strings.CutPrefix(answer, "! "); failed {
				return "", fmt.Errorf("the broker says %s", reason)
			}
			return answer, nil
		}
		b.probe.close()
		b.probe = nil
		// One of an earlier call may have died since, with its broker; every
		// request can be sent twice.
		if fresh || ctx.Err() != nil {
			return "", err
		}
	}
}

func (b *Broker) startProbe(ctx context.Context) error {
	if b.failures >= maxProbeFailures {
		return errNoProbe
	}
	// The stream outlives this call's context: it is closed by close.
	stream, err := b.shell.Stream(context.WithoutCancel(ctx), []string{"sh", "-c", probeScript, probeProgram})
	if err != nil {
		return fmt.Errorf("start probe: %w", err)
	}
	started := &probe{stream: stream, answers: bufio.NewReader(stream)}
	answer, err := started.ask(ctx, []string{"ping"})
	if err == nil && answer == "true" {
		b.probe, b.failures = started, 0
		return nil
	}
	started.close()
	if ctx.Err() != nil {
		return fmt.Errorf("start probe: %w", ctx.Err())
	}
	if err == nil {
		err = fmt.Errorf("the node is not running: %s", answer)
	}
	return fmt.Errorf("%w: %w", errNoProbe, err)
}

// probeFailed counts that rabbitmqctl has answered what the probe could not.
// Where both fail it is the broker that is down, which says nothing of the
// probe.
func (b *Broker) probeFailed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
}

// ask writes one request and reads its answer, or gives up with the context.
func (p *probe) ask(ctx context.Context, fields []string) (string, error) {
	type result struct {
		answer string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := p.exchange(fields)
		done <- result{answer, err}
	}()
	select {
	case got := <-done:
		return got.answer, got.err
	case <-ctx.Done():
		p.close() // ends the exchange; its answer is of no use to a later request
		return "", ctx.Err()
	}
}

func (p *probe) exchange(fields []string) (string, error) {
	if _, err := p.stream.Write([]byte(strings.Join(fields, "\t") + "\n")); err != nil {
		return "", fmt.Errorf("write to probe: %w", err)
	}
	var other []string
	for {
		line, err := p.answers.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read from probe: %w: %s", err, strings.Join(other, "; "))
		}
		if answer, is := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "= "); is {
			return answer, nil
		}
		if len(other) < 10 {
			other = append(other, strings.TrimSpace(line))
		}
	}
}

func (p *probe) close() error { return p.stream.Close() }
