package tests

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// basics are the programs that scripts/setup takes for granted on any Linux.
var basics = []string{"bash", "env", "dirname", "basename", "cat", "sed", "awk", "grep", "sort", "head", "tail", "cut", "tr",
	"paste", "sha256sum", "uname", "mkdir", "rm", "mv", "cp", "cmp", "comm", "find", "touch", "flock"}

// prerequisites are those that a person has to install.
var prerequisites = []string{"go", "git", "gcc", "g++", "cmake", "ninja"}

// machine is a make-believe computer on which scripts/setup is run: its programs, and nothing in its cache.
type machine struct {
	bin, home string
	env       []string
}

// newMachine has links to the basics and to the prerequisites except those named. Go's telemetry is off: a go command
// leaves a process behind for it, which may still write into home while the test takes that away.
func newMachine(t *testing.T, without ...string) *machine {
	t.Helper()
	m := &machine{bin: t.TempDir(), home: t.TempDir()}
	telemetry := filepath.Join(m.home, ".config", "go", "telemetry") // os.UserConfigDir, as golang.org/x/telemetry finds it
	if err := os.MkdirAll(telemetry, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(append([]string{}, basics...), prerequisites...) {
		if strings.Contains(" "+strings.Join(without, " ")+" ", " "+name+" ") {
			continue
		}
		if found, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(found, filepath.Join(m.bin, name)); err != nil {
				t.Fatal(err)
			}
		} else {
			m.program(t, name, "exit 0") // its absence is not what this test is about
		}
	}
	m.env = []string{"PATH=" + m.bin, "HOME=" + m.home, "ROBOT_OTA_CACHE=" + filepath.Join(m.home, "cache"),
		"ROBOT_OTA_ROS=embedded", "GOTOOLCHAIN=local", "GOCACHE=" + filepath.Join(m.home, "go-build")}
	return m
}

// program puts a shell script of this name on the machine.
func (m *machine) program(t *testing.T, name, script string) {
	t.Helper()
	text := "#!" + filepath.Join(m.bin, "bash") + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// setup runs scripts/setup ros, which has to fail, and returns what it said.
func (m *machine) setup(t *testing.T, env ...string) string {
	t.Helper()
	var out bytes.Buffer
	command := exec.CommandContext(t.Context(), "../scripts/setup", "ros")
	command.Env = append(append([]string{}, m.env...), env...)
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("scripts/setup ended with %v, want exit code 1; it said:\n%s", err, &out)
	}
	return out.String()
}

// oneLine checks that the message is a single line that holds all of want.
func oneLine(t *testing.T, got string, want ...string) {
	t.Helper()
	if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "setup: ") {
		t.Errorf("said:\n%swant one line that starts with \"setup: \"", got)
	}
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("said:\n%swant %q in it", got, part)
		}
	}
}

func TestMissingPrerequisiteIsNamed(t *testing.T) {
	how := map[string]string{"go": "install Go 1.26", "git": "apt-get install git", "gcc": "apt-get install build-essential",
		"g++": "apt-get install build-essential", "cmake": "apt-get install cmake", "ninja": "apt-get install ninja-build"}
	for _, name := range prerequisites {
		t.Run(name, func(t *testing.T) {
			oneLine(t, newMachine(t, name).setup(t), name+" is missing: ", how[name])
		})
	}
}

func TestOldGoIsNamed(t *testing.T) {
	m := newMachine(t, "go")
	m.program(t, "go", "echo go1.22.1")
	oneLine(t, m.setup(t), "Go is 1.22.1", "1.26", "is needed")
}

// TestUnfitPythonIsNamed lets a real Python believe that it is another.
func TestUnfitPythonIsNamed(t *testing.T) {
	python := realPython(t)
	tests := []struct{ name, pretend, want string }{
		{"too old", "sys.version_info = (3, 9, 2)", "is 3.9, 3.10 to 3.13 is needed"},
		{"too new", "sys.version_info = (3, 14, 0)", "is 3.14, 3.10 to 3.13 is needed"},
		{"no venv", "sys.version_info = (3, 11, 0); sys.modules['ensurepip'] = None", "has no venv (apt-get install python3-venv)"},
		{"no headers", "sys.version_info = (3, 11, 0); import sysconfig; paths = sysconfig.get_paths(); " +
			"paths['include'] = '/nowhere'; sysconfig.get_paths = lambda *a, **k: paths",
			"has no Python.h (apt-get install python3-dev)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.program(t, "python3", "shift; exec "+python+` -c "import sys; `+test.pretend+
				`; sys.argv[0:1] = ['-']; exec(sys.stdin.read())" "$@"`)
			oneLine(t, m.setup(t, "PYTHON="+filepath.Join(m.bin, "python3")), test.want, "apt-get install python3")
		})
	}
}

func TestMissingPythonIsNamed(t *testing.T) {
	m := newMachine(t)
	oneLine(t, m.setup(t, "PYTHON=/nowhere/python3"), "PYTHON=/nowhere/python3", "is missing", "apt-get install python3")
}

func TestUnusableFoldersAreNamed(t *testing.T) {
	m := newMachine(t)
	said := m.setup(t, "ROBOT_OTA_ROS=/nowhere/jazzy")
	oneLine(t, said, "ROBOT_OTA_ROS=/nowhere/jazzy", "there is no /nowhere/jazzy/setup.bash", "ROBOT_OTA_ROS=embedded")
}

// TestInterruptedInstallIsRecognised: the first try cannot reach PyPI and leaves half an installation; the second sees
// that it is not whole and does not use it. Both say what to do.
func TestInterruptedInstallIsRecognised(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("the embedded ROS 2 exists for x86_64 only")
	}
	m := newMachine(t)
	env := []string{"PYTHON=" + realPython(t), "PIP_NO_INDEX=1", "PIP_CONFIG_FILE=/dev/null"}
	first := m.setup(t, env...)
	for _, want := range []string{"installing from PyPI (is it reachable? then run this again) failed", ".log"} {
		if !strings.Contains(first, want) {
			t.Errorf("first try said:\n%swant %q in it", first, want)
		}
	}
	if strings.Contains(first, "is not whole") {
		t.Errorf("first try said:\n%snothing was there yet", first)
	}
	if second := m.setup(t, env...); !strings.Contains(second, "is not whole: setting it up again") {
		t.Errorf("second try said:\n%swant that the first was recognised as not whole", second)
	}
	oneLine(t, m.setup(t, append(env, "ROBOT_OTA_CACHE=/dev/null/x")...), "the cache folder /dev/null/x", "set ROBOT_OTA_CACHE")
}

// realPython returns the interpreter behind what may be a version manager's stand-in.
func realPython(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("ROBOT_OTA_PYTHON"); named != "" { // the one that make has set up stands on it
		out, err := exec.CommandContext(t.Context(), named, "-c", "import os, sys; print(os.path.realpath(sys._base_executable))").Output()
		if err != nil {
			t.Fatalf("%s does not run: %v", named, err)
		}
		return strings.TrimSpace(string(out))
	}
	out, err := exec.CommandContext(t.Context(), "python3", "-c", "import os, sys; print(os.path.realpath(sys._base_executable))").Output()
	if err != nil {
		t.Skip("no python3 here, which is a prerequisite of what this test is about")
	}
	return strings.TrimSpace(string(out))
}
