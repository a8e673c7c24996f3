"""Checks the price list once, and hands it to the tills.

It sorts the list and leaves a stamp in the folder that it was given, so that
whoever mounts a real folder there finds it changed.
"""

import csv
import os

SOURCE = "/catalogue/prices.csv"
TARGET = "/srv/prices/prices.csv"

with open(SOURCE, newline="") as source:
    rows = list(csv.DictReader(source))
for row in rows:
    if int(row["article"]) < 0 or int(row["cents"]) <= 0:
        raise SystemExit("catalogue: bad row %r" % row)
rows.sort(key=lambda row: int(row["article"]))

for path in (SOURCE, TARGET):
    with open(path, "w", newline="") as target:
        writer = csv.DictWriter(target, ["article", "name", "cents"])
        writer.writeheader()
        writer.writerows(rows)
        target.flush()
        os.fsync(target.fileno())
with open("/catalogue/checked", "w") as stamp:
    stamp.write("%d articles\n" % len(rows))
print("catalogue: %d articles" % len(rows))
