#!/bin/bash
# Builds a RabbitMQ image from Debian's packages, for machines on which no
# image registry answers: compose/rabbitmq/build.sh [IMAGE]
# An image that this recipe made already is kept. Needs Docker, and mmdebstrap,
# which it installs when it may.
set -euo pipefail
cd "$(dirname "$0")"

image=${1:-killpoint/rabbitmq:local}
suite=bookworm
recipe=$(cat build.sh slim.sh thin.erl | sha256sum | cut -c1-16)

# The label is what says whether the image is this recipe's.
have=$(docker image inspect --format '{{index .Config.Labels "killpoint.recipe"}}' "$image" 2>/dev/null || true)
if [ "$have" = "$recipe" ]; then
	echo "$image is up to date (recipe $recipe)"
	exit 0
fi
docker version --format 'building '"$image"' on Docker {{.Server.Version}}' ||
	{ echo "build $image: Docker does not answer: start it, or set DOCKER_HOST" >&2; exit 1; }

if ! command -v mmdebstrap >/dev/null; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "build $image: mmdebstrap is missing: install it (Debian and Ubuntu: apt-get install mmdebstrap debian-archive-keyring)" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends mmdebstrap debian-archive-keyring >/dev/null
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Through a file and not a pipe: an archive cut short must not become an image.
mmdebstrap --quiet --variant=minbase --include=rabbitmq-server \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook="$PWD/slim.sh" \
	"$suite" "$scratch/rootfs.tar"

old=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
# A fixed node name keeps the broker's data usable whatever the container is
# called. conf.d is left to the newer brokers that know its keys.
docker import \
	--change 'ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8 TZ=UTC0' \
	--change 'ENV RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_LOGS=- RABBITMQ_CONFIG_FILE=/etc/rabbitmq/local' \
	--change 'ENV RABBITMQ_CONFIG_FILES=/etc/rabbitmq/local.d/*.conf' \
	--change 'ENV ERL_FLAGS="-pa /usr/lib/rabbitmq/modules" RABBITMQ_PLUGINS_DIR=/plugins RABBITMQ_ENABLED_PLUGINS_FILE=/etc/rabbitmq/no_plugins' \
	--change 'USER rabbitmq' --change 'WORKDIR /var/lib/rabbitmq' \
	--change 'EXPOSE 5672 15672' \
	--change 'ENTRYPOINT []' --change 'CMD ["rabbitmq-server"]' \
	--change "LABEL killpoint.recipe=$recipe" \
	"$scratch/rootfs.tar" "$image" >/dev/null
if [ -n "$old" ]; then
	docker rmi "$old" >/dev/null 2>&1 || true # a container may still use it
fi
echo "built $image ($(docker image inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1/1e6}'), recipe $recipe)"
