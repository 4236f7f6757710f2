package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// kindOf a file of the contract.
func kindOf(name string) Kind {
	kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), "-")
	return Kind(kind)
}

// Every message that agents send is read, and means what it says.
func TestContract(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890123000, time.UTC)
	mark := stamp{"jk7ucb57h7", 3<<32 + 5}
	old := installed{"ota_0", version("0.2.0"), "aa11"}
	self := origin{"r1", "standard"}
	status := statusWord{origin: self, stamp: mark, At: at, Agent: "1.4.0", Companion: version("0.2.0"), Protocol: 1, OTAState: "valid",
		State: "downloading", JobID: "job-1", Running: old, Target: version("0.2.1")}
	status.Keys.Keyring, status.Keys.Firmware = 7, "aa"
	want := map[string]word{
		"status": status,
		"event-transition": eventWord{origin: origin{RobotID: "r1"}, ID: "jk7ucb57h7-12", Seq: 12, At: at, Kind: "transition", JobID: "job-1", Command: "c-1",
			Code: "unexplained_estop", Text: "emergency stop without an operator's action", JobKind: "update", Origin: "schedule",
			From: "rolling_back", To: "rolled_back", Running: old, Target: version("0.2.1")},
		"event-followed": eventWord{origin: origin{RobotID: "r1"}, ID: "jk7ucb57h7-13", Seq: 13, At: at, Kind: "command", JobID: "job-2", Command: "c-2",
			Topic: "commands/rollback", Verdict: "followed"},
		"event-refused": eventWord{origin: origin{RobotID: "r1"}, ID: "jk7ucb57h7-14", Seq: 14, At: at, Kind: "command", Command: "job-1",
			Topic: "commands/cancel", Verdict: "refused", Code: "nothing_to_do", Text: "no update is going on"},
		"online":      onlineWord{origin: origin{RobotID: "r1"}, stamp: mark, Online: true, Agent: "1.4.0", At: at},
		"online-will": onlineWord{origin: origin{RobotID: "r1"}, stamp: mark, Reason: "connection_lost", At: at},
		"health": healthWord{origin: self, stamp: stamp{"5bsltilkhbia", 42}, Schema: 1, Firmware: version("0.2.1"), At: at, Seconds: 3600,
			Counters: store.Counters{OK: 50, Warn: 4, Error: 3, Silent: 2, Odometry: 180000, Diagnostics: 7200, Battery: 3600,
				Used: 0.125, Discharging: 3500, EStops: 1, Reboots: 2, Tries: 120, Failures: 3}},
	}
	files, err := filepath.Glob("../../../tests/contract/*.json")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%v, %v: want %d", files, err, len(want))
	}
	for name, w := range want {
		got, err := read(Message{Robot: "r1", Kind: kindOf(name), Payload: contract(t, name)})
		if err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, w)
		}
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, tt := range map[string]struct {
		kind Kind
		text string
		code string
		why  string
	}{
		"no JSON":            {Status, `{"robot_id":`, codeMalformed, "unexpected end"},
		"another robot":      {Status, `{"robot_id":"r2","state":"idle","epoch":"e","seq":1}`, codeForeign, `its robot_id is "r2"`},
		"nobody":             {Event, `{"id":"e-1","kind":"transition"}`, codeForeign, `its robot_id is ""`},
		"no state":           {Status, `{"robot_id":"r1","epoch":"e","seq":1}`, codeMalformed, "state: is missing"},
		"no epoch":           {Status, `{"robot_id":"r1","state":"idle","seq":1}`, codeMalformed, "epoch"},
		"no number":          {Online, `{"robot_id":"r1","epoch":"e"}`, codeMalformed, "seq"},
		"a huge number":      {Online, `{"robot_id":"r1","epoch":"e","seq":18446744073709551615}`, codeMalformed, "seq"},
		"no version":         {Status, `{"robot_id":"r1","state":"idle","epoch":"e","seq":1,"running":{"version":"latest"}}`, codeMalformed, "latest"},
		"a long id":          {Event, `{"robot_id":"r1","id":"` + long + `","kind":"transition"}`, codeMalformed, "id"},
		"a line in an id":    {Event, `{"robot_id":"r1","id":"a\nb","kind":"transition"}`, codeMalformed, "id"},
		"no kind":            {Event, `{"robot_id":"r1","id":"e-1"}`, codeMalformed, "kind"},
		"another form":       {Health, `{"robot_id":"r1","schema":2,"epoch":"e","seq":1}`, codeMalformed, "schema 2"},
		"less than nothing":  {Health, `{"robot_id":"r1","schema":1,"epoch":"e","seq":1,"counters":{"reboots":-1}}`, codeMalformed, "reboots: -1"},
		"more than time has": {Health, `{"robot_id":"r1","schema":1,"epoch":"e","seq":1,"seconds":60,"counters":{"ok":30}}`, codeMalformed, "more minutes"},
		"endless charge":     {Health, `{"robot_id":"r1","schema":1,"epoch":"e","seq":1,"counters":{"used":-1e9}}`, codeMalformed, "used"},
		"no number at all":   {Health, `{"robot_id":"r1","schema":1,"epoch":"e","seq":1,"counters":{"used":1e999}}`, codeMalformed, "1e999"},
		"no time":            {Diagnostics, `{"robot_id":"r1","status":[]}`, codeMalformed, "timestamp"},
		"the year 10000":     {Diagnostics, `{"robot_id":"r1","timestamp":1e15}`, codeMalformed, "timestamp"},
		"too large":          {Event, `"` + strings.Repeat("x", MaxPayload) + `"`, codeOversized, "65536"},
		"unknown":            {Kind("doctor"), `{"robot_id":"r1"}`, codeMalformed, "no known kind"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(Message{Robot: "r1", Kind: tt.kind, Payload: []byte(tt.text)})
			var r *RefusedError
			if !errors.As(err, &r) || r.Code != tt.code || !strings.Contains(r.Why, tt.why) {
				t.Errorf("got %v, want %s: …%s…", err, tt.code, tt.why)
			}
		})
	}
}

