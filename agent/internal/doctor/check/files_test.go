package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

func me() Identity { return Running(os.Getuid(), []int{os.Getgid()}) }

func TestConfig(t *testing.T) {
	dir := folders(t)
	good := file(t, filepath.Join(dir, "good.yaml"), "robot: {id: r1, sku: basic, companion_version: 0.2.0}\n", 0o644)
	bad := file(t, filepath.Join(dir, "bad.yaml"), "robot: {id: r1, sku: basic, companion_version: 0.2.0}\nserial:\n  baudrate: 9600\nobserve_for: 24\n", 0o644)
	psk := file(t, filepath.Join(dir, "psk"), "", 0o600)
	check := func(path string, started time.Time, agent Identity, want ...string) {
		t.Helper()
		cfg, err := config.Load(path)
		cfg.DTLS.Address, cfg.DTLS.KeyFile = "h", psk
		cfg.MQTT.PasswordFile = "/none" // which nobody reads, as there is no broker
		finds(t, Config(path, cfg, err, started, agent), want...)
	}
	check(good, time.Time{}, me(), "ok "+good+" has no faults: robot r1, basic")
	check(good, time.Now().Add(time.Hour), me(), "ok ")
	check(good, time.Now().Add(-time.Hour), me(), "ok ", "warn "+good+" was changed after the agent had started … => systemctl restart robot-ota")
	check(good, time.Time{}, nobody(), "ok ", "fail "+psk+" (-rw------- … is closed to the agent's user nobody-here (dtls.key_file) => chown nobody-here "+psk+" && chmod 0600 "+psk)
	chmod(t, psk, 0o640)
	check(good, time.Time{}, me(), "ok ", "warn others may use "+psk+" … => chmod 0600 "+psk)
	chmod(t, psk, 0o600)
	chmod(t, good, 0o600)
	check(good, time.Time{}, nobody(), "ok ", "fail "+good+" (-rw------- … => chmod a+r "+good, "fail "+psk)
	psk = filepath.Join(dir, "lost")
	check(good, time.Time{}, me(), "ok ", "fail there is no "+psk+" (dtls.key_file) => put it there, or correct dtls.key_file")
	check(bad, time.Time{}, me(), "fail "+bad+`:3:3: unknown key "baudrate"; did you mean "baud"? => edit `, "fail "+bad+":4:14: observe_for: 24 has no unit")
	check(filepath.Join(dir, "none"), time.Time{}, me(), "fail there is no "+dir+"/none => cp /usr/share/doc/robot-ota/examples/agent.yaml "+dir+"/none")
	finds(t, Config("x", config.Config{}, fmt.Errorf("read: %w", fs.ErrPermission), time.Time{}, me()), "fail x may not be read by this user => run `sudo ota-agent doctor`")
}

// key writes a public key and returns its id.
func key(t *testing.T, path string) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file(t, path, string(der), 0o644)
	ring, _, err := config.Config{Trust: config.Trust{Keys: []string{path}}}.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	return ring.IDs()[0]
}

