"""Books each order once, in one file for each store, whatever happens to it.

An order is a line "ORDER id number-of-rows" and its rows. Rows go to the end
of their stores' files, which are synced; then the journal gets one line with
the order and the length of every file, and is synced; then the order is
answered. After a crash the files are cut back to the lengths of the last whole
line of the journal. An order that the journal has is answered again, and not
booked again.

    ledger.py           serve
    ledger.py health    say whether one serves here
    ledger.py verify    compare files and journal
"""

import os
import signal
import socket
import sys
import threading
import zlib

FOLDER = "/srv/ledger"
JOURNAL = FOLDER + "/journal"
HEADER = b"order,article,amount,cents\n"
PORT = 7070


def read_journal():
    """Gives the orders, the files' lengths after the last, and how long the
    journal's whole lines are."""
    orders, lengths, whole = set(), None, 0
    try:
        with open(JOURNAL, "rb") as journal:
            lines = journal.read().split(b"\n")
    except FileNotFoundError:
        return orders, lengths, whole
    for line in lines[:-1]:  # what follows the last newline is no whole line
        text, _, checksum = line.rpartition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            break
        order, _, sizes = text.decode().partition(" ")
        orders.add(order)
        lengths = [int(size) for size in sizes.split(",")]
        whole += len(line) + 1
    return orders, lengths, whole


def store_path(store):
    return "%s/store-%d.csv" % (FOLDER, store)


class Ledger:
    def __init__(self, stores):
        self.lock = threading.Lock()
        self.orders, self.lengths, whole = read_journal()
        cut = 0
        if self.lengths is None:
            self.lengths = [0] * stores
        elif len(self.lengths) != stores:
            raise SystemExit("ledger: the books are for %d stores, STORES is %d" % (len(self.lengths), stores))
        self.files = []
        for store, length in enumerate(self.lengths):
            file = open(store_path(store), "ab")
            cut += max(0, file.tell() - length)
            file.truncate(length)
            if length == 0:
                file.write(HEADER)
                file.flush()
                self.lengths[store] = len(HEADER)
            os.fsync(file.fileno())
            self.files.append(file)
        self.journal = open(JOURNAL, "ab")
        self.journal.truncate(whole)
        os.fsync(self.journal.fileno())
        if self.orders:
            print("ledger: recovered %d orders, cut %d bytes" % (len(self.orders), cut))

    def book(self, order, rows):
        """Gives False for an order that was booked before."""
        with self.lock:
            if order in self.orders:
                return False
            touched = set()
            for row in rows:
                store = int(row.split(b",")[1]) % len(self.files)
                self.files[store].write(row)
                touched.add(store)
            for store in touched:
                self.files[store].flush()
                os.fsync(self.files[store].fileno())
                self.lengths[store] = self.files[store].tell()
            text = ("%s %s" % (order, ",".join(map(str, self.lengths)))).encode()
            self.journal.write(b"%s %08x\n" % (text, zlib.crc32(text)))
            self.journal.flush()
            os.fsync(self.journal.fileno())
            self.orders.add(order)
            return True

    def count(self):
        with self.lock:
            return len(self.orders)


def serve_client(ledger, connection):
    with connection, connection.makefile("rwb") as stream:
        for line in stream:
            words = line.decode().split()
            if words[0] == "COUNT":
                stream.write(b"%d\n" % ledger.count())
            elif words[0] == "ORDER":
                rows = [stream.readline() for _ in range(int(words[2]))]
                if not all(row.endswith(b"\n") for row in rows):
                    return  # the till went away in the middle
                if ledger.book(words[1], rows):
                    print("ledger: booked %s" % words[1])
                else:
                    print("ledger: had %s" % words[1])
                stream.write(b"OK %s\n" % words[1].encode())
            stream.flush()


def serve():
    ledger = Ledger(int(os.environ["STORES"]))
    listener = socket.create_server(("", PORT))
    print("ledger: open")
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=quietly, args=(ledger, connection), daemon=True).start()


def quietly(ledger, connection):
    try:
        serve_client(ledger, connection)
    except OSError:
        pass  # a client that goes away is its own affair


def verify():
    orders, lengths, whole = read_journal()
    if os.path.getsize(JOURNAL) != whole:
        raise SystemExit("verify: the journal has bytes after its last whole line")
    rows = 0
    for store, length in enumerate(lengths):
        if os.path.getsize(store_path(store)) != length:
            raise SystemExit("verify: store %d is not as long as the journal says" % store)
        with open(store_path(store), "rb") as file:
            for line in file.read().splitlines()[1:]:
                rows += 1
                if line.split(b",")[0].decode() not in orders:
                    raise SystemExit("verify: store %d has an order that the journal has not: %r" % (store, line))
    print("verify: %d orders, %d rows" % (len(orders), rows))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if sys.argv[1:] == ["health"]:
    socket.create_connection(("127.0.0.1", PORT), 2).close()
elif sys.argv[1:] == ["verify"]:
    verify()
else:
    serve()
