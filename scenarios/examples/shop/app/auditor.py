"""Asks the ledger how many orders it has until it has all of them. The number
must never go down."""

import os
import signal
import socket
import sys
import time

HOST, PORT = os.environ["LEDGER"].rsplit(":", 1)
ORDERS = int(os.environ["ORDERS"])

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
most = 0
while most < ORDERS:
    try:
        with socket.create_connection((HOST, int(PORT)), 2) as connection:
            stream = connection.makefile("rwb")
            stream.write(b"COUNT\n")
            stream.flush()
            count = int(stream.readline() or most)
    except OSError:
        time.sleep(0.05)
        continue
    if count < most:
        raise SystemExit("auditor: the ledger went back from %d orders to %d" % (most, count))
    if count > most:
        print("auditor: %d orders" % count)
    most = count
    time.sleep(0.02)
print("auditor: complete")