func TestKeys(t *testing.T) {
	dir := folders(t)
	keys := filepath.Join(dir, "keys")
	a, b := key(t, keys+"/a.der"), key(t, keys+"/b.der")
	cfg := config.Config{Trust: config.Trust{Keys: []string{keys + "/*.der", keys + "/*.pem"}}}
	all := []string{"ok trusts key " + a + " of " + keys + "/a.der", "ok trusts key " + b + " of " + keys + "/b.der"}
	never := time.Time{}
	finds(t, Keys(cfg, me(), never, nil), all...)
	finds(t, Keys(cfg, nobody(), never, nil), all...)
	finds(t, Keys(cfg, me(), time.Now().Add(time.Minute), nil), all...)
	finds(t, Keys(cfg, me(), time.Now().Add(-time.Minute), nil), append(all, "warn "+keys+" was changed after the agent had started … => systemctl restart robot-ota")...)
	plain := config.Config{Trust: config.Trust{Keys: []string{keys + "/a.der", keys + "/b.der"}}}
	finds(t, Keys(plain, me(), time.Now().Add(-time.Minute), nil), append(all, "warn "+keys+"/a.der was changed after the agent had started")...)
	past := time.Now().Add(-time.Hour)
	for _, path := range []string{keys + "/a.der", keys + "/b.der"} {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	finds(t, Keys(plain, me(), time.Now().Add(-time.Minute), nil), all...) // what else changes in its folder is not its matter

	chmod(t, keys, 0o700)
	finds(t, Keys(cfg, nobody(), never, nil), "fail "+keys+" (drwx------ … => chmod a+rx "+keys)
	chmod(t, keys, 0o755)
	chmod(t, keys+"/a.der", 0o600)
	finds(t, Keys(cfg, nobody(), never, nil), "fail "+keys+"/a.der (-rw------- … => chmod a+r "+keys+"/a.der", all[1])
	chmod(t, keys+"/a.der", 0o666)
	finds(t, Keys(cfg, me(), never, nil), "fail others may write "+keys+"/a.der (-rw-rw-rw- … => chmod go-w "+keys+"/a.der, after a look", all[1])
	chmod(t, keys+"/a.der", 0o644)
	chmod(t, keys, 0o777)
	finds(t, Keys(cfg, me(), never, nil), "fail others may write "+keys+" (drwxrwxrwx", "fail others may write "+keys)
	chmod(t, keys, 0o755)
	file(t, keys+"/c.pem", "no key", 0o644)
	finds(t, Keys(cfg, me(), never, nil), "fail trusted keys: "+keys+"/c.pem: … => put the build server's public key there")
	finds(t, Keys(config.Config{Trust: config.Trust{Keys: []string{dir + "/none/*.der"}}}, me(), never, nil), "fail trusted keys: nothing matches")
}

func TestKeysInForce(t *testing.T) {
	dir := folders(t)
	a := key(t, dir+"/a.der")
	cfg := config.Config{Trust: config.Trust{Keys: []string{dir + "/a.der"}}}
	file := "ok trusts key " + a
	for _, tt := range []struct {
		name string
		ring keyring.Report
		want []string
	}{
		{"files alone", keyring.Report{Threshold: 1, Trusted: []keyring.Entry{{ID: a}}}, nil},
		{"a document", keyring.Report{Version: 3, Threshold: 1, Trusted: []keyring.Entry{{ID: "b"}}, Revoked: []keyring.Entry{{ID: a}}},
			[]string{"ok keyring document 3 is in force: trusted are b, revoked " + a}},
		{"a revocation list", keyring.Report{Threshold: 1, Trusted: []keyring.Entry{{ID: "b"}}, Revoked: []keyring.Entry{{ID: a}}},
			[]string{"ok trusted are b, revoked " + a}},
		{"a foreign firmware", keyring.Report{Threshold: 1, Trusted: []keyring.Entry{{ID: a}}, Firmware: &keyring.Embedded{Key: "x"}},
			[]string{`warn the firmware embeds key "x" … => ota-agent keys`}},
		{"damaged copies", keyring.Report{Threshold: 1, Damaged: "neither copy can be read"},
			[]string{"fail no key is trusted: neither copy can be read => ota-agent keys"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			finds(t, Keys(cfg, me(), time.Time{}, &tt.ring), append([]string{file}, tt.want...)...)
		})
	}
}

func TestState(t *testing.T) {
	dir := folders(t)
	cfg := config.Default()
	cfg.StateDir = filepath.Join(dir, "state")
	finds(t, State(cfg, me()), "ok "+cfg.StateDir+" is not there yet")
	j, err := journal.Open(cfg.StateDir)
	if err == nil {
		err = j.Save(update.New())
	}
	if err != nil {
		t.Fatal(err)
	}
	room, memory := "ok … MiB are free on the disk", "ok the agent's memory is readable"
	finds(t, State(cfg, me()), "ok "+cfg.StateDir+" belongs to "+me().Name+" alone", room, memory)
	finds(t, State(cfg, nobody()), "fail "+cfg.StateDir+" belongs to "+me().Name+", and the agent runs as nobody-here => chown -R nobody-here: "+cfg.StateDir, room, memory)
	chmod(t, cfg.StateDir, 0o755)
	finds(t, State(cfg, me()), "fail "+cfg.StateDir+" has mode 0755 … => chmod 0700 "+cfg.StateDir, room, memory)
	chmod(t, cfg.StateDir, 0o700)
	large := cfg
	large.Download.MaxSize = 1 << 60
	finds(t, State(large, me()), "ok ", "fail … MiB are free on the disk: too little for one image", memory)

	file(t, cfg.StateDir+"/memory.json", `{"schema": 99}`, 0o600)
	finds(t, State(cfg, me()), "ok ", room, "fail "+cfg.StateDir+"/memory.json was written by a newer agent … => install that version")
	file(t, cfg.StateDir+"/memory.json", `{"sche`, 0o600)
	finds(t, State(cfg, me()), "ok ", room, "fail the agent's memory cannot be understood")
	if _, err := j.Load(); err == nil {
		t.Fatal("it was understood")
	}
	finds(t, State(cfg, me()), "ok ", room, "warn a damaged memory was put aside as "+cfg.StateDir+"/memory.json.damaged", memory)
	cfg.StateDir = file(t, dir+"/file", "", 0o600)
	finds(t, State(cfg, me()), "fail "+dir+"/file is no folder")
}

func TestHistory(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	j, err := journal.Open(state)
	if err == nil {
		err = j.Save(update.New())
	}
	if err != nil {
		t.Fatal(err)
	}
	look := func(want ...string) {
		t.Helper()
		v := journal.Look(state)
		finds(t, History(func(context.Context) (update.Audit, error) { return v.Verify() }, func(context.Context) ([]update.Record, error) { return v.History(1) }), want...)
	}
	look("ok there is none yet")
	r := update.Record{JobID: "a", Kind: update.KindUpdate, Outcome: update.RolledBack, Ended: time.Now(), Failure: &update.Failure{Code: "silent"}}
	for _, r.JobID = range []string{"a", "b", "c"} {
		if err := j.Save(update.New(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Settle(); err != nil {
		t.Fatal(err)
	}
	last := "ok the last update: rolled_back at … (silent)"
	look("ok all 3 records hold together, and none is missing", last)
	whole, err := os.ReadFile(state + "/history.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	file(t, state+"/history.jsonl", string(whole)+`{"bef`, 0o600)
	look("ok all 3 records", "warn the last line is torn", last)
	file(t, state+"/history.jsonl", strings.Replace(string(whole), "silent", "silenz", 1), 0o600)
	look("fail the history is not the one that the agent wrote: line 2 does not follow from line 1 … (records before it that hold together: 1) => copy the state directory away as evidence")
	file(t, state+"/history.jsonl", string(whole[:len(whole)/2]), 0o600)
	look("fail the history is not the one that the agent wrote: line 2 is missing: the agent wrote 3 records, and 1 are there")
	if err := os.Rename(state+"/history.jsonl", state+"/history.jsonl.damaged"); err != nil {
		t.Fatal(err)
	}
	look("ok there is none yet", "warn an earlier history was put aside as "+state+"/history.jsonl.damaged => when it has been looked into, remove")
	finds(t, History(func(context.Context) (update.Audit, error) { return update.Audit{}, fs.ErrPermission }, nil), "skipped it may not be looked at by this user")
	finds(t, History(func(context.Context) (update.Audit, error) { return update.Audit{}, errors.New("I/O error") }, nil), "fail it cannot be looked through: I/O error")
}
