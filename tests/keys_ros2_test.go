//go:build ros2

package tests

import (
	"database/sql"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the server's database

	"github.com/robot-platform/robot-ota/internal/rostest"
)

// ring is what the test reads of `ota-agent keys --json`.
type ring struct {
	Version          uint64
	Trusted, Revoked []struct{ ID string }
	Refused          *struct{ Code string }
	Damaged          string
	Firmware         *struct {
		Key     string
		Trusted bool
	}
}

func (p *plant) ring() ring {
	p.t.Helper()
	out := p.run("ota-agent", "keys", "--socket", p.path("agent.sock"), "--json")
	var r ring
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	return r
}

// trusts demands the trusted and the revoked ids.
func (p *plant) trusts(version uint64, trusted, revoked []string) {
	p.t.Helper()
	r := p.ring()
	ids := func(entries []struct{ ID string }) (out []string) {
		for _, e := range entries {
			out = append(out, e.ID)
		}
		return out
	}
	if r.Version != version || !slices.Equal(ids(r.Trusted), trusted) || !slices.Equal(ids(r.Revoked), revoked) {
		p.t.Fatalf("keys %+v, want version %d, trusted %v, revoked %v", r, version, trusted, revoked)
	}
}

// keygen makes a pair of keys, NAME-key.pem and NAME.der, and gives its id.
func (p *plant) keygen(name string) string {
	p.t.Helper()
	out := p.run("ota-sign", "keygen", "--key", p.path(name+"-key.pem"), "--pub", p.path(name))
	id, _, _ := strings.Cut(strings.TrimPrefix(out, "key "), "\n")
	return id
}

// signed is a firmware that embeds one key and is signed by another.
func (p *plant) signed(version, embeds, by string) string {
	p.t.Helper()
	plain, signed := p.path(version+".bin"), p.path(version+".signed")
	p.run("ota-sim", "image", "--version", version, "--size", "256K", "--signing-key", p.path(embeds), "--output", plain)
	p.run("ota-sign", "sign", "--input", plain, "--key", p.path(by), "--output", signed)
	return signed
}

