#!/bin/sh
# What people do by hand, as a script: start the pipeline, kill worker-2 when
# it has done the n-th chunk, start it again, wait until all is done, verify,
# remove everything; and so on, one crash after the other. `make rate` puts how
# many of these go into a minute beside what explore does.
#
#   proof/plain.sh 5     five crashes; `make images` comes before
set -eu
crashes=${1:?say how many crashes}
chunks=${NUM_CHUNKS:-20}
cd "$(dirname "$0")/.."
if docker compose version >/dev/null 2>&1; then compose='docker compose'; else compose=docker-compose; fi
compose="$compose -p killpoint-plain -f compose/partition-writes.yaml"
worker=partition-writes-worker-2
trap '$compose down -v >/dev/null 2>&1' EXIT INT TERM

# until_it says COMMAND...: tries it until it succeeds, for half a minute.
until_it() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { echo "gave up on: $*" >&2; exit 1; }
		sleep 0.05
	done
}
done_chunks() { [ "$(docker logs $worker 2>&1 | grep -c 'Completed processing chunk')" -ge "$1" ]; }
all_verified() { [ "$(docker logs partition-writes-worker-3 2>/dev/null | grep '^SUCCESS' | sort -u | wc -l)" -ge "$chunks" ]; }

began=$(date +%s%N)
crash=0
while [ $crash -lt "$crashes" ]; do
	$compose up -d >/dev/null 2>&1
	until_it done_chunks $((crash % chunks + 1))
	docker kill $worker >/dev/null
	docker start $worker >/dev/null
	until_it all_verified
	docker exec $worker /app/worker verify >/dev/null
	$compose down -v >/dev/null 2>&1
	crash=$((crash + 1))
done
took=$((($(date +%s%N) - began) / 1000000))
echo "$crashes crashes in $((took / 1000)) s: $((crashes * 60000 / took)) a minute"
