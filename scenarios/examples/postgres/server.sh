#!/bin/sh
# Makes a database, or serves it, as the user postgres; the container itself
# starts as root, as that of the official image does.
#
#     server.sh make
#     server.sh serve
set -eu
data=/srv/database
user=postgres
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)

as_user() { exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"; }

case $1 in
make)
	# An image of Debian's packages, only unpacked, has no users yet.
	grep -qs "^$user:" /etc/passwd || {
		echo 'root:x:0:0::/root:/bin/sh' >/etc/passwd
		echo "$user:x:999:999::$data:/bin/sh" >>/etc/passwd
		echo "$user:x:999:" >/etc/group
	}
	mkdir -p "$data"
	chown "$user:$user" "$data"
	chmod 700 "$data"
	(as_user initdb --pgdata="$data" --username=postgres --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >/dev/null)
	echo 'host all all all trust' >>"$data/pg_hba.conf"
	;;
serve)
	# Nothing happens by the clock, so that each run makes the same calls.
	as_user postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories= -c fsync="${FSYNC:-on}" \
		-c autovacuum=off -c checkpoint_timeout=1d -c bgwriter_lru_maxpages=0 -c bgwriter_delay=10s \
		-c wal_writer_delay=10s -c jit=off -c max_connections=10 -c shared_buffers=16MB
	;;
esac