// check asks the update server and follows what comes of it.
func (p *plant) check() (said string, code int) {
	p.t.Helper()
	cmd := p.command("ota-agent", "check", "--socket", p.path("agent.sock"))
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// smuggle puts a document on the server behind the back of ota-fleet.
func (p *plant) smuggle(name string, version int) {
	p.t.Helper()
	doc, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	p.meddle("DELETE FROM keyrings")
	p.meddle("INSERT INTO keyrings (version, document, added) VALUES ($1, $2, 0)", version, string(doc))
}

// meddle changes the server's database behind its back.
func (p *plant) meddle(statement string, args ...any) {
	p.t.Helper()
	db, err := sql.Open("sqlite", p.shared("fleet/fleet.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, args...); err != nil {
		p.t.Fatal(err)
	}
}

// restart kills the agent and starts it again.
func (p *plant) restart() {
	p.t.Helper()
	p.agent.kill()
	p.startAgent()
	p.heard()
}

// ownDiagnostics is the agent's own status on /diagnostics.
func ownDiagnostics(t *testing.T, c *rostest.Client) (level uint8, message string, values map[string]string) {
	t.Helper()
	for range 50 {
		var got struct {
			Messages []struct {
				Message struct {
					Status []struct {
						Level   json.RawMessage
						Name    string
						Message string
						Values  []struct{ Key, Value string }
					}
				}
			}
		}
		c.Ask(map[string]any{"do": "read", "topic": "/diagnostics", "type": "diagnostic_msgs/msg/DiagnosticArray", "count": 1}, &got)
		for _, m := range got.Messages {
			for _, s := range m.Message.Status {
				if s.Name != "r1/ota_agent" {
					continue
				}
				values = map[string]string{}
				for _, v := range s.Values {
					values[v.Key] = v.Value
				}
				return levelOf(t, s.Level), s.Message, values
			}
		}
	}
	t.Fatal("the agent publishes no diagnostics")
	return 0, "", nil
}

// levelOf reads a byte as rclpy has it: a number, or a list of one.
func levelOf(t *testing.T, raw json.RawMessage) uint8 {
	t.Helper()
	var n uint8
	var list []uint8
	if json.Unmarshal(raw, &n) == nil {
		return n
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != 1 {
		t.Fatalf("level %s, %v", raw, err)
	}
	return list[0]
}

// The update server hands out a keyring that adds key B and revokes key A. What
// A has signed is refused from then on, also after a restart, and what B has
// signed is installed. Then the server falls into the hands of who stole A.
func TestKeysAreChangedByTheUpdateServer(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{})
	p.heard()
	c := p.client()
	a, b := p.ring().Trusted[0].ID, p.keygen("b")
	p.trusts(0, []string{a}, nil)

	// Firmware that embeds A, signed by A.
	p.offer(p.signed("0.2.1", "trusted.der", "s.pem"), "--sku", "standard")
	if said, code := p.check(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	p.until("hearing the firmware's key", 20*time.Second, func() bool { r := p.ring(); return r.Firmware != nil && r.Firmware.Key == a && r.Firmware.Trusted })

	// The next answer of the server holds both: an image by A, and A's end. The
	// server would hide what A signed, and is kept from it: the robot has to refuse by itself.
	url := p.offer(p.signed("0.2.2", "trusted.der", "s.pem"), "--sku", "standard")
	p.run("ota-sign", "keyring", "create", "--version", "1", "--add", p.path("b.der"), "--revoke", a, "--key", p.path("s.pem"), "--output", p.path("k1.json"))
	p.run("ota-fleet", "keyring", "--data", p.shared("fleet"), "--key", p.path("trusted.der"), p.path("k1.json"))
	if out := p.run("ota-fleet", "list", "--data", p.shared("fleet")); strings.Count(out, " revoked ") != 2 {
		t.Errorf("the server hides nothing:\n%s", out)
	}
	p.meddle("UPDATE signing_keys SET revoked = 0")
	if said, code := p.check(); code != 3 || !strings.Contains(said, "signed by key "+a+", which is revoked") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	p.trusts(1, []string{b}, []string{a})
	p.runs("0.2.1")
	if s, err := p.status(); err != nil || s.Failure == nil || s.Failure.Code != "key_revoked" {
		t.Errorf("%+v, %v", s, err)
	}
	level, message, values := ownDiagnostics(t, c)
	if level != 1 || !strings.Contains(message, `the firmware embeds key "`+a+`", which is not trusted here`) ||
		values["keyring_version"] != "1" || values["trusted_keys"] != b || values["revoked_keys"] != a || values["firmware_key"] != a {
		t.Errorf("diagnostics: %d %q %v", level, message, values)
	}

	p.restart()
	p.trusts(1, []string{b}, []string{a})
	if said, code := p.follow(url); code != 3 || !strings.Contains(said, "which is revoked") {
		t.Errorf("after a restart: exit code %d\n%s", code, said)
	}

	// Firmware that embeds B, signed by B.
	p.offer(p.signed("0.2.3", "b.der", "b-key.pem"), "--sku", "standard", "--key", p.path("b.der"))
	if said, code := p.check(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	p.runs("0.2.3")
	p.until("hearing the firmware's key", 20*time.Second, func() bool { r := p.ring(); return r.Firmware != nil && r.Firmware.Key == b && r.Firmware.Trusted })
	if level, message, _ := ownDiagnostics(t, c); level != 0 {
		t.Errorf("diagnostics: %d %q", level, message)
	}

	// The keys change twice while the robot is switched off: B trusts C, C
	// revokes B. It catches up by what lies in between.
	p.agent.kill()
	cc := p.keygen("c")
	p.run("ota-sign", "keyring", "create", "--from", p.path("k1.json"), "--add", p.path("c.der"), "--key", p.path("b-key.pem"), "--output", p.path("k2.json"))
	p.run("ota-sign", "keyring", "create", "--from", p.path("k2.json"), "--revoke", b, "--key", p.path("c-key.pem"), "--output", p.path("k3.json"))
	for _, k := range []string{"k2.json", "k3.json"} {
		p.run("ota-fleet", "keyring", "--data", p.shared("fleet"), "--key", p.path("trusted.der"), p.path(k))
	}
	p.startAgent()
	p.heard()
	if said, code := p.check(); code != 0 {
		t.Errorf("exit code %d\n%s", code, said)
	}
	gone := slices.Sorted(slices.Values([]string{a, b}))
	p.trusts(3, []string{cc}, gone)

	// Who stole A holds the server.
	thief := p.keygen("thief")
	p.run("ota-sign", "keyring", "create", "--version", "9", "--add", p.path("thief.der"), "--revoke", a, "--revoke", b, "--key", p.path("s.pem"), "--output", p.path("k9.json"))
	p.smuggle("k9.json", 9)
	for range 2 {
		if said, code := p.check(); code != 0 {
			t.Errorf("a bad keyring stops the check: exit code %d\n%s", code, said)
		}
	}
	p.trusts(3, []string{cc}, gone)
	if r := p.ring(); r.Refused == nil || r.Refused.Code != "keyring_revoked_key" {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(p.agent.output(), "the update server's keyring is not taken"); n != 1 {
		t.Errorf("the refusal is logged %d times", n)
	}
	t.Logf("key %s of the thief is not trusted", thief)
}

// An image was verified and waits for the battery. Its key is revoked by a file
// on the robot, after another change by the server: it is refused before the chip is touched. Then both copies of
// the keyring are lost, and nobody is trusted.
func TestTheKeyOfAWaitingImageIsRevoked(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{sim: []string{"--battery", "0.3"}})
	p.heard()
	a, b := p.ring().Trusted[0].ID, p.keygen("b")
	p.trigger(p.publish("0.2.1", "good"))
	p.until("waiting", 20*time.Second, func() bool {
		s, err := p.status()
		return err == nil && s.State == "waiting" && len(s.Reasons) > 0
	})
	// A robot that waits does not ask for firmware, and for the keyring all the same.
	p.run("ota-sign", "keyring", "create", "--version", "3", "--add", p.path("b.der"), "--key", p.path("s.pem"), "--output", p.path("k3.json"))
	p.run("ota-fleet", "keyring", "--data", p.shared("fleet"), "--key", p.path("trusted.der"), p.path("k3.json"))
	c := p.client()
	every := func(seconds float64) {
		c.Call("/ota_agent/set_parameters", "rcl_interfaces/srv/SetParameters", map[string]any{"parameters": []any{
			map[string]any{"name": "check_period_s", "value": map[string]any{"type": 3, "double_value": seconds}},
		}}, nil)
	}
	every(1)
	p.until("the server's keyring", 20*time.Second, func() bool { return p.ring().Version == 3 })
	every(0)
	p.trusts(3, []string{a, b}, nil)
	if s, err := p.status(); err != nil || s.State != "waiting" {
		t.Errorf("%+v, %v", s, err)
	}

	p.run("ota-sign", "keyring", "create", "--from", p.path("k3.json"), "--revoke", a, "--key", p.path("s.pem"), "--output", p.path("k.json"))
	if out := p.run("ota-agent", "keys", "update", p.path("k.json"), "--socket", p.path("agent.sock")); !strings.Contains(out, "Version 4 is in force now.") {
		t.Error(out)
	}
	p.trusts(4, []string{b}, []string{a})
	before := p.run("ota-sim", "slots", "--control", p.path("sim.sock"), "--json")
	p.run("ota-sim", "battery", "--control", p.path("sim.sock"), "--fraction", "0.9")
	s := p.ends(20 * time.Second)
	if s.State != "failed" || s.Failure == nil || s.Failure.Code != "key_revoked" || !strings.Contains(s.Failure.Text, "the image was verified before and is not accepted any more") {
		t.Errorf("%+v", s)
	}
	if after := p.run("ota-sim", "slots", "--control", p.path("sim.sock"), "--json"); after != before {
		t.Errorf("the chip was touched:\n%s", after)
	}

	for _, name := range []string{"state/keyring.json", "state/keyring.copy.json"} {
		if err := os.Truncate(p.path(name), 100); err != nil {
			t.Fatal(err)
		}
	}
	p.restart()
	if r := p.ring(); len(r.Trusted) != 0 || !strings.Contains(r.Damaged, "remove "+p.path("state/keyring.json")) {
		t.Errorf("%+v", r)
	}
	if said, code := p.follow(p.publish("0.2.2", "good")); code != 3 || !strings.Contains(said, "image refused (signature)") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	p.runs("0.2.0")
}
