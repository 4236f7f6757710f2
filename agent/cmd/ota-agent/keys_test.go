package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/control/controltest"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
)

// desk is an agent's keys behind a real control socket, and two pairs of keys:
// the first is configured.
type desk struct {
	t      *testing.T
	dir    string
	socket string
	board  *robot.Board
	keys   *keys
	log    bytes.Buffer
	pairs  []keyringtest.Signer
	ids    []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), board: robot.NewBoard()}
	d.socket = filepath.Join(d.dir, "agent.sock")
	a := agent{cfg: config.Default(), log: slog.New(slog.NewTextHandler(&d.log, nil))}
	a.cfg.StateDir = filepath.Join(d.dir, "state")
	d.pairs = keyringtest.Signers(2)
	d.ids = []string{d.pairs[0].ID(), d.pairs[1].ID()}
	a.base.Files = []keyring.Source{{Name: "/k/a.der", Keys: []image.Key{d.pairs[0].Public}}}
	var err error
	if d.keys, err = a.ring(d.board); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(t.Context(), d.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := control.NewServer(new(controltest.Engine), new(controltest.Engine), a.log).WithKeys(d.keys)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

// document trusts the second key, revokes the first, and is signed by one.
func (d *desk) document(version uint64, by int) []byte {
	c := keyring.Content{Version: version, Keys: []image.Key{d.pairs[1].Public}, Revoked: d.ids[:1]}
	return keyringtest.Document(c, d.pairs[by]).Encode()
}

func (d *desk) file(name string, b []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// call runs the command line.
func (d *desk) call(in string, args ...string) (code int, out, errs string) {
	d.t.Helper()
	var o, e bytes.Buffer
	code = Main(d.t.Context(), append(args, "--socket", d.socket), streams{strings.NewReader(in), &o, &e})
	return code, o.String(), e.String()
}

func TestKeysCommand(t *testing.T) {
	d := newDesk(t)
	if code, out, errs := d.call("", "keys"); code != exitOK || !strings.Contains(out, "trusted    "+d.ids[0]+"  /k/a.der") || !strings.Contains(out, "none accepted yet") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	// What is refused changes nothing, and has its own exit code.
	for name, tt := range map[string]struct {
		doc  []byte
		says string
	}{
		"foreign": {d.document(1, 1), "keyring refused (keyring_foreign_key): signed by no trusted key (trusted: " + d.ids[0]},
		"garbage": {[]byte("garbage"), "keyring refused (keyring_malformed): it is no JSON object"},
	} {
		if code, out, errs := d.call("", "keys", "update", d.file(name, tt.doc)); code != exitRefused || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("%s: %d\n%s%s", name, code, out, errs)
		}
	}
	if code, _, errs := d.call("", "keys", "update", d.file("foreign", d.document(1, 1)), "--json"); code != exitRefused || !strings.Contains(errs, `"code":"keyring_foreign_key"`) {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := d.call("", "keys", "update", d.file("large", make([]byte, keyring.MaxDocument+1))); code != exitError || !strings.Contains(errs, "more than the 32768 bytes") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := d.call("", "keys", "update", filepath.Join(d.dir, "none")); code != exitError || !strings.Contains(errs, "no such file") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, _ := d.call("", "keys", "update"); code != exitUsage {
		t.Errorf("no file: %d", code)
	}

	good := d.document(7, 0)
	code, out, errs := d.call("", "keys", "update", d.file("good", good))
	if code != exitOK || !strings.Contains(out, "Version 7 is in force now.") || !strings.Contains(out, "trusted    "+d.ids[1]+"  keyring document") || !strings.Contains(out, "revoked    "+d.ids[0]) {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ := d.call(string(good), "keys", "update", "-"); code != exitOK || !strings.Contains(out, "Version 7 was in force already; nothing has changed.") {
		t.Errorf("%d\n%s", code, out)
	}
	// Several in their order: what is older is passed over, unless it is the last.
	next := d.file("next", d.document(8, 1))
	if code, out, errs := d.call("", "keys", "update", d.file("old", d.document(6, 0)), d.file("good", good), next); code != exitOK || !strings.Contains(out, "Version 8 is in force now.") || !strings.Contains(errs, "old: passed over: keyring refused (keyring_not_newer)") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, _, errs := d.call("", "keys", "update", next, d.file("good", good)); code != exitRefused || !strings.Contains(errs, "good: keyring refused (keyring_not_newer): it is version 7, in force is 8") {
		t.Errorf("%d\n%s", code, errs)
	}
	code, out, _ = d.call("", "keys", "--json")
	var r keyring.Report
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || r.Version != 8 || !slices.Equal(keyring.IDs(r.Trusted), d.ids[1:]) || !strings.HasPrefix(r.From, "ota-agent keys update, uid ") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestTheFirmwaresKeyIsWatched(t *testing.T) {
	d := newDesk(t)
	node := d.keys.onNode(rosnode.Config{Vitals: func() []rosnode.Vital { return []rosnode.Vital{{Key: "dtls_tries", Value: "7"}} }})
	want := []rosnode.Vital{{Key: "dtls_tries", Value: "7"}, {Key: "keyring_version", Value: "0"}, {Key: "trusted_keys", Value: d.ids[0]}, {Key: "revoked_keys", Value: ""}}
	if got := node.Vitals(); !slices.Equal(got, want) || len(node.Warnings()) > 0 {
		t.Errorf("%v, %v", got, node.Warnings())
	}
	post := func(id string) {
		d.board.Post(robot.Firmware{Version: compat.Version{Minor: 2}, SigningKey: id})
		for range 3 {
			node.Vitals()
		}
	}
	warnings := func() int { return strings.Count(d.log.String(), "embeds a key that is not trusted") }
	post(d.ids[0])
	if got := node.Vitals(); !slices.Contains(got, rosnode.Vital{Key: "firmware_key", Value: d.ids[0]}) || len(node.Warnings()) > 0 || warnings() != 0 {
		t.Errorf("a trusted one: %v, %v", got, node.Warnings())
	}
	post(d.ids[1])
	if w := node.Warnings(); len(w) != 1 || !strings.Contains(w[0], "the firmware embeds key \""+d.ids[1]+"\", which is not trusted here") || warnings() != 1 {
		t.Errorf("a foreign one: %v, logged %d times", w, warnings())
	}
	// Then the ring changes, and with it the verdict.
	if _, err := d.keys.Update(d.document(1, 0), "test"); err != nil {
		t.Fatal(err)
	}
	post(d.ids[1])
	if w := node.Warnings(); len(w) != 0 || warnings() != 1 {
		t.Errorf("trusted by now: %v, logged %d times", w, warnings())
	}
	d.keys.Take([][]byte{d.document(2, 0)}, "https://u/v1/keyring") // by the key that is revoked
	i := slices.IndexFunc(node.Vitals(), func(v rosnode.Vital) bool { return v.Key == "keyring_refused" })
	if i < 0 || !strings.Contains(node.Vitals()[i].Value, "which is revoked") || len(node.Warnings()) != 1 {
		t.Errorf("%v, %v", node.Vitals(), node.Warnings())
	}
	if k := d.keys.onBroker(); k.Keyring != 1 || !slices.Equal(k.Trusted, d.ids[1:]) || !slices.Equal(k.Revoked, d.ids[:1]) || k.Firmware != d.ids[1] || k.Refused != keyring.RevokedKey {
		t.Errorf("%+v", k)
	}
}

// source is an update server of straw.
type source struct {
	engine.Source
	asked int
	err   error
}

func (s *source) RefreshKeyring(context.Context) error { s.asked++; return s.err }

// A robot that is busy does not ask for firmware, and for the keyring all the
// same.
func TestABusyRobotAsksForTheKeyring(t *testing.T) {
	busy, down := &update.BusyError{JobID: "j", State: update.Observing}, errors.New("no such host")
	for name, tt := range map[string]struct {
		err   error
		s     source
		asked int
	}{
		"the check has begun":      {nil, source{}, 0},
		"another job goes on":      {busy, source{}, 1},
		"and the server is away":   {busy, source{err: down}, 1},
		"the check is not allowed": {errors.New("odd"), source{}, 0},
	} {
		err := agent{}.refreshed(t.Context(), &tt.s, tt.err)
		if tt.s.asked != tt.asked || !errors.Is(err, tt.err) || tt.s.err != nil && !errors.Is(err, down) {
			t.Errorf("%s: asked %d times, %v", name, tt.s.asked, err)
		}
	}
	var without struct{ engine.Source }
	if err := (agent{}).refreshed(t.Context(), without, busy); !errors.Is(err, busy) {
		t.Errorf("a source without a keyring: %v", err)
	}
}
