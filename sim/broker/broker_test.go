package broker_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/sim/broker"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is one that has not connected yet.
func client(t *testing.T, s *brokertest.Site, address, user, password string) *mqtt.ClientOptions {
	t.Helper()
	pem, err := os.ReadFile(s.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AppendCertsFromPEM(pem)
	if address == s.ByCert {
		pair, err := tls.LoadX509KeyPair(s.File("r1.pem"), s.File("r1.key"))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return mqtt.NewClientOptions().AddBroker("ssl://" + address).SetTLSConfig(c).SetClientID(user + "-" + address).
		SetUsername(user).SetPassword(password).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second)
}

func connect(t *testing.T, o *mqtt.ClientOptions) (mqtt.Client, error) {
	t.Helper()
	c := mqtt.NewClient(o)
	k := c.Connect()
	if !k.WaitTimeout(15 * time.Second) {
		t.Fatal("the broker does not answer")
	}
	t.Cleanup(func() { c.Disconnect(50) })
	return c, k.Error()
}

func await(t *testing.T, k mqtt.Token) error {
	t.Helper()
	if !k.WaitTimeout(10 * time.Second) {
		t.Fatal("the broker does not answer")
	}
	return k.Error()
}

func TestWhoComesIn(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		for name, tt := range map[string]struct {
			address, user, password string
			in                      bool
		}{
			"with the password":        {s.ByPassword, "r1", brokertest.Password, true},
			"with a wrong one":         {s.ByPassword, "r1", "guess", false},
			"without one":              {s.ByPassword, "r1", "", false},
			"nobody":                   {s.ByPassword, "", brokertest.Password, false},
			"a stranger":               {s.ByPassword, "r3", brokertest.Password, false},
			"a user that is everybody": {s.ByPassword, "+", brokertest.Password, false},
			"with a certificate":       {s.ByCert, "", "", true},
		} {
			if _, err := connect(t, client(t, s, tt.address, tt.user, tt.password)); (err == nil) != tt.in {
				t.Errorf("%s: %v", name, err)
			}
		}
		o := client(t, s, s.ByCert, "r1", brokertest.Password)
		o.TLSConfig.Certificates = nil
		if _, err := connect(t, o); err == nil {
			t.Error("somebody without a certificate comes in where certificates are asked for")
		}
	})
}

// TestWhoReachesWhat: the operator hears everything, so what it does not hear
// was not let through; and each robot hears of its own topics alone.
func TestWhoReachesWhat(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		heard := make(chan string, 100)
		listen := func(user string, filters ...string) {
			c, err := connect(t, client(t, s, s.ByPassword, user, brokertest.Password).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
				heard <- user + " " + m.Topic() + " " + string(m.Payload())
			}))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range filters {
				if err := await(t, c.Subscribe(f, 1, nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		listen(brokertest.Operator, "#")
		listen("r2", "#", "fleet/#", "fleet/+/ota/event", "fleet/r1/commands/ota", "fleet/r2/commands/ota")
		say := func(c mqtt.Client, topic, text string) { await(t, c.Publish(topic, 0, false, text)) } //nolint:errcheck // a broker may end the connection instead
		r1, err := connect(t, client(t, s, s.ByCert, "r2", ""))                                       // its certificate says r1
		if err != nil {
			t.Fatal(err)
		}
		say(r1, "fleet/r1/ota/event", "own")
		say(r1, "fleet/r2/ota/event", "another's")
		say(r1, "fleet/r10/ota/event", "one that begins alike")
		if r1.IsConnectionOpen() {
			say(r1, "else", "outside")
			r1.Disconnect(0)
		}
		dies(t, client(t, s, s.ByPassword, "r1", brokertest.Password).SetWill("fleet/r2/ota/online", "another's will", 1, false))
		dies(t, client(t, s, s.ByPassword, "r1", brokertest.Password).SetWill("fleet/r1/ota/online", "own will", 1, false))
		ops, err := connect(t, client(t, s, s.ByPassword, "operator", brokertest.Password).SetClientID("second"))
		if err != nil {
			t.Fatal(err)
		}
		say(ops, "fleet/r2/commands/ota", "go")
		want := map[string]bool{"operator fleet/r1/ota/event own": true, "operator fleet/r1/ota/online own will": true,
			"operator fleet/r2/commands/ota go": true, "r2 fleet/r2/commands/ota go": true}
		for len(want) > 0 {
			select {
			case line := <-heard:
				if !want[line] {
					t.Errorf("heard %q", line)
				}
				delete(want, line)
			case <-time.After(10 * time.Second):
				t.Fatalf("did not hear %v", want)
			}
		}
	})
}

// dies comes in and ends without a word, so that its last will is due.
func dies(t *testing.T, o *mqtt.ClientOptions) {
	t.Helper()
	var conn net.Conn
	o.SetCustomOpenConnectionFn(func(u *url.URL, o mqtt.ClientOptions) (c net.Conn, err error) {
		conn, err = (&tls.Dialer{Config: o.TLSConfig}).DialContext(t.Context(), "tcp", u.Host)
		return conn, err
	})
	if _, err := connect(t, o); err != nil {
		t.Logf("not let in with its will: %v", err)
		return
	}
	_ = conn.Close()
}

func TestPasswordFile(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		mode       os.FileMode
	}{
		"good":         {"# who\n\noperator:a:b\n r1:c \n", "", 0o600},
		"open":         {"r1:c\n", "others may read the passwords", 0o644},
		"no password":  {"r1:c\nr2\n", ":2: r2 has no password", 0o600},
		"twice":        {"r1:c\nr1:d\n", "r1 is there twice", 0o600},
		"no such name": {"+:c\n", `user "+": want 1 to 64 letters`, 0o600},
	} {
		file := filepath.Join(t.TempDir(), "passwords")
		if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		users, err := broker.ReadUsers(file)
		switch {
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", name, err)
		case tt.want == "" && (err != nil || len(users) != 2 || users["operator"] != "a:b" || users["r1"] != "c"):
			t.Errorf("%s: %v, %v", name, users, err)
		}
	}
}

func TestConfigurationThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	brokertest.Certificates(t, dir)
	good := broker.Config{CertFile: filepath.Join(dir, "broker.pem"), KeyFile: filepath.Join(dir, "broker.key"), ByPassword: "127.0.0.1:0", Users: map[string]string{"r1": "x"}}
	for want, change := range map[string]func(*broker.Config){
		"no address":      func(c *broker.Config) { c.ByPassword = "" },
		"nobody has":      func(c *broker.Config) { c.Users = nil },
		"an authority":    func(c *broker.Config) { c.ByCert = "127.0.0.1:0" },
		`user "#"`:        func(c *broker.Config) { c.Operator = "#" },
		`user "a/b"`:      func(c *broker.Config) { c.Users = map[string]string{"a/b": "x"} },
		"certificate":     func(c *broker.Config) { c.CertFile = "/none" },
		"listen at ":      func(c *broker.Config) { c.ByPassword = "127.0.0.1:99999" },
		"no certificate ": func(c *broker.Config) { c.ByCert, c.CAFile = "127.0.0.1:0", filepath.Join(dir, "r1.key") },
	} {
		c := good
		change(&c)
		if _, err := broker.Open(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := broker.Mosquitto(good, dir); err == nil || !strings.Contains(err.Error(), "want host:port") {
		t.Errorf("a port that Mosquitto cannot choose: %v", err)
	}
}
