#!/bin/bash
# Makes the image of the exactness tests' programs: testdata/programs/image.sh [IMAGE]
# It holds what Debian's packages give, two shells, dd and Python, and a C program
# that is compiled in it with two C libraries. Its base is the ordinary Debian
# image where it is here or can be pulled. Where no registry answers, it is made
# from packages, once.
set -euo pipefail
cd "$(dirname "$0")"
source ../../../../../compose/debian.sh

image=${1:-killpoint/programs:local}
base=debian:bookworm-slim
local_base=killpoint/debian:local

need_docker
if has_image "$local_base" || ! pulled "$base"; then
	base=$local_base
	# musl's headers ask for a compiler that is larger than all the rest.
	debian_image "$base" 'dash coreutils python3-minimal tcc libc6-dev musl-dev busybox-static
		!/usr/lib/gcc/* !/usr/libexec/gcc/* !/usr/bin/*-linux-gnu-* !/usr/lib/*/libbfd* !/usr/lib/*/libopcodes*
		!/usr/lib/*/lib*san.* !/usr/lib/*/ldscripts/*' \
		'ENV PATH=/usr/local/bin:/usr/bin:/bin'
fi
said=$(docker build --quiet --build-arg "BASE=$base" --tag "$image" . 2>&1) ||
	fail "could not build $image: $said"
echo "$image on $base ($(image_size "$image"))"
