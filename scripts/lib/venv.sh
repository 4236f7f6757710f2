# shellcheck shell=bash
# Python environments in the cache: made once, recognised when whole, made again when not.
# Sourced after common.sh and prerequisites.sh.

# Raise it when environments are made in another way, so that those of the old way are not used.
venv_layout=1

# ensure_venv NAME REQUIREMENTS [FINISH]: print the path of a virtual environment that holds exactly REQUIREMENTS.
# FINISH is a Python script that the environment's Python runs on the environment's path once all is installed. An
# environment is used only with its manifest, which is written last: one that was interrupted or damaged is made again.
ensure_venv() {
	local name=$1 requirements=$2 finish=${3:-} python dir
	python=$(find_python) || exit
	dir=$cache/$name-$(digest "$venv_layout" "$requirements" "$python" ${finish:+"$finish"})
	if ! venv_whole "$dir"; then
		locked make_venv "$name" "$dir" "$python" "$requirements" "$finish" || exit
	fi
	printf '%s\n' "$dir"
}

# venv_whole DIR: is it set up and undamaged? Says what is wrong when not, unless it was never there.
venv_whole() {
	[[ -f $1/.manifest ]] && env -u PYTHONPATH -u PYTHONHOME "$1/bin/python3" "$root/scripts/lib/manifest.py" check "$1"
}

make_venv() {
	local name=$1 dir=$2 python=$3 requirements=$4 finish=$5 log=$2.log
	if venv_whole "$dir" 2>/dev/null; then return; fi # another set-up was quicker
	if [[ -e $dir ]]; then
		say "$name in $dir is not whole: setting it up again"
		rm -rf -- "$dir"
	fi
	say "$name: installing $(grep -c '==' "$requirements") pinned packages from PyPI into $dir"
	: >"$log"
	unset PYTHONPATH PYTHONHOME
	logged "$log" "making a virtual environment with $python" "$python" -m venv "$dir"
	pip_install "$log" "$dir" "$requirements"
	if [[ -n $finish ]]; then logged "$log" "$finish" "$dir/bin/python3" "$finish" "$dir"; fi
	logged "$log" "listing the files of $dir (is the disk full?)" \
		"$dir/bin/python3" "$root/scripts/lib/manifest.py" write "$dir"
	say "$name: ready"
}

# Everything is pinned, so no dependency is looked up. setuptools comes first: a package without a wheel is built with it.
pip_install() {
	local log=$1 pip=("$2/bin/python3" -m pip install --disable-pip-version-check --no-input --no-deps) requirements=$3
	local hint="installing from PyPI (is it reachable? then run this again)"
	local builder
	builder=$(grep '^setuptools==' "$requirements" || true)
	if [[ -n $builder ]]; then logged "$log" "$hint" "${pip[@]}" "$builder"; fi
	logged "$log" "$hint" "${pip[@]}" --no-build-isolation --requirement "$requirements"
}
