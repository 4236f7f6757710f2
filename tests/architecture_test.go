package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/robot-platform/robot-ota/"

// layer says what the packages below a path (relative to the module) are, and with that what they may import.
type layer struct {
	name string
	// paths are packages; one that ends in /... stands for everything below it as well.
	paths []string
	// except are paths that belong to another layer although they lie below.
	except []string
	// may lists the layers of this module that may be imported; a package may always import its own sub-packages.
	may []string
	// pure packages see neither the machine nor the clock.
	pure bool
	// cgo is allowed, and with it rclgo and the generated bindings.
	cgo bool
}

// layers is the architecture: cmd → engine → pure cores → firmware; adapters hang beside the engine and never import
// each other; the simulator shares nothing with the agent, so that a shared mistake cannot hide.
func layers() []layer {
	firmware := []string{"firmware"}
	core := []string{"firmware", "core"}
	return []layer{
		{name: "firmware", paths: []string{"firmware/..."}, except: []string{"firmware/cmd/..."}, may: firmware, pure: true},
		{name: "core", paths: []string{"agent/internal/update", "agent/internal/preflight", "agent/internal/watch",
			"agent/internal/robot", "agent/internal/doctor"}, may: core, pure: true},
		{name: "engine", paths: []string{"agent/internal/engine"}, may: core},
		{name: "bindings", paths: []string{"internal/rosmsgs/...", "internal/rcl"}, may: []string{"bindings"}, cgo: true},
		{name: "ros adapter", paths: []string{"agent/internal/rosnode/..."},
			may: append([]string{"bindings", "shared"}, core...), cgo: true},
		{name: "adapter", paths: []string{"agent/internal/..."},
			except: []string{"agent/internal/rosnode/...", "agent/internal/engine",
				"agent/internal/update", "agent/internal/preflight", "agent/internal/watch", "agent/internal/robot",
				"agent/internal/esp32", "agent/internal/httpguard", "agent/internal/doctor/...", "agent/internal/daytest", "agent/internal/lies", "agent/internal/cuttest", "agent/internal/killtest"},
			may: append([]string{"shared", "transport"}, core...)},
		// The one guarded way out to servers, below the adapters that use it.
		{name: "transport", paths: []string{"agent/internal/httpguard"}, may: []string{"firmware", "shared"}},
		// Puts adapters together, to one port of the engine and to the doctor's checks; commands import it, nothing else does.
		{name: "assembly", paths: []string{"agent/internal/esp32", "agent/internal/doctor/check"},
			may: append([]string{"engine", "adapter", "transport", "shared"}, core...)},
		// Robots in one process for the fleet side to be tried with: the agent's cores, and the words that it has for the fleet.
		{name: "simulated robots", paths: []string{"agent/simulated"}, may: append([]string{"adapter"}, core...)},
		{name: "shared", paths: []string{"internal/..."}, except: []string{"internal/rosmsgs/...", "internal/rcl"}, may: []string{"firmware", "shared"}},
		{name: "fleet core", paths: []string{"fleet/internal/release", "fleet/internal/figures", "fleet/internal/rollout"}, may: []string{"firmware", "fleet core"}, pure: true},
		{name: "fleet store", paths: []string{"fleet/internal/store/..."}, may: []string{"firmware", "fleet core", "shared"}},
		{name: "fleet adapter", paths: []string{"fleet/internal/..."}, except: []string{"fleet/internal/release", "fleet/internal/figures", "fleet/internal/rollout", "fleet/internal/store/..."},
			may: []string{"firmware", "fleet core", "fleet store", "shared"}},
		{name: "simulator", paths: []string{"sim/..."}, except: []string{"sim/cmd/...", "sim/robot/ros/..."},
			may: []string{"simulator"}},
		{name: "simulator's ros adapter", paths: []string{"sim/robot/ros/..."},
			may: []string{"simulator", "bindings"}, cgo: true},
		{name: "command", paths: []string{"agent/cmd/...", "agent/bench", "fleet/bench", "fleet/cmd/...", "firmware/cmd/...", "sim/cmd/..."},
			may: []string{"firmware", "core", "engine", "assembly", "adapter", "transport", "ros adapter", "shared", "fleet core", "fleet store", "fleet adapter", "simulator",
				"simulator's ros adapter", "simulated robots", "command"}},
		// What the agent's memory and CPU are held against: nodes of rclgo alone.
		{name: "bare nodes", paths: []string{"agent/bench/bare", "agent/bench/deaf"}, may: []string{"bindings"}, cgo: true},
		{name: "project", paths: []string{"tests/...", "agent/internal/daytest", "agent/internal/lies", "agent/internal/cuttest", "agent/internal/killtest"}},
	}
}

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
}

