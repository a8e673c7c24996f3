"""Books orders in PostgreSQL, one statement after the other, each until the
server has said that it is committed, and keeps a record of what it sent and
what was answered. At the end it reads back whatever the table holds.

An order is one INSERT of several rows, which does nothing for rows that are
there already, so that after a lost connection it is simply sent again.
"""

import os
import random
import socket
import struct
import time

HOST, PORT = os.environ["SERVER"].rsplit(":", 1)
ORDERS = int(os.environ["ORDERS"])
TABLE = (
    "CREATE TABLE IF NOT EXISTS orders (name text, place int, article int, cents int, PRIMARY KEY (name, place))"
)


class Database:
    """A connection that is made anew for as long as it takes. It speaks the
    simple part of PostgreSQL's protocol: a message is one letter, its length
    and its content."""

    def __init__(self):
        self.stream = None

    def ask(self, statement):
        """Gives the rows of one statement, which is sent again whenever the
        connection is lost before the server has answered."""
        while True:
            try:
                if self.stream is None:
                    self.connect()
                return self.query(statement)
            except (OSError, EOFError) as error:
                print("client: no answer (%s)" % error, flush=True)
                self.stream = None
                time.sleep(0.02)

    def connect(self):
        self.stream = socket.create_connection((HOST, int(PORT)), 2).makefile("rwb")
        content = struct.pack("!i", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
        self.stream.write(struct.pack("!i", len(content) + 4) + content)
        self.stream.flush()
        self.answer()
        # A power cut may have taken the table with everything else.
        self.query(TABLE)

    def query(self, statement):
        content = statement.encode() + b"\0"
        self.stream.write(b"Q" + struct.pack("!i", len(content) + 4) + content)
        self.stream.flush()
        return self.answer()

    def answer(self):
        """Reads until the server is ready for the next statement."""
        rows = []
        while True:
            kind, content = self.message()
            if kind == b"Z":
                return rows
            if kind == b"D":
                rows.append(columns(content))
            if kind == b"E":
                fields = dict((field[:1], field[1:].decode()) for field in content.split(b"\0") if field)
                # It starts up or stops, or cannot take one more connection.
                if fields[b"C"].startswith("57P") or fields[b"C"] == "53300":
                    raise EOFError(fields[b"M"])
                raise SystemExit("client: the server refused: " + fields[b"M"])

    def message(self):
        head = self.stream.read(5)
        if len(head) < 5:
            raise EOFError("the connection was closed")
        length = struct.unpack("!i", head[1:])[0] - 4
        content = self.stream.read(length)
        if len(content) < length:
            raise EOFError("the connection was closed")
        return head[:1], content


def columns(content):
    """The columns of one row, as text."""
    found, at = [], 2
    for _ in range(struct.unpack("!h", content[:2])[0]):
        length = struct.unpack("!i", content[at:at + 4])[0]
        found.append(content[at + 4:at + 4 + length].decode())
        at += 4 + length
    return found


def order(number, draw):
    return "order-%04d" % number, [(draw.randint(1, 99), draw.randint(1, 9999)) for _ in range(draw.randint(1, 4))]


draw = random.Random(int(os.environ["SEED"]))
database = Database()
with open("/sent.jsonl", "w", buffering=1) as record:
    for number in range(1, ORDERS + 1):
        name, rows = order(number, draw)
        lines = ",".join('"%s,%d,%d"' % (name, article, cents) for article, cents in rows)
        record.write('{"chunk":"%s","rows":[%s]}\n' % (name, lines))
        values = ",".join("('%s',%d,%d,%d)" % (name, place, *row) for place, row in enumerate(rows))
        database.ask("INSERT INTO orders VALUES %s ON CONFLICT DO NOTHING" % values)
        record.write('{"confirmed":"%s"}\n' % name)
    record.write('{"done":true}\n')

with open("/found.csv", "w") as found:
    found.write("order,article,cents\n")
    for row in database.ask("SELECT name, article, cents FROM orders ORDER BY name, place"):
        found.write(",".join(row) + "\n")
print("client: sent %d orders" % ORDERS)
