//go:build ros2

package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workspace is a ROS 2 workspace with a copy of this repository in src/robot-ota.
type workspace struct {
	dir    string
	colcon string
}

func newWorkspace(t *testing.T) *workspace {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../scripts/setup", "colcon").Output()
	if err != nil {
		t.Fatalf("scripts/setup colcon: %v", err)
	}
	w := &workspace{dir: t.TempDir(), colcon: strings.TrimSpace(string(out))}
	copyTree(t, filepath.Join(w.dir, "src", "robot-ota"))
	return w
}

// copyTree copies what git tracks or would track.
func copyTree(t *testing.T, to string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-co", "--exclude-standard")
	list.Dir = ".."
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(names)) {
		name = strings.TrimSpace(name)
		from := filepath.Join("..", name)
		info, err := os.Stat(from)
		if err != nil || !info.Mode().IsRegular() {
			continue // removed in the work tree, not yet in git
		}
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// write puts a file into the workspace.
func (w *workspace) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// split returns the environment of a shell in which the ROS 2 was sourced and nothing of this repository, and the prefix
// that the set-up built our robot_interfaces into, which it leaves out.
func split(t *testing.T) (env []string, overlay string) {
	t.Helper()
	for _, prefix := range filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH")) {
		if _, err := os.Stat(filepath.Join(prefix, "share", "robot_interfaces", "srv", "OtaTrigger.srv")); err == nil {
			overlay = prefix
			break
		}
	}
	if overlay == "" {
		t.Fatal("no robot_interfaces in AMENT_PREFIX_PATH: run these tests by `make test`")
	}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "CGO_CFLAGS", "CGO_LDFLAGS", "PWD", "COLCON_PREFIX_PATH":
			continue
		case "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH":
			var kept []string
			for _, path := range filepath.SplitList(value) {
				if path != overlay && !strings.HasPrefix(path, overlay+"/") {
					kept = append(kept, path)
				}
			}
			entry = name + "=" + strings.Join(kept, ":")
		}
		env = append(env, entry)
	}
	return env, overlay
}

// build runs `colcon build`, plain but for the arguments given, and returns what it said.
func (w *workspace) build(t *testing.T, args ...string) string {
	t.Helper()
	return w.run(t, w.colcon, append([]string{"build", "--event-handlers", "console_direct+"}, args...)...)
}

// prebuilt puts a package robot_interfaces into the workspace that installs what is there already, instead of having it
// generated and compiled once more.
func (w *workspace) prebuilt(t *testing.T, install string) {
	t.Helper()
	w.write(t, "src/robot_interfaces/package.xml", `<package format="3"><name>robot_interfaces</name><version>3.0.0</version>
<description>The fleet's own.</description><maintainer email="fleet@robot-platform.org">fleet</maintainer>
<license>Apache-2.0</license><buildtool_depend>ament_cmake</buildtool_depend>
<depend>std_msgs</depend><depend>geometry_msgs</depend><export><build_type>ament_cmake</build_type></export></package>
`)
	w.write(t, "src/robot_interfaces/CMakeLists.txt", `cmake_minimum_required(VERSION 3.16)
project(robot_interfaces LANGUAGES NONE)
find_package(ament_cmake_core REQUIRED)
`+install+"\nament_package()\n")
}

// sourced runs a command in a shell in which the workspace was sourced.
func (w *workspace) sourced(t *testing.T, script string) string {
	t.Helper()
	return w.run(t, "bash", "-c", "source install/setup.bash\n"+script)
}

func (w *workspace) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = w.dir
	command.Env, _ = split(t)
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		said := out.String()
		t.Fatalf("%s: %v\n%s", name, err, said[max(0, len(said)-4000):])
	}
	return out.String()
}

// agent starts the installed agent as `ros2 run robot_ota ota-agent --help` would: ros2cli is not on PyPI, but what it
// does is look the package up in the index and run the program of that name in lib/<package>.
const agent = `prefix=$(python3 -c 'from ament_index_python.packages import get_package_prefix as p; print(p("robot_ota"))')
"$prefix/lib/robot_ota/ota-agent" --help`

// interface prints the fields of a type and the folder it comes from.
const interfaceOf = `python3 -c '
import robot_interfaces.msg as m, robot_interfaces.srv as s
print(s.OtaTrigger.Request.get_fields_and_field_types(), m.__file__)'
`

func TestColconBuildsInterfacesAndAgent(t *testing.T) {
	w := newWorkspace(t)
	if said := w.build(t); !strings.Contains(said, "No robot_interfaces found: building it out of msgs/") {
		t.Errorf("colcon build said:\n%s", said)
	}
	if got := w.sourced(t, interfaceOf); !strings.Contains(got, "'sha256': 'string'") || !strings.Contains(got, "install/robot_ota/") {
		t.Errorf("OtaTrigger is %s", got)
	}
	if got := w.sourced(t, agent); !strings.Contains(got, "ota-agent") {
		t.Errorf("ota-agent --help said:\n%s", got)
	}
}

// TestColconUsesTheWorkspacesInterfaces has a workspace with a robot_interfaces that has all our types.
func TestColconUsesTheWorkspacesInterfaces(t *testing.T) {
	w := newWorkspace(t)
	_, overlay := split(t)
	w.prebuilt(t, `install(DIRECTORY "`+overlay+`/" DESTINATION . PATTERN ".manifest" EXCLUDE)`)
	if said := w.build(t); !strings.Contains(said, "Using the robot_interfaces in "+w.dir) {
		t.Errorf("colcon build said:\n%s", said)
	}
	if got := w.sourced(t, interfaceOf); !strings.Contains(got, "install/robot_interfaces/") {
		t.Errorf("OtaTrigger is %s, want that of the workspace's package", got)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "install", "robot_ota", "share", "robot_interfaces")); err == nil {
		t.Error("a second robot_interfaces was built, which hides the workspace's")
	}
	if got := w.sourced(t, agent); !strings.Contains(got, "ota-agent") {
		t.Errorf("ota-agent --help said:\n%s", got)
	}
}

// TestColconAddsToTheFleetsInterfaces has a workspace with a robot_interfaces of the fleet's own that has an
// EmergencyStopState with a field more, and none of our other types.
func TestColconAddsToTheFleetsInterfaces(t *testing.T) {
	w := newWorkspace(t)
	stop, err := os.ReadFile("../msgs/msg/EmergencyStopState.msg")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "src/robot_interfaces/msg/EmergencyStopState.msg", string(stop)+"string zone\n")
	w.write(t, "src/robot_interfaces/msg/Dock.msg", "geometry_msgs/Pose pose\n")
	w.prebuilt(t, `install(DIRECTORY msg DESTINATION share/robot_interfaces)`)
	if said := w.build(t, "--cmake-args", "-DCMAKE_BUILD_TYPE=None"); !strings.Contains(said, "building one with its types and ours") {
		t.Errorf("colcon build said:\n%s", said)
	}
	got := w.sourced(t, interfaceOf+`python3 -c '
import robot_interfaces.msg as m
print(m.EmergencyStopState.get_fields_and_field_types(), m.Dock(), m.OtaStatus())'`)
	for _, want := range []string{"'zone': 'string'", "Dock(pose=", "OtaStatus(header=", "'sha256': 'string'"} {
		if !strings.Contains(got, want) {
			t.Errorf("the types are\n%swant %q in it", got, want)
		}
	}
	if got := w.sourced(t, agent); !strings.Contains(got, "ota-agent") {
		t.Errorf("ota-agent --help said:\n%s", got)
	}
}
