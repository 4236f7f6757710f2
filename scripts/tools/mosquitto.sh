# shellcheck shell=bash
# Mosquitto, the broker that fleets run: the one that is installed, or Debian's package unpacked into the cache, which takes
# no root. Without either, what is tested against it is tested against the embedded broker alone.
# Sourced after common.sh.

# find_mosquitto: print the path of a Mosquitto, or nothing.
find_mosquitto() {
	local path dir=$cache/mosquitto-1
	for path in mosquitto /usr/sbin/mosquitto /usr/local/sbin/mosquitto; do
		if path=$(command -v "$path") && [[ -x $path ]]; then
			printf '%s\n' "$path"
			return
		fi
	done
	if [[ ! -x $dir/mosquitto && -z $(find "$dir.failed" -mtime -1 2>/dev/null) ]]; then
		make_room
		if ! (locked fetch_mosquitto "$dir"); then
			rm -rf -- "$dir.new"
			touch "$dir.failed" # and it is not tried again for a day
		fi
	fi
	if [[ -x $dir/mosquitto ]]; then
		printf '%s\n' "$dir/mosquitto"
	else
		say "no mosquitto here: only the embedded MQTT broker is tested and shown (apt-get install mosquitto)"
	fi
}

# fetch_mosquitto DIR: unpack the package and what it needs and this machine lacks. apt gets lists of its own, so that it
# needs neither root nor somebody who has updated those of the machine.
fetch_mosquitto() {
	local dir=$1 log=$1.log new=$1.new apt names deb
	if [[ -x $dir/mosquitto ]]; then return; fi
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return
	say "mosquitto: unpacking Debian's package into $dir"
	rm -rf -- "$new"
	mkdir -p -- "$new/apt/lists/partial" "$new/apt/cache/archives/partial"
	: >"$log"
	apt=(apt-get -qq -o "Dir::State::Lists=$new/apt/lists" -o "Dir::Cache=$new/apt/cache" -o Debug::NoLocking=1
		-o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10)
	logged "$log" "apt-get update" "${apt[@]}" update
	mapfile -t names < <("${apt[@]}" -s --no-install-recommends install mosquitto 2>>"$log" | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }')
	[[ ${#names[@]} -gt 0 ]] || die "apt knows no mosquitto; all it said is in $log"
	(cd "$new/apt" && logged "$log" "apt-get download ${names[*]}" "${apt[@]}" download "${names[@]}") || exit
	for deb in "$new"/apt/*.deb; do logged "$log" "unpacking $deb" dpkg-deb -x "$deb" "$new"; done
	rm -rf -- "$new/apt"
	# shellcheck disable=SC2016 # for the script that is written
	printf '#!/bin/sh\nhere=%q\nLD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-*)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n%s\n' "$dir" \
		'export LD_LIBRARY_PATH; exec "$here/usr/sbin/mosquitto" "$@"' >"$new/mosquitto"
	chmod +x "$new/mosquitto"
	rm -rf -- "$dir" && mv -- "$new" "$dir"
	if [[ $("$dir/mosquitto" -h 2>>"$log") != *"mosquitto version"* ]]; then
		rm -f -- "$dir/mosquitto"
		die "the mosquitto in $dir does not run; see $log"
	fi
}
