#!/bin/bash
# Makes the image of the shop: scenarios/examples/shop/image.sh
# Its base is the ordinary Python image where that is here or can be pulled.
# Where no registry answers, Python is made from Debian's packages, once, and
# .env says so; delete that file to ask the registry again.
set -euo pipefail
cd "$(dirname "$0")"

base=${SHOP_BASE:-python:3.12-slim}
local_base=killpoint/python:local
image=${SHOP_IMAGE:-killpoint/shop:local}
patience=${REGISTRY_TIMEOUT:-300} # seconds for a pull
suite=bookworm
mark='Written by image.sh'

fail() {
	echo "image.sh: $*" >&2
	exit 1
}

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
	fail "Docker does not answer: start it, or set DOCKER_HOST"

# debian_python: the interpreter, its essential modules and the libraries that
# they need, unpacked and no more. The label says which recipe an image is of.
debian_python() {
	local recipe
	recipe=$(declare -f debian_python | cat - <(echo "$suite") | sha256sum | cut -c1-16)
	[ "$(docker image inspect --format '{{index .Config.Labels "killpoint.recipe"}}' "$local_base" 2>/dev/null || true)" != "$recipe" ] || return 0
	if ! command -v mmdebstrap >/dev/null; then
		[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
			fail "mmdebstrap is missing: install it (Debian and Ubuntu: apt-get install mmdebstrap debian-archive-keyring)"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends mmdebstrap debian-archive-keyring >/dev/null
	fi
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	# Through a file and not a pipe: an archive cut short must not become an image.
	mmdebstrap --quiet --variant=extract --include=python3-minimal \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/lib/*/gconv/*' "$suite" "$scratch/root.tar"
	docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8' \
		--change "LABEL killpoint.recipe=$recipe" "$scratch/root.tar" "$local_base" >/dev/null
}

if [ "$base" != "$local_base" ] && ! grep -qs "$mark" .env && { docker image inspect "$base" >/dev/null 2>&1 || timeout "$patience" docker pull --quiet "$base" >/dev/null 2>&1; }; then
	rm -f .env
else
	debian_python
	base=$local_base
	printf '# %s, because no image registry answered.\nSHOP_BASE=%s\n' "$mark" "$base" >.env.new
	mv .env.new .env
fi
said=$(docker build --quiet --build-arg "BASE=$base" --tag "$image" . 2>&1) ||
	fail "could not build $image: $said"
echo "image: $image on $base ($(docker image inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1/1e6}'))"
