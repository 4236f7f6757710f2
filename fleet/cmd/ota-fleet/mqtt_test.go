package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

// robotOn is a client of the broker that says it is r1.
func robotOn(t *testing.T, s *brokertest.Site, heard chan<- string) mqtt.Client {
	t.Helper()
	pem, err := os.ReadFile(s.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + s.ByPassword).SetTLSConfig(&tls.Config{RootCAs: pool}).
		SetClientID("r1").SetUsername("r1").SetPassword(brokertest.Password).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		heard <- m.Topic() + " " + string(m.Payload())
	}))
	for _, ask := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Subscribe("fleet/r1/commands/rollback", 1, nil) }} {
		if token := ask(); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
			t.Fatal("no broker", token.Error())
		}
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// show is what robot show says of r1.
func (l *lab) show(t *testing.T) (r shown) {
	t.Helper()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"robot", "show", "--data", l.file("data"), "--json", "r1"}, &out, &out); code != exitOK {
		t.Fatalf("%d: %s", code, out.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r
}

func (l *lab) await(t *testing.T, what string, ok func(shown) bool) shown {
	t.Helper()
	var r shown
	for range 300 {
		if r = l.show(t); ok(r) {
			return r
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("this did not happen: %s; %+v", what, r)
	return r
}

// A server process with a broker: what a robot publishes is known, a command
// reaches it and is answered, and a server that is killed forgets nothing.
func TestServeWithBroker(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, s *brokertest.Site) {
		l := prepare(t)
		l.do(t, "robot", "add", "--data", l.file("data"), "--sku", "standard", "--no-token", "r1")
		options := []string{"--mqtt-url", "mqtts://" + s.ByPassword, "--mqtt-ca", s.File("ca.pem"), "--mqtt-user", brokertest.Operator, "--mqtt-password-file", s.File("password")}
		l.serve(t, options...)
		heard := make(chan string, 10)
		robot := robotOn(t, s, heard)
		say := func(name string, retained bool) {
			raw, err := os.ReadFile("../../../tests/contract/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(name, "-")
			if token := robot.Publish("fleet/r1/ota/"+kind, 1, retained, raw); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
				t.Fatal("the broker does not answer", token.Error())
			}
		}
		say("status", true)
		l.await(t, "the status is known", func(r shown) bool { return r.State.Version.String() == "0.2.0" && r.State.JobState == "downloading" })
		data, err := store.Open(t.Context(), store.Options{Dir: l.file("data"), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		err = data.Update(t.Context(), "test", func(tx *store.Tx) error {
			return tx.Enqueue(t.Context(), store.Command{ID: "c-2", Robot: "r1", Verb: store.VerbRollback, Payload: json.RawMessage(`{"id":"c-2","reason":"because"}`)})
		})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if got != `fleet/r1/commands/rollback {"id":"c-2","reason":"because"}` {
				t.Error(got)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the command does not reach the robot")
		}
		l.await(t, "it is noted that it was sent", func(r shown) bool { return r.Commands[0].Sends == 1 })
		if err := l.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = l.cmd.Wait()
		for _, name := range []string{"event-followed", "event-transition"} {
			say(name, false)
		}
		l.serve(t, options...)
		r := l.await(t, "the answer is known", func(r shown) bool { return len(r.Events) == 2 })
		if c := r.Commands[0]; c.Verdict != "followed" || c.Sends != 1 {
			t.Errorf("%+v", c)
		}
		if u := r.Updates; len(u) != 1 || u[0].Outcome != "rolled_back" || u[0].Code != "unexplained_estop" {
			t.Errorf("%+v", u)
		}
	})
}

func TestBrokerFlags(t *testing.T) {
	l := prepare(t)
	for want, options := range map[string][]string{
		"need --mqtt-url":         {"--mqtt-user", "fleet"},
		"want mqtts":              {"--mqtt-url", "mqtt://broker.example"},
		"goes with a user's name": {"--mqtt-url", "mqtts://broker.example", "--mqtt-password-file", l.file("tls/ca.pem")},
	} {
		var out bytes.Buffer
		args := append([]string{"serve", "--data", l.file("data"), "--tls-cert", l.file("tls/server.pem"), "--tls-key", l.file("tls/server-key.pem"), "--listen", "127.0.0.1:0"}, options...)
		if code := run(t.Context(), args, &out, &out); code == exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %d %s, want …%s…", options, code, out.String(), want)
		}
	}
}