func TestTopic(t *testing.T) {
	for topic, want := range map[string]struct {
		robot string
		kind  Kind
	}{
		"fleet/r1/ota/status": {"r1", Status}, "fleet/r-2_X/diagnostics": {"r-2_X", Diagnostics}, "fleet/r1/ota/online": {"r1", Online},
		"fleet/r1/ota/event": {"r1", Event}, "fleet/r1/ota/health": {"r1", Health},
		"fleet/r1/ota/doctor": {}, "fleet/r1/commands/ota": {}, "fleet//ota/status": {}, "fleet/r 1/ota/status": {}, "other/r1/ota/status": {}, "fleet/r1": {}, "": {},
	} {
		robot, kind, ok := Topic(topic)
		if robot != want.robot || kind != want.kind || ok != (want.robot != "") {
			t.Errorf("%q: %q %q %v", topic, robot, kind, ok)
		}
	}
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"fleet/r1/ota/status", "fleet/r1/diagnostics", "fleet/+/ota/#", "fleet/r1//ota"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if robot, kind, ok := Topic(s); ok && (!store.IsRobotID(robot) || kind == "") {
			t.Errorf("%q: %q %q", s, robot, kind)
		}
	})
}

// seeds are the contract's messages of a kind.
func seeds(f *testing.F, k Kind) {
	f.Helper()
	files, err := filepath.Glob("../../../tests/contract/" + string(k) + "*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

// fuzz reads a kind, and works what is taken into a robot.
func fuzz(f *testing.F, k Kind) {
	f.Helper()
	seeds(f, k)
	now := time.Date(2026, 3, 4, 6, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Message{Robot: "r1", Kind: k, Payload: raw, Received: now}
		w, err := read(m)
		if err != nil {
			var r *RefusedError
			if !errors.As(err, &r) || len(r.Refusal()) > 400 {
				t.Errorf("%v", err)
			}
			return
		}
		r := file{robot: store.Robot{ID: "r1"}, book: book{Schema: bookSchema}}
		r.heard(m)
		switch w := w.(type) {
		case statusWord:
			r.status(w, raw, now)
		case onlineWord:
			r.online(w, now)
		case diagnosticsWord:
			r.diagnostics(w, raw, now)
		case healthWord:
			r.health(w, now)
			r.health(w, now)
		case eventWord:
			e := event(said{m, w}, w)
			jobs(r.robot, steps([]store.Event{e, e}))
		}
		if len(r.hours) > 170 {
			t.Errorf("%d hours", len(r.hours))
		}
		if _, err := r.book.encode(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzStatus(f *testing.F)      { fuzz(f, Status) }
func FuzzEvent(f *testing.F)       { fuzz(f, Event) }
func FuzzHealth(f *testing.F)      { fuzz(f, Health) }
func FuzzOnline(f *testing.F)      { fuzz(f, Online) }
func FuzzDiagnostics(f *testing.F) { fuzz(f, Diagnostics) }

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"schema":1,"epochs":[{"epoch":"a","seq":2,"seconds":60,"counters":{"ok":1}}],"closed":["b"],"online":{"epoch":"x","seq":1}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := openBook(raw)
		if err != nil {
			return
		}
		again, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := openBook(again); err != nil || len(c.Epochs) != len(b.Epochs) {
			t.Errorf("%v: %s", err, again)
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"documents":[{"topic":"ota/online","payload":{"robot_id":"r1","epoch":"a","seq":1,"online":true}}]}`))
	f.Add([]byte(`{"documents":[{"topic":"diagnostics","payload":null}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := New(Config{Now: func() time.Time { return noon }}, nowhere{}, slog.New(slog.DiscardHandler))
		err := in.Report(t.Context(), "r1", raw)
		var r *RefusedError
		if err != nil && !errors.As(err, &r) {
			t.Error(err)
		}
	})
}

// nowhere stores nothing.
type nowhere struct{}

func (nowhere) Update(context.Context, string, func(*store.Tx) error) error { return nil }
func (nowhere) Note(context.Context, string, func(*store.Tx) error) error   { return nil }
