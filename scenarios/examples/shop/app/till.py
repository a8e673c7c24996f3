"""Sends orders to the ledger, one after the other, each until it is answered,
and keeps a record of what it sent and what was answered."""

import csv
import os
import random
import socket
import time

HOST, PORT = os.environ["LEDGER"].rsplit(":", 1)
ORDERS = int(os.environ["ORDERS"])
PAUSE = int(os.environ["PAUSE_MS"]) / 1000
STORES = int(os.environ["STORES"])


def connect():
    delay = 0.02
    while True:
        try:
            return socket.create_connection((HOST, int(PORT)), 2).makefile("rwb")
        except OSError as error:
            print("till: no ledger (%s)" % error)
            time.sleep(delay)
            delay = min(2 * delay, 0.5)


def order(number, draw, prices):
    """Some rows of one order; an article may come twice in equal rows."""
    name = "order-%04d" % number
    rows = []
    for _ in range(draw.randint(1, 6)):
        article, cents = draw.choice(prices)
        amount = draw.randint(1, 3)
        rows.append("%s,%d,%d,%d" % (name, article, amount, amount * cents))
    return name, rows


def send(ledger, name, rows):
    """Gives the connection on which the order was answered."""
    while True:
        try:
            ledger.write(("ORDER %s %d\n" % (name, len(rows)) + "".join(row + "\n" for row in rows)).encode())
            ledger.flush()
            if ledger.readline().decode().split() == ["OK", name]:
                return ledger
        except OSError as error:
            print("till: lost the ledger (%s)" % error)
        ledger = connect()
        print("till: sends %s again" % name)


draw = random.Random(int(os.environ["SEED"]))
with open("/srv/prices/prices.csv", newline="") as source:
    prices = [(int(row["article"]), int(row["cents"])) for row in csv.DictReader(source)]
with open("/etc/receipt.txt", "a") as receipt:
    receipt.write("open\n")
print("till: %s, %d articles" % (os.environ["GREETING"], len(prices)))

ledger = connect()
with open("/orders.jsonl", "w", buffering=1) as record:
    for number in range(1, ORDERS + 1):
        name, rows = order(number, draw, prices)
        quoted = ",".join('"%s"' % row for row in rows)
        record.write('{"chunk":"%s","partitions":%d,"rows":[%s]}\n' % (name, STORES, quoted))
        ledger = send(ledger, name, rows)
        record.write('{"confirmed":"%s"}\n' % name)
        print("booked %s" % name)
        time.sleep(PAUSE)
    record.write('{"done":true}\n')
print("till: closed")
