# shellcheck shell=bash
# The flags that Go needs to compile and link against the ROS 2 of AMENT_PREFIX_PATH. rclgo's own name Humble's folders.
# The folders of `overlay`, where our robot_interfaces was built, stand in its bindings instead, so that a change of it
# leaves everything else in Go's build cache. But flags from the environment come first: where another prefix has a
# robot_interfaces as well, ours is put before it.

# cgo_prefixes: print the prefixes whose folders go into the flags, one a line.
cgo_prefixes() {
	local prefix prefixes
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		if [[ $prefix != "${overlay:-}" && -d $prefix/share/robot_interfaces ]]; then
			printf '%s' "${overlay:+$overlay
}"
			break
		fi
	done
	for prefix in "${prefixes[@]}"; do
		if [[ $prefix != "${overlay:-}" ]]; then printf '%s\n' "$prefix"; fi
	done
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
