//go:build ros2

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageInCleanDebian builds the agent's package, and installs, upgrades, removes and purges it in a minimal Debian.
func TestPackageInCleanDebian(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("installing packages into a root needs root")
	}
	for _, program := range []string{"dpkg-deb", "debootstrap", "unshare"} {
		needs(t, program)
	}
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "../scripts/deb", "agent", folder)
	build.Env = append(os.Environ(), "DEB_VERSION=1.0.0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("scripts/deb: %v\n%s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(folder, "robot-ota_1.0.0_*.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("built %v, %v", packages, err)
	}
	base, err := exec.CommandContext(t.Context(), "../scripts/setup", "debian").Output()
	if err != nil {
		t.Fatalf("scripts/setup debian: %v", err)
	}
	out, err := run(t, "unshare", "--mount", "--pid", "--fork", "--kill-child", "testdata/try-package",
		strings.TrimSpace(string(base)), packages[0], folder, rosFolder(t))
	if err != nil || !strings.Contains(out, "all done") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(out)
}

// rosFolder is where the ROS 2 of this build lies.
func rosFolder(t *testing.T) string {
	t.Helper()
	for _, prefix := range filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH")) {
		if _, err := os.Stat(filepath.Join(prefix, "lib/librcl.so")); err == nil {
			return prefix
		}
	}
	t.Fatal("no folder of AMENT_PREFIX_PATH has lib/librcl.so")
	return ""
}
