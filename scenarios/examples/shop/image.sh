#!/bin/bash
# Makes the image of the shop: scenarios/examples/shop/image.sh
# Its base is the ordinary Python image where that is here or can be pulled.
# Where no registry answers, Python is made from Debian's packages, once, and
# .env says so; delete that file to ask the registry again.
set -euo pipefail
cd "$(dirname "$0")"
source ../../../compose/debian.sh

base=${SHOP_BASE:-python:3.12-slim}
local_base=killpoint/python:local
image=${SHOP_IMAGE:-killpoint/shop:local}
mark='Written by image.sh'

need_docker
if [ "$base" != "$local_base" ] && ! grep -qs "$mark" .env && pulled "$base"; then
	rm -f .env
else
	debian_image "$local_base" python3-minimal 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8'
	base=$local_base
	printf '# %s, because no image registry answered.\nSHOP_BASE=%s\n' "$mark" "$base" >.env.new
	mv .env.new .env
fi
said=$(docker build --quiet --build-arg "BASE=$base" --tag "$image" . 2>&1) ||
	fail "could not build $image: $said"
echo "image: $image on $base ($(image_size "$image"))"
