"""Writes orders to Redis, one command after the other, each until Redis has
said that it is done, and keeps a record of what it sent and what was answered.
At the end it reads back whatever Redis holds.

An order is one HSET, which may be done twice without harm, so that after a
lost connection it is simply sent again.
"""

import os
import random
import socket
import time

HOST, PORT = os.environ["SERVER"].rsplit(":", 1)
ORDERS = int(os.environ["ORDERS"])


class Redis:
    """A connection that is made anew for as long as it takes."""

    def __init__(self):
        self.stream = None

    def ask(self, *words):
        """Gives the answer to one command, which is sent again whenever the
        connection is lost before it comes."""
        while True:
            try:
                if self.stream is None:
                    self.stream = socket.create_connection((HOST, int(PORT)), 2).makefile("rwb")
                self.stream.write(b"*%d\r\n" % len(words))
                for word in words:
                    self.stream.write(b"$%d\r\n%s\r\n" % (len(word), word))
                self.stream.flush()
                return self.answer()
            except (OSError, EOFError) as error:
                print("client: no answer (%s)" % error, flush=True)
                self.stream = None
                time.sleep(0.02)

    def answer(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection was closed")
        kind, text = line[:1], line[1:-2]
        if kind == b"-":
            if text.startswith(b"LOADING"):
                raise EOFError("Redis is still reading its files")
            raise SystemExit("client: Redis refused: %s" % text.decode())
        if kind == b"$":
            return self.stream.read(int(text) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(text))]
        return text


def order(number, draw):
    name = "order-%04d" % number
    return name, ["%s,%d,%d" % (name, draw.randint(1, 99), draw.randint(1, 9999)) for _ in range(draw.randint(1, 4))]


draw = random.Random(int(os.environ["SEED"]))
redis = Redis()
with open("/sent.jsonl", "w", buffering=1) as record:
    for number in range(1, ORDERS + 1):
        name, rows = order(number, draw)
        record.write('{"chunk":"%s","rows":[%s]}\n' % (name, ",".join('"%s"' % row for row in rows)))
        fields = [word.encode() for place, row in enumerate(rows) for word in (str(place), row)]
        redis.ask(b"HSET", name.encode(), *fields)
        record.write('{"confirmed":"%s"}\n' % name)
    record.write('{"done":true}\n')

with open("/found.csv", "w") as found:
    found.write("order,article,cents\n")
    for name in sorted(redis.ask(b"KEYS", b"*")):
        words = redis.ask(b"HGETALL", name)
        for _, row in sorted(zip(map(int, words[::2]), words[1::2])):
            found.write(row.decode() + "\n")
print("client: sent %d orders" % ORDERS)
