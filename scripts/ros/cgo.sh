# shellcheck shell=bash
# The flags that Go needs to compile and link against the ROS 2 of AMENT_PREFIX_PATH. rclgo's own name Humble's folders.
# The folders of robot_interfaces stand in its bindings instead, so that a change of it leaves all else in Go's build cache.

# interfaces_prefix: print the prefix whose robot_interfaces counts: the first that has one.
interfaces_prefix() {
	local prefix prefixes
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		if [[ -d $prefix/share/robot_interfaces ]]; then
			printf '%s\n' "$prefix"
			return
		fi
	done
}

# cgo_prefixes: print the prefixes whose folders go into the flags, one a line: those that hold more than robot_interfaces
# and the agent. As flags come before what stands in the bindings, the robot_interfaces that counts is put before another.
cgo_prefixes() {
	local prefix prefixes own
	own=$(interfaces_prefix)
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		holds_more "$prefix" || continue
		if [[ -n $own && $prefix != "$own" && -d $prefix/share/robot_interfaces ]]; then printf '%s\n' "$own"; fi
		printf '%s\n' "$prefix"
	done
}

holds_more() {
	compgen -G "$1/share/*/package.xml" | grep -vE '/share/(robot_interfaces|robot_ota)/package.xml$' >/dev/null
}

# cgo_cflags: every header folder of the ROS 2 in use.
cgo_cflags() {
	local prefix folder flags=(-O1 -g -Wno-deprecated-declarations)
	while read -r prefix; do
		for folder in "$prefix"/include/*/; do flags+=("'-I${folder%/}'"); done
	done < <(cgo_prefixes)
	printf '%s' "${flags[*]}"
}

# cgo_ldflags: the run path is of the old kind on purpose: it also holds for what the ROS 2 libraries open at run time.
cgo_ldflags() {
	local prefix flags=('-Wl,--allow-shlib-undefined' '-Wl,--disable-new-dtags')
	while read -r prefix; do
		flags+=("'-L$prefix/lib'" "'-Wl,-rpath,$prefix/lib'")
	done < <(cgo_prefixes)
	printf '%s' "${flags[*]}"
}
