#!/bin/bash
# Makes what compose/partition-writes.yaml needs and no registry gives:
# compose/images.sh
# Where the broker's image is here or can be pulled, the workers' image is built
# from source, as Compose would. Where no registry answers, the broker's image is
# built from Debian's packages (once) and the workers' image from a binary that
# is built here, and compose/.env says so; delete that file to ask the registry
# again.
set -euo pipefail
cd "$(dirname "$0")"

broker=${BROKER_IMAGE:-rabbitmq:4.2-management}
local_broker=killpoint/rabbitmq:local
worker=${WORKER_IMAGE:-killpoint/worker:local}
patience=${REGISTRY_TIMEOUT:-300} # seconds for a pull
mark='Written by compose/images.sh'

fail() {
	echo "make images: $*" >&2
	exit 1
}

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
	fail "Docker does not answer: start it, or set DOCKER_HOST"

# has IMAGE: it is on this engine.
has() { docker image inspect "$1" >/dev/null 2>&1; }

if [ "$broker" != "$local_broker" ] && ! grep -qs "$mark" .env && { has "$broker" || timeout "$patience" docker pull --quiet "$broker" >/dev/null 2>&1; }; then
	registry=yes
else
	registry=no
	rabbitmq/build.sh "$local_broker"
	broker=$local_broker
fi

# A binary that was built here needs no image of the compiler.
build_binary() {
	mkdir -p context/app context/bin
	# Any two builds of the same source give the same bytes, so an unchanged
	# binary is left alone and the engine's build cache holds.
	(cd .. && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o compose/context/app/worker ./workers) ||
		fail "could not build the workers (go build ./workers)"
}

# For `docker exec … ls` and `cat`; the workers themselves need none of it.
copy_busybox() {
	[ -e context/bin/busybox ] && return
	local found
	found=$(command -v busybox || true)
	if [ -z "$found" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends busybox-static >/dev/null
		found=$(command -v busybox || true)
	fi
	if [ -z "$found" ] || ldd "$found" >/dev/null 2>&1; then
		fail "there is no static busybox: install it (Debian and Ubuntu: apt-get install busybox-static)"
	fi
	cp -L "$found" context/bin/busybox
	local program
	for program in sh ls cat head tail wc grep od stat ps sleep rm touch df du; do
		ln -sf busybox "context/bin/$program"
	done
}

# build_image TARGET: builds the workers' image and removes the one that it
# replaces, unless a container uses that.
build_image() {
	local old
	old=$(docker image inspect --format '{{.Id}}' "$worker" 2>/dev/null || true)
	docker build --quiet --file ../Dockerfile.worker --target "$1" --tag "$worker" .. >/dev/null 2>build.log.$$ || {
		cat build.log.$$ >&2
		rm -f build.log.$$
		fail "could not build $worker"
	}
	rm -f build.log.$$
	if [ -n "$old" ] && [ "$old" != "$(docker image inspect --format '{{.Id}}' "$worker")" ]; then
		docker rmi "$old" >/dev/null 2>&1 || true
	fi
}

if [ "$registry" = no ]; then
	build_binary
	copy_busybox
	build_image prebuilt
	cat >.env.$$ <<-ENV
		# $mark, because no image registry answered.
		BROKER_IMAGE=$broker
		WORKER_TARGET=prebuilt
	ENV
	mv .env.$$ .env
	echo "images: $broker and $worker ($(docker image inspect --format '{{.Size}}' "$worker" | awk '{printf "%.1f MB", $1/1e6}'))"
else
	build_image from-source
	echo "images: $broker and $worker"
fi
