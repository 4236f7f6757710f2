package mqttlink

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

var rewrite = flag.Bool("update", false, "write the contract's files anew")

// What goes out is what the files of tests/contract hold, which the fleet's
// ingest reads in its tests: neither side changes without the other.
func TestContract(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 7, 890123000, time.UTC)
	mark := Stamp{Epoch: "jk7ucb57h7", Seq: 3<<32 + 5}
	installed := update.Installed{Slot: "ota_0", Version: version("0.2.0"), AppSHA256: "aa11"}
	link := &Link{cfg: Config{RobotID: "r1", SKU: "standard", Version: "1.4.0",
		Keys:  func() Keys { return Keys{Keyring: 7, Trusted: []string{"aa"}, Revoked: []string{"bb"}, Firmware: "aa"} },
		About: func() About { return About{Companion: version("0.2.0"), Protocol: 1, OTAState: "valid"} },
	}}
	status := link.status(update.Status{
		State: update.Downloading, Since: when, JobID: "job-1", Kind: update.KindUpdate, Origin: update.FromMQTT, Command: "c-1",
		Running: installed, Target: version("0.2.1"), Slot: "ota_1", Progress: 0.5, BytesDone: 500, BytesTotal: 1000, Rate: 100, Message: "half of it",
	})
	status.At, status.Stamp = when, mark
	before := update.Job{ID: "job-1", State: update.RollingBack}
	after := update.Job{
		ID: "job-1", Kind: update.KindUpdate, State: update.RolledBack, Request: update.Request{Origin: update.FromSchedule, Command: "c-1"},
		Image: update.Image{Version: version("0.2.1"), AppSHA256: "bb22"}, From: installed, To: "ota_1",
		Downloaded: 41_895, Patched: true,
		Reasons:  []preflight.Reason{{Code: "battery_low", Text: "the battery is at 40 %"}},
		Failure:  &update.Failure{State: update.Observing, Code: watch.CodeEStop, Text: "emergency stop without an operator's action"},
		Evidence: []string{"odometry 50.0 Hz before the update, 49.9 Hz since"},
	}
	transition, _ := transition(before, after, "update.Restored", when)
	transition.ID, transition.Seq, transition.RobotID = "jk7ucb57h7-12", 12, "r1"
	done := followed(message{verb: verbRollback}, command{id: "c-2"}, "job-2", when)
	done.ID, done.Seq, done.RobotID = "jk7ucb57h7-13", 13, "r1"
	refused := verdict(message{verb: verbCancel}, command{id: "job-1"}, refuse(codeNothing, "no update is going on"), when)
	refused.ID, refused.Seq, refused.RobotID = "jk7ucb57h7-14", 14, "r1"
	for name, document := range map[string]any{
		"status":           status,
		"event-transition": transition,
		"event-followed":   done,
		"event-refused":    refused,
		"online":           Online{Online: true, Agent: "1.4.0", At: when, RobotID: "r1", Stamp: mark},
		"online-will":      Online{Reason: "connection_lost", At: when, RobotID: "r1", Stamp: mark},
		"health": watch.Health{
			Schema: watch.HealthSchema, RobotID: "r1", SKU: "standard", Firmware: version("0.2.1"), Epoch: "5bsltilkhbia", Seq: 42, At: when, Seconds: 3600,
			Counters: watch.Counters{OK: 50, Warn: 4, Error: 3, Silent: 2, Odometry: 180000, Diagnostics: 7200, Battery: 3600,
				Used: 0.125, Discharging: 3500, EStops: 1, Reboots: 2, Tries: 120, Failures: 3},
		},
	} {
		compact, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := json.Indent(&got, compact, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		path := filepath.Join("../../../tests/contract", name+".json")
		if *rewrite {
			if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is not what the fleet reads (go test -update writes it anew; then look at fleet/internal/ingest):\n%s", path, got.Bytes())
		}
	}
}