func TestDependencyDirections(t *testing.T) {
	for _, tags := range []string{"", "ros2"} {
		t.Run("tags="+tags, func(t *testing.T) {
			packages := list(t, tags)
			if len(packages) < 10 {
				t.Fatalf("go list found %d packages of the module only: %v", len(packages), packages)
			}
			for _, fault := range violations(packages) {
				t.Error(fault)
			}
		})
	}
}

func TestPureCoresDoNotReadTheClock(t *testing.T) {
	for _, p := range list(t, "") {
		if l, ok := layerOf(p.ImportPath); !ok || !l.pure {
			continue
		}
		for _, name := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			uses, err := clockUses(name, src)
			if err != nil {
				t.Fatal(err)
			}
			for _, use := range uses {
				t.Errorf("%s: %s: a pure package gets the time as an argument", p.ImportPath, use)
			}
		}
	}
}

// TestRulesCatch shows that each rule can fail, on packages made up for it.
func TestRulesCatch(t *testing.T) {
	tests := []struct {
		name string
		pkg  pkg
		want string
	}{
		{"core imports os", pkg{ImportPath: module + "agent/internal/update", Imports: []string{"os"}}, "imports os"},
		{"firmware imports net/http", pkg{ImportPath: module + "firmware/image", Imports: []string{"net/http"}}, "imports net/http"},
		{"core imports a logger", pkg{ImportPath: module + "agent/internal/watch", Imports: []string{"log/slog"}}, "imports log/slog"},
		{"core imports another module", pkg{ImportPath: module + "agent/internal/update", Imports: []string{"github.com/x/y"}}, "imports github.com/x/y"},
		{"core imports an adapter", pkg{ImportPath: module + "agent/internal/update", Imports: []string{module + "agent/internal/fetch"}}, "core imports adapter"},
		{"adapter imports an adapter", pkg{ImportPath: module + "agent/internal/esprom", Imports: []string{module + "agent/internal/serialport"}}, "never import each other"},
		{"adapter imports the ros adapter", pkg{ImportPath: module + "agent/internal/fetch", Imports: []string{module + "agent/internal/rosnode"}}, "adapter imports ros adapter"},
		{"the store imports an adapter of the fleet", pkg{ImportPath: module + "fleet/internal/store", Imports: []string{module + "fleet/internal/api"}}, "fleet store imports fleet adapter"},
		{"a fleet adapter imports another", pkg{ImportPath: module + "fleet/internal/api", Imports: []string{module + "fleet/internal/ingest"}}, "never import each other"},
		{"the fleet imports the agent", pkg{ImportPath: module + "fleet/internal/api", Imports: []string{module + "agent/internal/update"}}, "fleet adapter imports core"},
		{"engine imports an adapter", pkg{ImportPath: module + "agent/internal/engine", Imports: []string{module + "agent/internal/journal"}}, "engine imports adapter"},
		{"adapter uses cgo", pkg{ImportPath: module + "agent/internal/serialport", CgoFiles: []string{"tty.go"}}, "uses cgo"},
		{"adapter uses rclgo", pkg{ImportPath: module + "agent/internal/control", Imports: []string{"github.com/tiiuae/rclgo/pkg/rclgo"}}, "uses cgo"},
		{"simulator imports the agent", pkg{ImportPath: module + "sim/espsim", Imports: []string{module + "agent/internal/esprom"}}, "simulator imports adapter"},
		{"simulator shares the image code", pkg{ImportPath: module + "sim/espsim", Imports: []string{module + "firmware/image"}}, "simulator imports firmware"},
		{"unknown place", pkg{ImportPath: module + "misc"}, "belongs to no layer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := violations([]pkg{test.pkg})
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("violations = %q, want one with %q", got, test.want)
			}
		})
	}
	uses, err := clockUses("x.go", []byte("package x\nimport \"time\"\nvar a, b = time.Now(), time.Second\n"))
	if err != nil || len(uses) != 1 {
		t.Errorf("clockUses = %v, %v, want the one use of time.Now", uses, err)
	}
}

