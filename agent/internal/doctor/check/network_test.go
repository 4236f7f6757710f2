package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	simbroker "github.com/robot-platform/robot-ota/sim/broker"
	simdtls "github.com/robot-platform/robot-ota/sim/dtls"
)

// certified makes a certificate for 127.0.0.1 that signs itself and lasts so
// long, and the file that vouches for it.
func certified(t *testing.T, lasts time.Duration) (tls.Certificate, string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	ca := file(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, ca
}

// updates serves an update server's answers.
func updates(t *testing.T, lasts time.Duration, answer http.HandlerFunc) config.Config {
	t.Helper()
	pair, ca := certified(t, lasts)
	s := httptest.NewUnstartedServer(answer)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	c := config.Default()
	c.Robot.ID, c.Robot.SKU = "r1", "standard"
	c.Server.URL, c.Server.CAFile = s.URL, ca
	return c
}

const year = 365 * 24 * time.Hour

func TestServer(t *testing.T) {
	v020 := compat.Version{Minor: 2}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/check" || r.URL.Query().Get("robot_id") != "r1" || r.URL.Query().Get("version") != "0.2.0" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	server := func(cfg config.Config, running compat.Version, last update.Check, want ...string) {
		t.Helper()
		finds(t, Server(cfg, AskServer(cfg, running, "test"), last), want...)
	}
	cfg := updates(t, year, nothing)
	valid := "ok the server's certificate is valid until "
	server(cfg, v020, update.Check{}, "ok "+cfg.Server.URL+" answers /v1/check: nothing newer than 0.2.0", valid)
	server(cfg, v020, update.Check{At: noon, Err: "no route"}, "ok ", valid, "warn the agent's own latest question, at … failed: no route => ask again: ota-agent check")

	offer := updates(t, 10*24*time.Hour+time.Hour, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"version":"0.2.1","url":"https://%s/a","sha256":"%s","size":70000,"protocol":1,"release":""}`, r.Host, strings.Repeat("ab", 32))
	})
	server(offer, v020, update.Check{}, "ok "+offer.Server.URL+" answers /v1/check: 0.2.1 instead of 0.2.0", "warn the server's certificate expires on … in 10 days => have it renewed")

	// A hawkBit server is asked as one, with its kind of token.
	hawk := updates(t, year, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/DEFAULT/controller/v1/r1" || r.Header.Get("Authorization") != "TargetToken secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/hal+json")
		fmt.Fprintf(w, `{"config":{"polling":{"sleep":"00:05:00"}},"_links":{"deploymentBase":{"href":"https://%s/DEFAULT/controller/v1/r1/deploymentBase/12?c=1"}}}`, r.Host)
	})
	hawk.Server.Source, hawk.Server.TokenFile = config.SourceHawkbit, t.TempDir()+"/token"
	file(t, hawk.Server.TokenFile, "secret", 0o600)
	server(hawk, v020, update.Check{}, "ok "+hawk.Server.URL+" answers as a hawkBit server: deployment 12", valid)
	file(t, hawk.Server.TokenFile, "wrong", 0o600)
	server(hawk, v020, update.Check{}, "fail ask the hawkBit server: … answered 401 Unauthorized => see that server.token_file")
	own := updates(t, year, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	own.Server.Source = config.SourceHawkbit
	server(own, v020, update.Check{}, "fail … => see that server.url, and tenant and controller_id")

	// Where it is not known what runs, the server does not hear a wrong version.
	unknown := updates(t, year, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/manifest" || r.URL.RawQuery != "" {
			t.Errorf("asked for %s", r.URL)
		}
	})
	server(unknown, compat.Version{}, update.Check{}, "ok "+unknown.Server.URL+" answers /v1/manifest: a manifest; which version runs is not known", valid)

	status := func(code int) config.Config {
		return updates(t, year, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for code, want := range map[int]string{401: "server.token_file", 403: "server.token_file", 404: "the base address alone", 429: "no other robot has this robot.id", 500: "the server's own log"} {
		for _, running := range []compat.Version{v020, {}} {
			server(status(code), running, update.Check{}, "fail … "+want)
		}
	}
	html := updates(t, year, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome") })
	server(html, v020, update.Check{}, "fail the update server's answer is refused: … => see that server.url is the update server's address")

	strange := cfg
	_, strange.Server.CAFile = certified(t, year)
	server(strange, v020, update.Check{At: noon}, "fail ask the update server: the certificate of … => openssl s_client -connect", "ok the agent itself was answered at")
	plain := httptest.NewServer(http.HandlerFunc(nothing))
	defer plain.Close()
	clear := cfg
	clear.Server.URL = strings.Replace(plain.URL, "http:", "https:", 1)
	server(clear, v020, update.Check{}, "fail … what answers there does not speak TLS")
	down := cfg
	down.Server.URL = "https://" + unused(t)
	server(down, v020, update.Check{}, "fail … => start it: nothing listens on "+strings.TrimPrefix(down.Server.URL, "https://"))
	token := cfg
	token.Server.TokenFile = "/none/token"
	server(token, v020, update.Check{}, "fail server.token_file: open /none/token … => correct it, then `ota-agent config check`")
}

// A server that takes the connection and says nothing is told as that, when the
// check's time is up.
func TestASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config.Default()
	cfg.Server.URL = "https://" + l.Addr().String()
	mqtt := mqttlink.Config{URL: "mqtts://" + l.Addr().String(), RobotID: "r1", KeepAlive: 5 * time.Second}
	for _, c := range []doctor.Check{Server(cfg, AskServer(cfg, compat.Version{Minor: 2}, "test"), update.Check{}), Broker(mqtt, nil)} {
		c.Within = 300 * time.Millisecond
		r := doctor.Run(t.Context(), []doctor.Check{c}, quiet{})
		if f := r.Findings[0]; f.Level != doctor.Fail || !strings.Contains(f.Do, "look at the network and the firewalls on the way") {
			t.Errorf("%s: %+v", c.Name, f)
		}
	}
}

type quiet struct{}

func (quiet) Waiting([]string)     {}
func (quiet) Found(doctor.Finding) {}

// unused is an address at which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestServerFaultsOfTheNetwork(t *testing.T) {
	cfg := config.Default()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", Name: "updates.robot-platform.org", IsNotFound: true}, "that this computer asks a name server: getent hosts updates.robot-platform.org"},
		{context.DeadlineExceeded, "look at the network and the firewalls on the way"},
		{&net.OpError{Op: "dial", Err: errors.New("odd")}, "openssl s_client -connect updates.robot-platform.org:443"},
	} {
		if f := serverFault(cfg, tt.err); f.Level != "fail" || !strings.Contains(f.Do, tt.want) {
			t.Errorf("%v: %+v", tt.err, f)
		}
	}
	if f := serverFault(cfg, fmt.Errorf("token: %w", fs.ErrPermission)); f.Level != "skipped" {
		t.Errorf("%+v", f)
	}
}

// One question serves both checks, and the clocks are compared by it.
func TestTheServerIsAskedOnce(t *testing.T) {
	asked := 0
	cfg := updates(t, year, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Date", time.Now().Add(-time.Hour-30*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNoContent)
	})
	ask := AskServer(cfg, compat.Version{Minor: 2}, "test")
	finds(t, Server(cfg, ask, update.Check{}), "ok ", "ok ")
	finds(t, Clock(time.Now, func() (bool, error) { return true, nil }, ask), "ok ", "fail the clock is 1h0m")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// doorman lets robots in by their password, to their own topics.
type doorman struct{ broker.HookBase }

func (*doorman) Provides(b byte) bool {
	return b == broker.OnConnectAuthenticate || b == broker.OnACLCheck
}

func (*doorman) OnConnectAuthenticate(_ *broker.Client, p packets.Packet) bool {
	return string(p.Connect.Password) == "secret"
}

func (*doorman) OnACLCheck(c *broker.Client, topic string, write bool) bool {
	return strings.HasPrefix(topic, "fleet/"+string(c.Properties.Username)+"/") && !(write && strings.HasPrefix(string(c.Properties.Username), "mute"))
}

func TestBroker(t *testing.T) {
	pair, ca := certified(t, year)
	s := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	addr := unused(t)
	l := simbroker.NewDoor(listeners.Config{ID: "x", Address: addr, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}})
	if err := errors.Join(s.AddHook(new(doorman), nil), s.AddListener(l), s.Serve()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	cfg := mqttlink.Config{URL: "mqtts://" + addr, RobotID: "r1", CAFile: ca, PasswordFile: file(t, dir+"/password", "secret", 0o600), KeepAlive: 5 * time.Second}
	with := func(f func(*mqttlink.Config)) mqttlink.Config { c := cfg; f(&c); return c }
	in, valid := "ok "+addr+" lets this robot in, and to its topics", "ok the broker's certificate is valid until"
	finds(t, Broker(mqttlink.Config{}, nil), "skipped no broker is configured")
	finds(t, Broker(cfg, nil), in, valid)
	finds(t, Broker(cfg, &control.Broker{Connected: true, Since: noon}), "ok the agent is connected to "+addr+" since", valid)
	finds(t, Broker(cfg, &control.Broker{Err: "refused", Waiting: 500}), in, valid, "warn the agent itself is not connected: refused => wait", "warn 500 events wait to be sent")
	finds(t, Broker(with(func(c *mqttlink.Config) { c.PasswordFile = file(t, dir+"/wrong", "guess", 0o600) }), nil), "fail the broker refuses the log-in … => see that mqtt.username", valid)
	finds(t, Broker(with(func(c *mqttlink.Config) { c.Username = "r2" }), nil), "fail … => let the broker's access rules give this robot's user read on fleet/r1/commands/#", valid)
	finds(t, Broker(with(func(c *mqttlink.Config) { c.RobotID = "mute1" }), nil), "warn "+addr+" lets this robot in, but … => let the broker's access rules give this robot's user write on fleet/mute1/ota/#", valid)
	finds(t, Broker(with(func(c *mqttlink.Config) { c.PasswordFile = file(t, dir+"/open", "secret", 0o644) }), nil), "fail … chmod 0600 "+dir+"/open", valid)
	finds(t, Broker(with(func(c *mqttlink.Config) { _, c.CAFile = certified(t, year) }), nil), "fail "+addr+" cannot prove that it is the fleet's broker … => put the certificate (PEM) of the authority")
	finds(t, Broker(with(func(c *mqttlink.Config) { c.CAFile = dir + "/none" }), nil), "fail what the broker is to be shown: mqtt.ca_file … => correct the files")
	finds(t, Broker(with(func(c *mqttlink.Config) { c.URL = "mqtts://" + unused(t) }), nil), "fail … => start it: nothing listens on")
}

func TestDTLS(t *testing.T) {
	s, err := simdtls.Listen(simdtls.Config{Address: "127.0.0.1:0", Identity: "robot_1", Key: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	defer func() { cancel(); <-ended }()
	dir := t.TempDir()
	psk := file(t, dir+"/psk", "robot_1:"+fmt.Sprintf("%x", "0123456789abcdef"), 0o600)
	cfg := config.DTLS{Address: s.Addr(), KeyFile: psk}
	finds(t, DTLS(config.DTLS{}, nil), "skipped no DTLS server is configured")
	shook := "ok " + s.Addr() + " shook hands with robot_1 in "
	finds(t, DTLS(cfg, nil), shook)
	finds(t, DTLS(cfg, &control.DTLS{Tries: 100}), shook, "ok all of the agent's 100 handshakes went well")
	finds(t, DTLS(cfg, &control.DTLS{Tries: 100, Failures: 5}), shook, "ok of the agent's 100 handshakes 5 failed")
	finds(t, DTLS(cfg, &control.DTLS{Tries: 100, Failures: 6, Err: "lost"}), shook, "warn of the agent's 100 handshakes 6 failed, 6 %; an update after which that is so is rolled back. The latest: lost => look at the network")
	loose := cfg
	loose.KeyFile = file(t, dir+"/loose", "robot_1:00", 0o644)
	finds(t, DTLS(loose, nil), "fail DTLS key file … chmod 600")
	stranger := cfg
	stranger.Identity = "robot_2"
	finds(t, DTLS(stranger, nil), "fail … => see that ")
	away := cfg
	away.Address = "no-such-host.invalid"
	finds(t, DTLS(away, nil), "fail the firmware's DTLS server could not be tried … => see that dtls.address is the firmware's")
}
