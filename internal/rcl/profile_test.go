//go:build ros2

package rcl_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// The shipped Fast DDS profile makes queues small at the start and loses
// nothing: with it, messages arrive as without. Fast DDS, which complains of
// what it does not understand and goes on, finds nothing in it.
func TestFastDDSProfile(t *testing.T) {
	if rmw := os.Getenv("RMW_IMPLEMENTATION"); rmw != "" && !strings.Contains(rmw, "fastrtps") {
		t.Skipf("the middleware is %s", rmw)
	}
	shipped := "../../agent/etc/fastdds.xml"
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.xml")
	if err := os.WriteFile(wrong, bytes.ReplaceAll(text, []byte("allocated_samples"), []byte("invented_samples")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		profile string
		faults  bool
	}{{shipped, false}, {wrong, true}} {
		file, err := filepath.Abs(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		test := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^(TestArrivals|TestBatches)$", "-test.count", "1")
		test.Env = append(rostest.Environment(t), "FASTRTPS_DEFAULT_PROFILES_FILE="+file, "FASTDDS_DEFAULT_PROFILES_FILE="+file)
		out, err := test.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", c.profile, err, out)
		}
		if faults := bytes.Contains(out, []byte("XMLPARSER")); faults != c.faults {
			t.Errorf("%s: Fast DDS finds faults: %v, expected %v\n%s", c.profile, faults, c.faults, out)
		}
	}
}
