# shellcheck shell=bash
# What every set-up script stands on: where things lie, how they speak and how they fail.
# Sourced, never run. The caller has `set -euo pipefail`.

# The root of the work tree.
# shellcheck disable=SC2034 # for whoever sources this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The folder of everything that is downloaded or generated once and shared by all clones.
cache=${ROBOT_OTA_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set: set it, or ROBOT_OTA_CACHE, to a folder for downloads}/.cache}/robot-ota}
if [[ $cache != /* ]]; then cache=$PWD/$cache; fi

say() { printf 'setup: %s\n' "$*" >&2; }

# die MESSAGE: what happened, why, and what to do, in one line.
die() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# digest FILE-OR-TEXT...: a short name for the content of these files and strings, taken together.
digest() {
	local item
	for item in "$@"; do
		if [[ -f $item ]]; then cat -- "$item"; else printf '%s\n' "$item"; fi
	done | sha256sum | cut -c1-12
}

# logged LOG WHAT COMMAND...: run with its output in LOG; when it fails, show the end of LOG and say what failed.
logged() {
	local log=$1 what=$2
	shift 2
	if "$@" >>"$log" 2>&1; then return; fi
	tail -n 15 -- "$log" >&2
	die "$what failed; all it said is in $log"
}

# make_room: the cache folder, writable, or a message that says how to choose another.
make_room() {
	mkdir -p -- "$cache" 2>/dev/null && [[ -w $cache ]] ||
		die "the cache folder $cache cannot be written: set ROBOT_OTA_CACHE to a folder that can"
}

# locked COMMAND...: run while no other set-up works on the cache.
locked() {
	make_room
	(
		if command -v flock >/dev/null && ! flock -n 9; then
			say "waiting for another set-up that works in $cache"
			flock 9
		fi
		"$@"
	) 9>"$cache/.lock"
}
