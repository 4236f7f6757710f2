# shellcheck shell=bash
# The programs that must be there before anything can be set up, and how to get them.
# Sourced after common.sh.

# Oldest and newest minor version of Python 3 that PyPI's ROS 2 wheels exist for.
python_oldest=10
python_newest=13

# need PROGRAM HOW: fail with one line when PROGRAM is not there.
need() {
	command -v "$1" >/dev/null || die "$1 is missing: $2"
}

# need_go: Go in at least the version that go.mod asks for (an older one that may fetch its successor does, too).
need_go() {
	local wanted have
	wanted=$(awk '$1 == "go" { print $2; exit }' "$root/go.mod")
	need go "install Go $wanted or newer, see go.dev/doc/install"
	have=$(cd "$root" && go env GOVERSION 2>/dev/null) ||
		die "$(command -v go) is older than Go $wanted: install Go $wanted or newer, see go.dev/doc/install"
	have=${have#go}
	have=${have%%[!0-9.]*}
	[[ $(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1) == "$wanted" ]] ||
		die "Go is $have, $wanted is needed: install Go $wanted or newer, see go.dev/doc/install"
}

need_build_tools() {
	need git "apt-get install git"
	need gcc "apt-get install build-essential"
	need g++ "apt-get install build-essential"
	need cmake "apt-get install cmake"
	need ninja "apt-get install ninja-build"
}

# python_candidates: every python3 that might do: the one that PYTHON names, or the default, then those of pyenv and of the
# system.
python_candidates() {
	local minor
	if [[ -n ${PYTHON:-} ]]; then
		printf '%s\n' "$PYTHON"
		return
	fi
	printf '%s\n' python3
	for ((minor = python_newest; minor >= python_oldest; minor--)); do
		printf '%s\n' "python3.$minor" "/usr/bin/python3.$minor" "/usr/local/bin/python3.$minor"
		compgen -G "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor.*/bin/python3" || true
	done
}

# python_fault PYTHON: why it will not do, or nothing when it will.
python_fault() {
	env -u PYTHONPATH -u PYTHONHOME "$1" - "$python_oldest" "$python_newest" 2>/dev/null <<-'PY' || printf 'does not run'
		import os, sys, sysconfig
		oldest, newest = map(int, sys.argv[1:])
		if not (3, oldest) <= sys.version_info[:2] <= (3, newest):
		    print(f"is {sys.version_info[0]}.{sys.version_info[1]}, 3.{oldest} to 3.{newest} is needed", end="")
		else:
		    try:
		        import ensurepip, venv
		    except ImportError:
		        print("has no venv (apt-get install python3-venv)", end="")
		    else:
		        if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
		            print("has no Python.h (apt-get install python3-dev)", end="")
	PY
}

# find_python: print the path of a Python that can carry the embedded ROS 2: the one itself, not a link or an environment.
find_python() {
	local candidate path fault first=
	while read -r candidate; do
		path=$(command -v "$candidate") || continue
		fault=$(python_fault "$path")
		if [[ -z $fault ]]; then
			env -u PYTHONPATH -u PYTHONHOME "$path" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
			return
		fi
		first=${first:-"$path $fault"}
	done < <(python_candidates)
	die "${PYTHON:+PYTHON=$PYTHON: }Python 3.$python_oldest to 3.$python_newest with venv and headers is missing${first:+ ($first)}: apt-get install python3 python3-venv python3-dev"
}
