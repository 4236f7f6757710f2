//go:build ros2

package tests

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// secrets are what nobody may say aloud, by what they are.
type secrets map[string][]byte

// betrayed names the secrets that stand in a text: as they are, in hex, or in
// base64, wherever in what was encoded they stood.
func (s secrets) betrayed(text string) (names []string) {
	for name, secret := range s {
		for how, form := range forms(secret) {
			if strings.Contains(text, form) {
				names = append(names, name+" "+how)
			}
		}
	}
	return names
}

func forms(secret []byte) map[string]string {
	all := map[string]string{
		"as it is": string(secret),
		"in hex":   hex.EncodeToString(secret),
		"in HEX":   strings.ToUpper(hex.EncodeToString(secret)),
		"as bytes": strings.Trim(fmt.Sprint(secret), "[]"), // %v of a []byte
	}
	// Three bytes are four characters: a secret that begins in the middle of
	// three shows but for its first and last characters.
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		padded = padded[:len(padded)/3*3]
		for how, encoding := range map[string]*base64.Encoding{"in base64": base64.StdEncoding, "in base64url": base64.URLEncoding} {
			encoded := encoding.EncodeToString(padded)
			if before > 0 {
				encoded = encoded[4:]
			}
			all[fmt.Sprintf("%s, %d bytes in", how, before)] = encoded
		}
	}
	return all
}

// TestSecretsAreRecognised: the test of the logs sees what it is there to see.
func TestSecretsAreRecognised(t *testing.T) {
	s := secrets{"it": []byte("tr0ub4dor&3-and-a-horse")}
	for _, said := range []string{"tr0ub4dor&3-and-a-horse", "74723075623464", "7472307562", "dHIwdWI0"} {
		whole := said == string(s["it"])
		if got := s.betrayed("password=" + said + " "); (len(got) > 0) != whole {
			t.Errorf("%s: %q", said, got)
		}
	}
	for _, user := range []string{"", "r", "r1", "r12"} {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if said := e.EncodeToString([]byte(user + ":" + string(s["it"]) + "\n")); len(s.betrayed(said)) == 0 {
				t.Errorf("%s is not seen in %s", s["it"], said)
			}
		}
	}
	for _, said := range []string{fmt.Sprintf("%x", s["it"]), fmt.Sprintf("%X", s["it"]), fmt.Sprintf("%v", s["it"]), fmt.Sprintf("%q", s["it"])} {
		if len(s.betrayed(said)) == 0 {
			t.Errorf("it is not seen in %s", said)
		}
	}
}

