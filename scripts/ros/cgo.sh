# shellcheck shell=bash
# The flags that Go needs to compile and link against the ROS 2 of AMENT_PREFIX_PATH. rclgo's own name Humble's folders.
# The folders of `overlay`, where our robot_interfaces was built, stand in its bindings instead.

# cgo_cflags: every header folder of the ROS 2 in use.
cgo_cflags() {
	local prefix prefixes flags=(-O1 -g -Wno-deprecated-declarations) folder
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		if [[ $prefix == "${overlay:-}" ]]; then continue; fi
		for folder in "$prefix"/include/*/; do flags+=("'-I${folder%/}'"); done
	done
	printf '%s' "${flags[*]}"
}

# cgo_ldflags: the run path is of the old kind on purpose: it also holds for what the ROS 2 libraries open at run time.
cgo_ldflags() {
	local prefix prefixes flags=('-Wl,--allow-shlib-undefined' '-Wl,--disable-new-dtags')
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		if [[ $prefix == "${overlay:-}" ]]; then continue; fi
		flags+=("'-L$prefix/lib'" "'-Wl,-rpath,$prefix/lib'")
	done
	printf '%s' "${flags[*]}"
}
