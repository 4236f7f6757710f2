# shellcheck shell=bash
# The types of robot_interfaces: taken from the ROS 2 in use where it has them, else built from msgs/ into the cache.
# Sourced after common.sh and find.sh.

# use_interfaces PYTHON: put a robot_interfaces with all our types into the environment.
# Sets overlay to the folder it was built into, or to nothing when the ROS 2 in use had the types.
use_interfaces() {
	local python=$1 share site files
	overlay=
	share=$(installed_interfaces)
	if [[ -n $share ]] && interfaces_complete "$share"; then return; fi
	mapfile -t files < <(find "$root/msgs" ${share:+"$share"} -type f \( -name '*.msg' -o -name '*.srv' -o -name '*.action' \
		-o -name package.xml -o -path "$root/msgs/*" \) | sort)
	overlay=$cache/interfaces-$(digest "${files[@]}" "$AMENT_PREFIX_PATH" "$python" "$root/scripts/ros/overlay.sh")
	if ! overlay_whole "$python"; then locked build_interfaces "$python" "$share" || exit; fi
	site=$(cd "$overlay" && compgen -G 'l*/python3*/*-packages') || die "$overlay is not whole: remove it and run this again"
	export AMENT_PREFIX_PATH=$overlay:$AMENT_PREFIX_PATH CMAKE_PREFIX_PATH=$overlay:${CMAKE_PREFIX_PATH:-}
	export LD_LIBRARY_PATH=$overlay/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export PYTHONPATH=$overlay/$site${PYTHONPATH:+:$PYTHONPATH}
}

# installed_interfaces: print share/robot_interfaces of the ROS 2 in use, or nothing where it has none.
installed_interfaces() {
	local prefix prefixes
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for prefix in "${prefixes[@]}"; do
		if [[ -f $prefix/share/robot_interfaces/package.xml ]]; then
			printf '%s\n' "$prefix/share/robot_interfaces"
			return
		fi
	done
}

# interfaces_complete SHARE: has it every type that msgs/ has?
interfaces_complete() {
	local file
	for file in "$root"/msgs/{msg/*.msg,srv/*.srv,action/*.action}; do
		[[ -f $1/${file#"$root/msgs/"} ]] || return 1
	done
}

overlay_whole() {
	[[ -f $overlay/.manifest ]] && "$1" "$root/scripts/lib/manifest.py" check "$overlay"
}

build_interfaces() {
	local python=$1 share=$2 log=$overlay.log build=$overlay.build
	if overlay_whole "$python" 2>/dev/null; then return; fi # another set-up was quicker
	say "robot_interfaces: building msgs/ ${share:+and the types of $share }for ROS 2 ${ROS_DISTRO:-} into $overlay"
	rm -rf -- "$overlay" "$build"
	: >"$log"
	logged "$log" "configuring msgs/" cmake -G Ninja -S "$root/msgs" -B "$build" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_INSTALL_PREFIX="$overlay" -DPython3_EXECUTABLE="$python" -DROBOT_INTERFACES_BASE="$share" \
		-DBUILD_TESTING=OFF -Wno-dev
	logged "$log" "building msgs/" cmake --build "$build" --target install
	rm -rf -- "$build"
	logged "$log" "listing the files of $overlay (is the disk full?)" "$python" "$root/scripts/lib/manifest.py" write "$overlay"
}