// scalar is the secret number of a private key of P-256.
func scalar(t *testing.T, file string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text(t, file)))
	if block == nil {
		t.Fatal(file, "is no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		any8, err8 := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, _ = any8.(*ecdsa.PrivateKey); key == nil {
			t.Fatal(file, err, err8)
		}
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// read is all that lies in a folder, except what the secrets themselves lie in.
func read(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all.String()
}

// scrape reads the metrics.
func scrape(ctx context.Context, addr string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return string(b), err
}

// A robot's token, its password at the broker, its pre-shared key, private keys
// and the fleet's passwords stand in no log at level debug, in no status, event,
// history, state, diagnosis or metric, through a good update, a refused one, and
// a server and a broker that are away or refuse the robot.
func TestSecretsAreToldToNobody(t *testing.T) {
	t.Parallel()
	const robotPassword, fleetPassword, psk = "r0bot-Pass/w+rd=84c1", "fl33t-Pass/w+rd=17e9", "a7136e0bc4d9285f91e3407ab86c2dfe"
	own, mqtt, dtls, figures := t.TempDir(), freeTCP(t), freeUDP(t), freeTCP(t)
	in := func(name, content string) string {
		path := filepath.Join(own, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	robotFile, fleetFile := in("robot.password", robotPassword+"\n"), in("fleet.password", fleetPassword+"\n")
	pskFile := in("psk", "robot_a14f4201:"+psk+"\n")
	tools := &plant{t: t, dir: own, bin: binaries(t), env: os.Environ()}
	tools.run("ota-fleet", "dev-cert", "--dir", own, "--host", "localhost", "--robot", "r1")
	hub := fleetBroker(t, own, mqtt)
	goes := sync.OnceFunc(func() { hub.Close() })
	defer goes()
	url := "mqtts://localhost:" + mqtt[strings.LastIndexByte(mqtt, ':')+1:]
	p := newPlant(t, options{
		sim:   []string{"--app-start", "200ms", "--dtls", dtls},
		serve: []string{"--mqtt-url", url, "--mqtt-ca", filepath.Join(own, "ca.pem"), "--mqtt-user", "fleet", "--mqtt-password-file", fleetFile, "--metrics", figures},
		config: fmt.Sprintf("mqtt: {url: %q, ca_file: %s, password_file: %s, cert_file: %s, key_file: %s}\ndtls: {address: %q, key_file: %q, every: 1s}\nlog: {level: debug}",
			url, filepath.Join(own, "ca.pem"), robotFile, filepath.Join(own, "robots/r1.pem"), filepath.Join(own, "robots/r1-key.pem"), dtls, pskFile),
	})
	rawPSK, err := hex.DecodeString(psk)
	if err != nil {
		t.Fatal(err)
	}
	secret := secrets{
		"the robot's password": []byte(robotPassword), "the fleet's password": []byte(fleetPassword), "the pre-shared key": rawPSK,
		"the token":              bytes.TrimSpace([]byte(text(t, p.path("fleet.token")))),
		"the signing key":        scalar(t, p.path("s.pem")),
		"the server's key":       scalar(t, p.path("tls/server-key.pem")),
		"the robot's client key": scalar(t, filepath.Join(own, "robots/r1-key.pem")),
	}
	said := map[string]string{}
	hear := func(when string) {
		t.Helper()
		out, _ := p.command("ota-agent", "status", "--json", "--socket", p.path("agent.sock")).CombinedOutput()
		said["status, "+when] = string(out)
		for _, args := range [][]string{{"doctor", "--json", "--listen", "1s"}, {"doctor", "--listen", "1s"}, {"config", "check"}, {"history", "--long"}, {"keys"}} {
			out, _ := p.command("ota-agent", append(args, "--config", p.path("agent.yaml"))...).CombinedOutput()
			said[strings.Join(args, " ")+", "+when] = string(out)
		}
		if m, err := scrape(t.Context(), figures); err == nil {
			said["metrics, "+when] = m
		}
	}
	listener := tools.start("listener", "ota-sim", "subscribe", "fleet/#", "--broker", url, "--ca", filepath.Join(own, "ca.pem"), "--password-file", fleetFile)
	t.Cleanup(listener.stop)
	wait(t, "the listener", 20*time.Second, func() bool { return strings.Contains(listener.output(), "subscribed") })
	p.heard()

	p.trigger(p.publish("0.2.1", "good"))
	p.until("an update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	wait(t, "word of it at the broker", 30*time.Second, func() bool { return strings.Contains(listener.output(), "0.2.1") })
	hear("in good health")

	if err := os.WriteFile(p.path("fleet.token"), []byte("n0t-the-t0ken-at-all-5d27\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret["the wrong token"] = []byte("n0t-the-t0ken-at-all-5d27")
	p.agent.stop()
	logs := p.agent.output()
	p.startAgent()
	out, _ := p.command("ota-agent", "trigger", "--socket", p.path("agent.sock"), "https://"+p.addr+"/v1/artifacts/"+strings.Repeat("0", 64)).CombinedOutput()
	said["a refused trigger"] = string(out)
	hear("refused")
	for _, file := range []string{pskFile, robotFile, p.path("fleet.token")} {
		p.chmod(file, 0o644)
	}
	hear("with secrets that others may read")
	for _, file := range []string{pskFile, robotFile, p.path("fleet.token")} {
		p.chmod(file, 0o600)
	}
	in("psk", "no key: "+psk+"?\n")
	in("robot.password", "")
	hear("with damaged secrets")
	goes()
	p.server.stop()
	hear("alone")
	p.agent.stop()

	said["agent's log"], said["server's log"], said["MQTT"] = logs+p.agent.output(), p.server.output(), listener.output()
	said["state"] = read(t, p.path("state"))
	if !strings.Contains(said["agent's log"], "level=DEBUG") || !strings.Contains(said["MQTT"], "ota/event") || !strings.Contains(said["metrics, in good health"], "# HELP") {
		t.Errorf("too little was heard to tell: %d bytes of log, MQTT %s", len(said["agent's log"]), tail(said["MQTT"], 500))
	}
	total := 0
	for where, what := range said {
		total += len(what)
		if names := secret.betrayed(what); len(names) > 0 {
			t.Errorf("%s betrays %q", where, names)
		}
	}
	t.Logf("%d secrets looked for in %d texts, %d bytes", len(secret), len(said), total)
}
