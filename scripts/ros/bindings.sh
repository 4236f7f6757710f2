# shellcheck shell=bash
# The Go bindings of the message packages, in internal/rosmsgs: generated, never committed.
# Sourced after common.sh and cgo.sh, with AMENT_PREFIX_PATH set.

bindings=$root/internal/rosmsgs
bindings_import=github.com/robot-platform/robot-ota/internal/rosmsgs
# What the agent and the simulator speak. Each further package costs compile time: cgo is slow.
bindings_packages=(robot_interfaces std_srvs std_msgs diagnostic_msgs sensor_msgs nav_msgs geometry_msgs
	rcl_interfaces builtin_interfaces action_msgs)

# generate_bindings: bring the bindings up to date with the ROS 2 in use and with msgs/.
generate_bindings() {
	local key prefixes types
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	mapfile -t types < <(find "${prefixes[@]/%//share/robot_interfaces}" \
		\( -name '*.msg' -o -name '*.srv' -o -name '*.action' \) 2>/dev/null | sort)
	key=$(digest "$root"/scripts/ros/{bindings.sh,bindings.py,rclgo-gen/go.mod} "$AMENT_PREFIX_PATH" "${types[@]}")
	if [[ $(cat "$bindings/.key" 2>/dev/null) == "$key" ]]; then return; fi
	say "bindings: generating Go packages for ${bindings_packages[*]}"
	locked write_bindings "$key" || exit
}

write_bindings() {
	local key=$1 generator log=$cache/bindings.log aside=$bindings.new package prefix prefixes arguments=()
	: >"$log"
	generator=$(rclgo_generator "$log") || exit
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for package in "${bindings_packages[@]}"; do arguments+=(--include-package-deps "$package"); done
	for prefix in "${prefixes[@]}"; do arguments+=(--root-path "$prefix"); done
	rm -rf -- "$aside"
	logged "$log" "generating the Go bindings" "$generator" generate --dest-path "$aside" --cgo-flags-path "" \
		--ignore-ros-distro-mismatch --message-module-prefix "$bindings_import" "${arguments[@]}"
	logged "$log" "preparing the Go bindings" python3 "$root/scripts/ros/bindings.py" "$aside" "$(interfaces_prefix)"
	logged "$log" "formatting the Go bindings" gofmt -w "$aside"
	{ printf '%s\n' "$key" >"$aside/.key" && rm -rf -- "$bindings" && mv -- "$aside" "$bindings"; } ||
		die "the bindings cannot be put to $bindings: is the disk full, or the folder another user's?"
}

# rclgo_generator LOG: print the path of rclgo-gen, built on first use.
rclgo_generator() {
	local module=$root/scripts/ros/rclgo-gen program
	program=$cache/rclgo-gen-$(digest "$module/go.mod" "$(go env GOVERSION)")
	if [[ ! -x $program ]]; then
		say "rclgo-gen: building the generator"
		logged "$1" "building rclgo-gen (is the Go module proxy reachable?)" env -u CGO_CFLAGS -u CGO_LDFLAGS \
			go build -C "$module" -o "$program.new" github.com/tiiuae/rclgo/cmd/rclgo-gen
		mv -- "$program.new" "$program" || exit
	fi
	printf '%s\n' "$program"
}
