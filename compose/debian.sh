# What the scripts that make images share; they read it with `source`. An
# image is the ordinary one where it is here or can be pulled, and is made from
# Debian's packages where no image registry answers.

debian_suite=bookworm

fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

need_docker() {
	docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
		fail "Docker does not answer: start it, or set DOCKER_HOST"
}

# has_image IMAGE: it is on this engine.
has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# pulled IMAGE: it is on this engine, or was pulled now.
pulled() {
	has_image "$1" || timeout "${REGISTRY_TIMEOUT:-300}" docker pull --quiet "$1" >/dev/null 2>&1
}

# debian_image IMAGE PACKAGES [CHANGE…]: makes an image of the files of some
# packages and of those that they need, unpacked and no more, with changes in
# the words of a Dockerfile. PACKAGES may also hold patterns of paths to leave
# out, each behind an exclamation mark. An image that was made in the same way
# is kept; its label says in which.
debian_image() {
	local image=$1 packages=$2 recipe include= package
	shift 2
	recipe=$(declare -f debian_image | cat - <(printf '%s\n' "$debian_suite" "$packages" "$@") | sha256sum | cut -c1-16)
	[ "$(docker image inspect --format '{{index .Config.Labels "killpoint.recipe"}}' "$image" 2>/dev/null || true)" != "$recipe" ] || return 0
	if ! command -v mmdebstrap >/dev/null; then
		[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
			fail "mmdebstrap is missing: install it (Debian and Ubuntu: apt-get install mmdebstrap debian-archive-keyring)"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends mmdebstrap debian-archive-keyring >/dev/null
	fi
	local options=(--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/*/gconv/*')
	set -f
	for package in $packages; do
		case $package in
		!*) options+=(--dpkgopt="path-exclude=${package#!}") ;;
		*) include=$include,$package ;;
		esac
	done
	set +f
	local changes=(--change "LABEL killpoint.recipe=$recipe") change
	for change in "$@"; do changes+=(--change "$change"); done
	local scratch old
	old=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
	scratch=$(mktemp -d)
	# Through a file and not a pipe: an archive cut short must not become an image.
	mmdebstrap --quiet --variant=extract --include="${include#,}" "${options[@]}" "$debian_suite" "$scratch/root.tar" &&
		docker import "${changes[@]}" "$scratch/root.tar" "$image" >/dev/null ||
		{ rm -rf "$scratch"; fail "could not make $image from Debian's packages"; }
	rm -rf "$scratch"
	[ -z "$old" ] || docker rmi "$old" >/dev/null 2>&1 || true # another image may be built on it
}

# image_size IMAGE: in megabytes, for the line that says what was made.
image_size() { docker image inspect --format '{{.Size}}' "$1" | awk '{printf "%.0f MB", $1/1e6}'; }
