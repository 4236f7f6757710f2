# shellcheck shell=bash
# The types of robot_interfaces: taken from the ROS 2 in use where it has them, else built from msgs/ into the cache.
# Sourced after common.sh and find.sh.

# use_interfaces PYTHON: put a robot_interfaces with all our types into the environment.
# Sets overlay to the folder it was built into, or to nothing when the ROS 2 in use had the types.
use_interfaces() {
	local python=$1 site files
	overlay=
	if interfaces_present; then return; fi
	mapfile -t files < <(find "$root/msgs" -type f | sort)
	overlay=$cache/interfaces-$(digest "${files[@]}" "$AMENT_PREFIX_PATH" "$python" "$root/scripts/ros/overlay.sh")
	if [[ ! -f $overlay/.complete ]]; then locked build_interfaces "$python" || exit; fi
	site=$(cd "$overlay" && compgen -G 'l*/python3*/*-packages') || die "$overlay is not whole: remove it and run this again"
	export AMENT_PREFIX_PATH=$overlay:$AMENT_PREFIX_PATH CMAKE_PREFIX_PATH=$overlay:${CMAKE_PREFIX_PATH:-}
	export LD_LIBRARY_PATH=$overlay/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export PYTHONPATH=$overlay/$site${PYTHONPATH:+:$PYTHONPATH}
}

# interfaces_present: has the first robot_interfaces of the ROS 2 in use every type that msgs/ has?
interfaces_present() {
	local prefix prefixes file
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		[[ -d $prefix/share/robot_interfaces ]] || continue
		for file in "$root"/msgs/{msg/*.msg,srv/*.srv,action/*.action}; do
			[[ -f $prefix/share/robot_interfaces/${file#"$root/msgs/"} ]] || return 1
		done
		return 0
	done
	return 1
}

build_interfaces() {
	local python=$1 log=$overlay.log build=$overlay.build
	if [[ -f $overlay/.complete ]]; then return; fi
	say "robot_interfaces: building msgs/ for ROS 2 ${ROS_DISTRO:-} into $overlay"
	rm -rf -- "$overlay" "$build"
	: >"$log"
	logged "$log" "configuring msgs/" cmake -G Ninja -S "$root/msgs" -B "$build" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_INSTALL_PREFIX="$overlay" -DPython3_EXECUTABLE="$python" -DBUILD_TESTING=OFF -Wno-dev
	logged "$log" "building msgs/" cmake --build "$build" --target install
	rm -rf -- "$build"
	touch "$overlay/.complete"
}
