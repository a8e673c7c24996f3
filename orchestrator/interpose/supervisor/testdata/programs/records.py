"""The Python program of the exactness tests: records.py append|pwrite FILE WRITERS RECORDS

So many threads write so many records each to one file, with O_APPEND or each
at offsets of its own. What a record is says testdata/record.
"""

import os
import sys
import threading

MAX_SIZE = 80

verb, path = sys.argv[1:3]
writers, records = map(int, sys.argv[3:])
file = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if verb == "append" else 0), 0o666)


def record(writer, i):
    filler = 10 + (writer * 31 + i * 17) % (MAX_SIZE - 20)
    return b"%02d:%06d:%s\n" % (writer, i, bytes([97 + (writer + i) % 26]) * filler)


def write(writer):
    at = writer * records * MAX_SIZE
    for i in range(records):
        data = record(writer, i)
        at += os.write(file, data) if verb == "append" else os.pwrite(file, data, at)


threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
