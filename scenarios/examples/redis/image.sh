#!/bin/bash
# Gets the images of this example: scenarios/examples/redis/image.sh
# They are the ordinary ones of Redis and Python where they are here or can be
# pulled. Where no registry answers, both are made from Debian's packages, once,
# and .env says so; delete that file to ask the registry again.
set -euo pipefail
cd "$(dirname "$0")"
source ../../../compose/debian.sh

redis=${REDIS_IMAGE:-redis:7.2}
python=${PYTHON_IMAGE:-python:3.12-slim}
local_redis=killpoint/redis:local
local_python=killpoint/python:local
mark='Written by image.sh'

need_docker
if ! grep -qs "$mark" .env && pulled "$redis" && pulled "$python"; then
	rm -f .env
else
	debian_image "$local_redis" 'redis-server !/usr/*/perl* !/usr/lib/*/perl* !/usr/bin/perl* !/usr/lib/*/libperl*'
	debian_image "$local_python" python3-minimal 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8'
	redis=$local_redis python=$local_python
	printf '# %s, because no image registry answered.\nREDIS_IMAGE=%s\nPYTHON_IMAGE=%s\n' "$mark" "$redis" "$python" >.env.new
	mv .env.new .env
fi
echo "images: $redis ($(image_size "$redis")) and $python ($(image_size "$python"))"
