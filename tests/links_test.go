package tests

import (
	"os/exec"
	"strings"
	"testing"
)

// What the agent links is in memory as long as it runs, whether it is used or not: what belongs to servers, to tests and
// to profiling does not belong there.
func TestWhatTheAgentDoesNotLink(t *testing.T) {
	unwanted := []string{
		"database/sql", "expvar", "html/template", "net/http/pprof", "runtime/pprof", "runtime/trace", "testing",
		"github.com/jackc/pgx", "github.com/mochi-mqtt", "github.com/pressly/goose", "github.com/prometheus", "modernc.org",
		module + "fleet", module + "sim",
	}
	for _, tags := range []string{"", "ros2"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, "../agent/cmd/ota-agent").Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		if len(linked) < 100 {
			t.Fatalf("go list found %d packages only: %v", len(linked), linked)
		}
		for _, l := range linked {
			for _, u := range unwanted {
				if l == u || strings.HasPrefix(l, u+"/") {
					t.Errorf("with tags %q the agent links %s", tags, l)
				}
			}
		}
	}
}
