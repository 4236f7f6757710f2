# shellcheck shell=bash
# The environment that builds, tests and runs with ROS 2, as a file to source: .cache/ros.env.
# Sourced after common.sh, find.sh, overlay.sh and cgo.sh.

env_file=$root/.cache/ros.env
# What `use_ros` and `use_interfaces` set.
env_names=(ROS_DISTRO ROS_VERSION RMW_IMPLEMENTATION AMENT_PREFIX_PATH CMAKE_PREFIX_PATH)
# Lists that the shell that sources the file may have entries of its own in: ours come first.
env_lists=(PATH LD_LIBRARY_PATH PYTHONPATH)

# remember_lists: what the lists hold before set-up, but for what an earlier env file put there: a shell that has
# sourced it must not make the next one lose it.
remember_lists() {
	local name ours
	for name in "${env_lists[@]}"; do
		ours=ROBOT_OTA_ADDED_$name
		printf -v "${name}_BEFORE" '%s' "$(entries "${!name:-}" | grep -vFx -- "$(entries "${!ours:-}")" | paste -sd:)"
	done
}

# write_env PYTHON: write the file, aside first, and only when something changed.
write_env() {
	mkdir -p -- "$(dirname "$env_file")"
	print_env "$1" >"$env_file.new"
	if cmp -s -- "$env_file.new" "$env_file"; then
		rm -- "$env_file.new"
	else
		mv -- "$env_file.new" "$env_file"
	fi
}

print_env() {
	local name
	echo "# Written by scripts/setup: the environment of the $ros_kind ROS 2. Source it; do not edit it."
	for name in "${env_names[@]}"; do
		if [[ -n ${!name:-} ]]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
	done
	for name in "${env_lists[@]}"; do print_list "$name"; done
	printf 'export CGO_CFLAGS=%q\n' "$(cgo_cflags)"
	printf 'export CGO_LDFLAGS=%q\n' "$(cgo_ldflags)"
	printf 'export ROBOT_OTA_PYTHON=%q\n' "$1"
	echo "# Development nodes and tests talk to this machine only."
	# shellcheck disable=SC2016 # expanded by the shell that sources the file
	echo 'export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}'
}

# print_list NAME: what set-up added to this list, put before what the sourcing shell has.
print_list() {
	local name=$1 before=${1}_BEFORE added
	added=$(comm -23 <(entries "${!name:-}" | sort -u) <(entries "${!before:-}" | sort -u))
	added=$(entries "${!name:-}" | grep -Fx -- "$added" | awk '!seen[$0]++' | paste -sd:) || return 0
	# shellcheck disable=SC2016 # expanded by the shell that sources the file
	printf 'case ":${%s:-}:" in *:%q:*) ;; *) export %s=%q${%s:+:$%s} ;; esac\n' "$name" "$added" "$name" "$added" "$name" "$name"
	printf 'export ROBOT_OTA_ADDED_%s=%q\n' "$name" "$added"
}

entries() { printf '%s' "$1" | tr ':' '\n' | sed '/^$/d'; }
