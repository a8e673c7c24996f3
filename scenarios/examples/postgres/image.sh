#!/bin/bash
# Makes the images of this example: scenarios/examples/postgres/image.sh
# Their bases are the ordinary images of PostgreSQL and Python where they are
# here or can be pulled. Where no registry answers, both are made from Debian's
# packages, once, and .env says so; delete that file to ask the registry again.
set -euo pipefail
cd "$(dirname "$0")"
source ../../../compose/debian.sh

base=${POSTGRES_BASE:-postgres:17}
python=${PYTHON_IMAGE:-python:3.12-slim}
local_base=killpoint/postgres:local
local_python=killpoint/python:local
image=${POSTGRES_EXAMPLE_IMAGE:-killpoint/postgres-example:local}
mark='Written by image.sh'

need_docker
if ! grep -qs "$mark" .env && pulled "$base" && pulled "$python"; then
	rm -f .env
else
	# Neither what compiles queries to machine code nor what only Debian's own
	# scripts need.
	debian_image "$local_base" 'postgresql-15 dash coreutils grep util-linux
		!/usr/lib/*/libLLVM* !/usr/lib/*/libz3* !*/bitcode/* !*/llvmjit*
		!/usr/*/perl* !/usr/lib/*/perl* !/usr/bin/perl* !/usr/lib/*/libperl* !/usr/share/i18n/*'
	debian_image "$local_python" python3-minimal 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8'
	base=$local_base python=$local_python
	printf '# %s, because no image registry answered.\nPOSTGRES_BASE=%s\nPYTHON_IMAGE=%s\n' "$mark" "$base" "$python" >.env.new
	mv .env.new .env
fi
said=$(docker build --quiet --build-arg "BASE=$base" --tag "$image" . 2>&1) ||
	fail "could not build $image: $said"
echo "images: $image on $base ($(image_size "$image")) and $python ($(image_size "$python"))"
