# shellcheck shell=bash
# Which ROS 2 is built against: the one that is sourced, the one of /opt/ros, or an embedded one out of PyPI's wheels.
# Sourced after common.sh, prerequisites.sh and venv.sh.

# What a ROS 2 must hold to be used: the libraries of a node, the generators and the fleet's message packages.
ros_packages=(rcl rcl_action rclpy rosidl_default_generators diagnostic_msgs geometry_msgs nav_msgs sensor_msgs std_srvs)

# use_ros: set and export the environment of a ROS 2, and ros_kind (sourced, system or embedded).
# ROBOT_OTA_ROS says which: "embedded", or the folder of an installed one, for example /opt/ros/jazzy.
use_ros() {
	local choice=${ROBOT_OTA_ROS:-} distro
	leave_cache
	if [[ $choice == embedded ]]; then
		use_embedded
	elif [[ -n $choice ]]; then
		use_installed "$choice" ||
			die "ROBOT_OTA_ROS=$choice: $ros_fault; install it, or set ROBOT_OTA_ROS=embedded to use PyPI's wheels"
	elif [[ -n ${AMENT_PREFIX_PATH:-} ]] && ros_complete "the sourced ROS 2"; then
		ros_kind=sourced
	else
		for distro in jazzy kilted humble; do
			if use_installed "/opt/ros/$distro"; then return; fi
		done
		use_embedded
	fi
}

# leave_cache: forget an environment that an earlier set-up made, so that it is not taken for a sourced ROS 2.
leave_cache() {
	local name
	for name in AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PATH; do
		[[ -n ${!name:-} ]] || continue
		export "$name=$(printf '%s' "${!name}" | tr ':' '\n' | { grep -vF "$cache/" || true; } | paste -sd:)"
	done
	unset CGO_CFLAGS CGO_LDFLAGS
}

# ros_complete WHAT: does AMENT_PREFIX_PATH hold every package that is needed? Sets ros_fault when not.
ros_complete() {
	local package prefix missing=() prefixes
	IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
	for package in "${ros_packages[@]}"; do
		for prefix in "${prefixes[@]}"; do
			if [[ -f $prefix/share/$package/package.xml ]]; then continue 2; fi
		done
		missing+=("$package")
	done
	if ((${#missing[@]} == 0)); then return 0; fi
	ros_fault="$1 lacks ${missing[*]} (apt-get install ros-<distro>-<name>)"
	say "$ros_fault: looking further"
	return 1
}

# use_installed PREFIX: source the installed ROS 2 there, when it is one and complete.
use_installed() {
	ros_fault="there is no $1/setup.bash"
	[[ -f $1/setup.bash ]] || return 1
	local before=${AMENT_PREFIX_PATH:-}
	set +u
	# shellcheck disable=SC1091
	source "$1/setup.bash"
	set -u
	if ros_complete "$1"; then
		ros_kind=system
		return 0
	fi
	AMENT_PREFIX_PATH=$before
	return 1
}

use_embedded() {
	local prefix
	[[ $(uname -sm) == "Linux x86_64" ]] ||
		die "no ROS 2 found, and the embedded one exists for x86_64 Linux only (this is $(uname -sm)):" \
			"install ROS 2 Jazzy and source /opt/ros/jazzy/setup.bash"
	prefix=$(ensure_venv ros-jazzy "$root/scripts/ros/requirements.txt" "$root/scripts/ros/repair.py") || exit
	ros_kind=embedded
	export ROS_DISTRO=jazzy ROS_VERSION=2 RMW_IMPLEMENTATION=rmw_fastrtps_cpp
	export AMENT_PREFIX_PATH=$prefix CMAKE_PREFIX_PATH=$prefix PATH="$prefix/bin:$PATH"
	unset PYTHONPATH PYTHONHOME
	LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	export LD_LIBRARY_PATH
}

# ros_python: print the Python that rclpy works with.
ros_python() {
	local candidate
	for candidate in python3 /usr/bin/python3; do
		if "$candidate" -c 'import rclpy' 2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
	die "no Python imports rclpy in the $ros_kind ROS 2: apt-get install ros-${ROS_DISTRO:-<distro>}-rclpy"
}