// TestOneRclgo: the generator of the bindings is a module of its own; its rclgo must be the product's.
func TestOneRclgo(t *testing.T) {
	version := func(dir string) string {
		return strings.TrimSpace(goList(t, dir, "-m", "-f", "{{.Version}}", "github.com/tiiuae/rclgo"))
	}
	if product, generator := version(".."), version("../scripts/ros/rclgo-gen"); product != generator {
		t.Errorf("go.mod has rclgo %s, scripts/ros/rclgo-gen/go.mod has %s: set both to the same", product, generator)
	}
}

// violations returns one line for each import or file that the layers do not allow.
func violations(packages []pkg) []string {
	var faults []string
	for _, p := range packages {
		own, ok := layerOf(p.ImportPath)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s belongs to no layer of tests/architecture_test.go: give it one", p.ImportPath))
			continue
		}
		if !own.cgo && usesCgo(p) {
			faults = append(faults, fmt.Sprintf("%s uses cgo, rclgo or its bindings: only the ros adapters may", p.ImportPath))
			continue
		}
		for _, imported := range p.Imports {
			if fault := importFault(p.ImportPath, own, imported); fault != "" {
				faults = append(faults, fault)
			}
		}
	}
	return faults
}

func usesCgo(p pkg) bool {
	return len(p.CgoFiles) > 0 || slices.ContainsFunc(p.Imports, func(i string) bool {
		return strings.HasPrefix(i, "github.com/tiiuae/rclgo/") || strings.HasPrefix(i, module+"internal/rosmsgs") ||
			i == module+"internal/rcl"
	})
}

func importFault(importer string, own layer, imported string) string {
	if own.pure && impure(imported) {
		return fmt.Sprintf("%s imports %s: a pure package sees no file, network, process, log or C code", importer, imported)
	}
	if own.pure && foreign(imported) {
		return fmt.Sprintf("%s imports %s: a pure package leans on the standard library alone", importer, imported)
	}
	other, ok := layerOf(imported)
	if !ok || sameUnit(importer, imported) {
		return ""
	}
	switch {
	case own.name == other.name && strings.HasSuffix(own.name, "adapter"):
		return fmt.Sprintf("%s imports %s: adapters never import each other", importer, imported)
	case !slices.Contains(own.may, other.name):
		return fmt.Sprintf("%s imports %s: %s imports %s", importer, imported, own.name, other.name)
	}
	return ""
}

// impure tells packages that reach out of the process. Parsing of URLs and addresses (net/url, net/netip) does not.
func impure(imported string) bool {
	if imported == "net/url" || imported == "net/netip" {
		return false
	}
	first, _, _ := strings.Cut(imported, "/")
	return slices.Contains([]string{"os", "net", "log", "syscall", "plugin", "C"}, first) ||
		slices.Contains([]string{"runtime/cgo", "io/ioutil", "golang.org/x/sys/unix"}, imported)
}

// foreign tells packages of other modules: their import path starts with a host name.
func foreign(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(imported, module)
}

// sameUnit: is one of the two packages below the other?
func sameUnit(a, b string) bool {
	return strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")
}

// layerOf returns the layer of a package of this module; false for any other package.
func layerOf(importPath string) (layer, bool) {
	relative, ok := strings.CutPrefix(importPath, module)
	if !ok {
		return layer{}, false
	}
	for _, l := range layers() {
		if within(relative, l.paths) && !within(relative, l.except) {
			return l, true
		}
	}
	return layer{}, false
}

func within(relative string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		below, ok := strings.CutSuffix(pattern, "/...")
		return relative == below || ok && strings.HasPrefix(relative, below+"/")
	})
}

// clockUses returns the places where a file asks the time package for the time or for a wait.
func clockUses(name string, src []byte) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	asks := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	var uses []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := selector.X.(*ast.Ident); ok && of.Name == "time" && slices.Contains(asks, selector.Sel.Name) {
			uses = append(uses, fmt.Sprintf("%s uses time.%s", files.Position(selector.Pos()), selector.Sel.Name))
		}
		return true
	})
	return uses, nil
}

// list returns the packages of the module that are built with these tags.
func list(t *testing.T, tags string) []pkg {
	t.Helper()
	out := goList(t, "..", "-e", "-deps", "-tags", tags, "-json=ImportPath,Dir,Imports,GoFiles,CgoFiles", "./...")
	var packages []pkg
	decoder := json.NewDecoder(strings.NewReader(out))
	for {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) && len(p.GoFiles)+len(p.CgoFiles) > 0 {
			packages = append(packages, p)
		}
	}
}

func goList(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	command.Dir = path.Clean(dir)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}
