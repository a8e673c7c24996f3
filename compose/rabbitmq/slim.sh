#!/bin/sh
# Runs inside the image build, with the root of the new file system as $1, after
# the packages are configured. It leaves what a broker for tests needs: the
# broker, its management plugin, Erlang, a shell and the core utilities.
set -eu
root=$1
here=$(dirname "$0")
erlang=/usr/lib/erlang/lib
home=$(cd "$root" && echo usr/lib/rabbitmq/lib/rabbitmq_server-*)
plugins=/$home/plugins

# What is kept is the broker, the management plugin and what these two list as
# their applications. The broker reads the listing of every plugin that it sees.
for plugin in "$root$plugins"/*/; do
	name=$(basename "$plugin")
	case ${name%%-[0-9]*} in
	accept | base64url | eetcd | gun | jose | prometheus | quantile_estimator) rm -rf "$plugin" ;;
	amqp10_client | rabbitmq_prelaunch | rabbitmq_web_dispatch) ;;
	rabbitmq_management | rabbitmq_management_agent) ;;
	rabbitmq_*) rm -rf "$plugin" ;;
	esac
done

cp "$here/thin.erl" "$root/tmp/thin.erl"
chroot "$root" timeout 120 sh -c "cd /tmp && erlc thin.erl && erl -noinput -eval 'thin:main([\"$plugins\", \"$erlang\"]), halt().'"
rm -f "$root/tmp/thin.erl" "$root/tmp/thin.beam"

# Erlang asks every directory of its path for every module; on a union file
# system each miss costs tens of microseconds. All of them in one directory,
# which the image puts first in the path, halve the boot.
mkdir "$root/usr/lib/rabbitmq/modules"
ln "$root$erlang"/*/ebin/*.beam "$root$plugins"/*/ebin/*.beam "$root/usr/lib/rabbitmq/modules"
# The broker puts the directories of its plugins before all others, so it is
# given only those that are plugins, or that nothing but a plugin needs.
mkdir "$root/plugins"
for name in rabbitmq_management rabbitmq_management_agent rabbitmq_web_dispatch cowboy cowlib; do
	(cd "$root/plugins" && ln -s ../"$home/plugins/$name"-[0-9]* .)
done

# Each container makes its own cookie at its first start.
rm -f "$root/var/lib/rabbitmq/.erlang.cookie" "$root/etc/rabbitmq/rabbitmq-env.conf"
# Two sets of plugins to choose from with RABBITMQ_ENABLED_PLUGINS_FILE: the
# management plugin makes a clean stop 5 s longer.
echo '[rabbitmq_management].' >"$root/etc/rabbitmq/enabled_plugins"
echo '[].' >"$root/etc/rabbitmq/no_plugins"

# Packages that only packaging scripts needed; nothing is installed later.
rm -rf "$root"/usr/lib/python3* "$root"/usr/bin/python3* "$root"/usr/share/python3* \
	"$root"/usr/bin/perl* "$root"/usr/share/perl* "$root"/usr/lib/*/perl* \
	"$root"/usr/lib/*/gconv "$root"/usr/share/zoneinfo "$root"/usr/lib/apt "$root"/usr/bin/apt* \
	"$root"/usr/lib/*/libapt-* "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale \
	"$root"/usr/share/info "$root"/usr/share/lintian "$root"/usr/share/bash-completion \
	"$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/var/cache/* "$root"/var/log/*.log \
	"$root"/usr/bin/dpkg* "$root"/usr/bin/openssl "$root"/usr/share/common-licenses
