package emergency

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestLog(t *testing.T) {
	noon := storetest.Noon()
	zone := time.FixedZone("CET", 3600)
	chapters := []Chapter{
		{Incident: store.Incident{ID: "halt-basic-0.2.0", Kind: "halt", Title: "basic-0.2.0 is halted", Version: v("0.2.0"), SKUs: []string{"basic", "standard"},
			Opened: noon.In(zone), OpenedBy: "ann", Reason: "it *bites*", Closed: noon.Add(90 * time.Minute), ClosedBy: "bob"},
			Entries: []store.Entry{{At: noon.In(zone), By: "ann", Text: "withdrawn"}, {At: noon.Add(time.Minute), Text: "complied: r_1"}}},
		{Incident: store.Incident{ID: "key_compromise-0a", Kind: "key_compromise", Title: "stolen", Opened: noon.Add(time.Hour), OpenedBy: "ann",
			Reason: "a laptop\n# was [lost](http://evil)"}},
	}
	golden := filepath.Join("testdata", "incidents.md")
	got := Log(chapters)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(must(os.ReadFile(golden))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Log(nil); !strings.HasSuffix(got, "\nNone.\n") {
		t.Errorf("got %s", got)
	}
}
