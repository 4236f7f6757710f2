# shellcheck shell=bash
# promtool, which checks metrics, alerts and Grafana's queries: the one that is installed, or that of Debian's package,
# unpacked into the cache, which takes no root. Without either these checks are left out.
# Sourced after common.sh.

# find_promtool: print the path of a promtool, or nothing.
find_promtool() {
	local path dir=$cache/promtool-1
	if path=$(command -v promtool); then
		printf '%s\n' "$path"
		return
	fi
	if [[ ! -x $dir/promtool && -z $(find "$dir.failed" -mtime -1 2>/dev/null) ]]; then
		make_room
		if ! (locked fetch_promtool "$dir"); then
			rm -rf -- "$dir.new"
			touch "$dir.failed" # and it is not tried again for a day
		fi
	fi
	if [[ -x $dir/promtool ]]; then
		printf '%s\n' "$dir/promtool"
	else
		say "no promtool here: metrics and alerts are not checked by it (apt-get install prometheus)"
	fi
}

# fetch_promtool DIR: take it out of Debian's package, in which it stands alone but for libc. apt gets lists of its own, as
# for Mosquitto.
fetch_promtool() {
	local dir=$1 log=$1.log new=$1.new apt
	if [[ -x $dir/promtool ]]; then return; fi
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return
	say "promtool: taking it out of Debian's package prometheus into $dir"
	rm -rf -- "$new"
	mkdir -p -- "$new/apt/lists/partial" "$new/apt/cache/archives/partial"
	: >"$log"
	apt=(apt-get -qq -o "Dir::State::Lists=$new/apt/lists" -o "Dir::Cache=$new/apt/cache" -o Debug::NoLocking=1
		-o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10)
	logged "$log" "apt-get update" "${apt[@]}" update
	(cd "$new/apt" && logged "$log" "apt-get download prometheus" "${apt[@]}" download prometheus) || exit
	logged "$log" "unpacking prometheus" dpkg-deb -x "$(compgen -G "$new/apt/prometheus_*.deb")" "$new/package"
	mv -- "$new/package/usr/bin/promtool" "$new/promtool"
	rm -rf -- "$new/apt" "$new/package"
	[[ $("$new/promtool" --version 2>>"$log") == promtool* ]] || die "the promtool of Debian's package does not run; see $log"
	rm -rf -- "$dir" && mv -- "$new" "$dir"
}

# find_chromium: print the path of a Chromium, or nothing. It needs too much of a machine to be unpacked anywhere.
find_chromium() {
	local name
	for name in chromium chromium-browser google-chrome; do
		if command -v "$name"; then return; fi
	done
	say "no Chromium here: the dashboard is not tried in a browser (apt-get install chromium)"
}
