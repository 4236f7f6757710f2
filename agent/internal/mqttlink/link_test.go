package mqttlink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

// fake is an engine that writes down what it is asked.
type fake struct {
	mu     sync.Mutex
	status update.Status
	asked  []string
	refuse error
	news   chan struct{}
}

func newFake() *fake {
	return &fake{news: make(chan struct{}, 1),
		status: update.Status{State: update.Idle, JobID: "x-1", Running: update.Installed{Version: version("0.2.0")}}}
}

func (f *fake) ask(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.asked = append(f.asked, what)
	return nil
}

func (f *fake) Trigger(_ context.Context, r update.Request) (string, error) {
	return "job-" + r.Command, f.ask("update " + r.Command + " " + r.Version.String())
}

func (f *fake) Rollback(_ context.Context, reason string, o update.Origin) (string, error) {
	return "job-back", f.ask("rollback " + reason + " " + string(o))
}

func (f *fake) Cancel(context.Context) error { return f.ask("cancel") }

func (f *fake) Status() update.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) News() (<-chan struct{}, func()) { return f.news, func() {} }

func (f *fake) set(change func(*update.Status)) {
	f.mu.Lock()
	change(&f.status)
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

func (f *fake) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// robot is a link that runs.
type robot struct {
	*Link
	engine *fake
	stop   func()
}

func run(t *testing.T, cfg Config, e *fake) *robot {
	t.Helper()
	l, err := New(cfg, update.New(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx, e) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the link does not stop")
		}
	})
	t.Cleanup(stop)
	return &robot{l, e, stop}
}

// fleet is an operator's client.
type fleet struct {
	mqtt.Client
	listens  atomic.Int32 // how often it has begun to
	mu       sync.Mutex
	online   []Online
	status   []update.Status
	events   []Event // without followed
	followed []Event // the verdicts that a command was
}

func dialFleet(t *testing.T, s *site, user string) *fleet {
	t.Helper()
	f := &fleet{}
	d, err := newDialer(s.config(t, "x"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.config()
	if err != nil {
		t.Fatal(err)
	}
	f.Client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + s.ByPassword).SetTLSConfig(c).SetClientID(user + "-" + t.Name()).
		SetUsername(user).SetPassword(password).SetCleanSession(true).SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
		SetMaxReconnectInterval(200 * time.Millisecond).SetDefaultPublishHandler(f.take).
		SetOnConnectHandler(func(c mqtt.Client) {
			if k := c.Subscribe("fleet/+/ota/#", 1, nil); k.Wait() && k.Error() == nil {
				f.listens.Add(1)
			}
		}))
	token(t, f.Connect())
	eventually(t, "the operator listens", func() bool { return f.listens.Load() > 0 })
	t.Cleanup(func() { f.Disconnect(100) })
	return f
}

func token(t *testing.T, k mqtt.Token) {
	t.Helper()
	if !k.WaitTimeout(10*time.Second) || k.Error() != nil {
		t.Fatalf("the broker does not answer the test: %v", k.Error())
	}
}

func (f *fleet) take(_ mqtt.Client, m mqtt.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case strings.HasSuffix(m.Topic(), "/online"):
		f.online = append(f.online, decode[Online](m))
	case strings.HasSuffix(m.Topic(), "/status"):
		f.status = append(f.status, decode[update.Status](m))
	case strings.HasSuffix(m.Topic(), "/event"):
		e := decode[Event](m)
		if e.Verdict == VerdictFollowed {
			f.followed = append(f.followed, e)
			return
		}
		f.events = append(f.events, e)
	}
}

func decode[T any](m mqtt.Message) (v T) {
	if err := json.Unmarshal(m.Payload(), &v); err != nil {
		panic(err)
	}
	return v
}

// say publishes a command to r1.
func (f *fleet) say(t *testing.T, v verb, text string) {
	t.Helper()
	token(t, f.Publish("fleet/r1/commands/"+string(v), 1, false, text))
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("this did not happen: %s", what)
}

func (f *fleet) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return ok()
	})
}

func (f *fleet) awaitOnline(t *testing.T, want bool) Online {
	t.Helper()
	f.await(t, fmt.Sprintf("online is %v", want), func() bool { return len(f.online) > 0 && f.online[len(f.online)-1].Online == want })
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.online[len(f.online)-1]
}

// codes are the verdicts so far.
func (f *fleet) codes() (codes []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Kind == KindCommand {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

func steps(l *Link, n int) {
	all := update.States()
	for i := range n {
		before, after := update.New(), update.New()
		before.Job.ID, after.Job.ID = "job-1", "job-1"
		before.Job.State, after.Job.State = all[i%len(all)], all[(i+1)%len(all)]
		after.Job.Evidence = []string{fmt.Sprint("step ", i)}
		l.Stepped(before, after, "update.Proven")
	}
}

// inOrder says that n events of steps have come, each once.
func (f *fleet) inOrder(t *testing.T, n int) {
	t.Helper()
	f.await(t, fmt.Sprint(n, " events"), func() bool { return len(f.events) >= n })
	time.Sleep(50 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []Event
	for _, e := range f.events {
		if e.Kind != KindTransition {
			continue
		}
		if len(got) == 0 || got[len(got)-1].ID != e.ID { // QoS 1 may bring the last one of a lost connection twice
			got = append(got, e)
		}
	}
	if len(got) != n {
		t.Errorf("%d events, want %d", len(got), n)
	}
	for i, e := range got {
		if e.Seq != got[0].Seq+uint64(i) || e.Evidence[0] != fmt.Sprint("step ", i) || e.Lost != 0 || e.RobotID != "r1" || e.Cause != "Proven" {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
}

func TestConversation(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		r := run(t, s.config(t, "r1"), newFake())
		if o := ops.awaitOnline(t, true); o.Agent != "test" || o.At.IsZero() {
			t.Errorf("%+v", o)
		}
		ops.await(t, "a status", func() bool { return len(ops.status) == 1 && ops.status[0].State == update.Idle })
		ops.say(t, verbUpdate, good(`,"id":"c-1"`))
		ops.say(t, verbUpdate, `{"nonsense":1}`)
		ops.say(t, verbRollback, `{"id":"r-1","reason":"brakes"}`)
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		ops.say(t, verbUpdate, strings.Repeat("x", 1<<20))
		want := []string{"update c-1 0.2.1", "rollback brakes mqtt", "cancel"}
		eventually(t, "three commands are followed", func() bool { return slices.Equal(r.engine.heard(), want) })
		eventually(t, "two are refused", func() bool { return slices.Equal(ops.codes(), []string{codeMalformed, codeOversized}) })
		r.engine.mu.Lock()
		r.engine.refuse = &update.BusyError{JobID: "job-7", State: update.Writing}
		r.engine.mu.Unlock()
		ops.say(t, verbUpdate, good(`,"id":"c-2"`))
		ops.await(t, "the job that stands in the way is named", func() bool {
			e := ops.events[len(ops.events)-1]
			return e.Code == codeBusy && e.JobID == "job-7" && e.Command == "c-2" && e.Topic == "commands/ota" && e.Verdict == VerdictRefused
		})
		r.engine.set(func(s *update.Status) { s.State, s.JobID = update.Writing, "job-1" })
		ops.await(t, "the change of state", func() bool { return ops.status[len(ops.status)-1].State == update.Writing })
		r.stop()
		if o := ops.awaitOnline(t, false); o.Reason != "stopped" {
			t.Errorf("%+v", o)
		}
	})
}

func TestRetainedForWhoComesLate(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		r := run(t, s.config(t, "r1"), newFake())
		first := dialFleet(t, s, operator)
		first.awaitOnline(t, true)
		r.stop()
		first.awaitOnline(t, false)
		first.Disconnect(100)
		late := dialFleet(t, s, operator)
		late.awaitOnline(t, false)
		late.await(t, "the last status", func() bool { return len(late.status) == 1 })
	})
}

func TestCommandsWhileAway(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		cfg := s.config(t, "r1")
		r := run(t, cfg, newFake())
		ops.awaitOnline(t, true)
		r.stop()
		ops.awaitOnline(t, false)
		ops.say(t, verbUpdate, good(`,"id":"c-1"`))
		for i := range 200 {
			ops.say(t, verbUpdate, good(fmt.Sprintf(`,"id":"old-%d","issued":1600000000`, i)))
		}
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		e := newFake()
		run(t, cfg, e)
		want := []string{"update c-1 0.2.1", "cancel"}
		eventually(t, "they arrive", func() bool { return len(e.heard()) == len(want) })
		got := e.heard()
		if s.Embedded { // which forgets the order of one second's messages
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		eventually(t, "the stale ones are refused", func() bool {
			codes := ops.codes()
			return len(codes) == 200 && !slices.ContainsFunc(codes, func(c string) bool { return c != codeStale })
		})
	})
}

func TestTwiceActsOnce(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		cfg := s.config(t, "r1")
		r := run(t, cfg, newFake())
		ops.awaitOnline(t, true)
		ops.say(t, verbUpdate, good(`,"id":"c-1"`))
		ops.say(t, verbUpdate, good(`,"id":"c-1"`))
		eventually(t, "it is followed and ignored", func() bool { return len(r.engine.heard()) == 1 && len(ops.codes()) == 1 })
		r.stop()
		ops.awaitOnline(t, false)
		ops.say(t, verbUpdate, good(`,"id":"c-1"`))
		e := newFake()
		run(t, cfg, e)
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		eventually(t, "what was said after it is followed", func() bool { return len(e.heard()) > 0 })
		if got := e.heard(); !slices.Equal(got, []string{"cancel"}) {
			t.Errorf("followed again after a restart: %q", got)
		}
		ops.mu.Lock()
		defer ops.mu.Unlock()
		if ev := ops.followed[0]; ev.Command != "c-1" || ev.JobID != "job-c-1" || ev.Topic != "commands/ota" || ev.Kind != KindCommand {
			t.Errorf("%+v", ev)
		}
		if ev := ops.events[0]; ev.Verdict != VerdictIgnored || ev.Code != codeDuplicate || ev.JobID != "job-c-1" {
			t.Errorf("%+v", ev)
		}
	})
}

func TestRetainedCommand(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		token(t, ops.Publish("fleet/r1/commands/ota", 1, true, good(`,"id":"c-1"`)))
		c := newCable(t, s.ByPassword)
		cfg := s.config(t, "r1")
		cfg.URL = "mqtts://" + c.addr
		r := run(t, cfg, newFake())
		eventually(t, "it is refused", func() bool { return slices.Equal(ops.codes(), []string{codeRetained}) })
		c.plug <- cut
		ops.awaitOnline(t, false)
		c.plug <- whole
		ops.awaitOnline(t, true)
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		eventually(t, "the next is followed", func() bool { return slices.Equal(r.engine.heard(), []string{"cancel"}) })
		if codes := ops.codes(); len(codes) != 1 {
			t.Errorf("refused with every connection: %q", codes)
		}
	})
}

func TestBrokerGone(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		c := newCable(t, s.ByPassword)
		cfg := s.config(t, "r1")
		cfg.URL = "mqtts://" + c.addr
		r := run(t, cfg, newFake())
		ops.awaitOnline(t, true)
		s.Stop(t)
		c.plug <- cut // until the operator listens: what nobody does is lost
		steps(r.Link, 50)
		s.Start(t)
		eventually(t, "the test listens again", func() bool { return ops.listens.Load() == 2 })
		c.plug <- whole
		ops.inOrder(t, 50)
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		eventually(t, "commands arrive again", func() bool { return len(r.engine.heard()) == 1 })
	})
}

func TestPartition(t *testing.T) {
	for name, how := range map[string]state{"cut": cut, "dark": dark} {
		t.Run(name, func(t *testing.T) {
			brokers(t, func(t *testing.T, s *site) {
				ops := dialFleet(t, s, operator)
				c := newCable(t, s.ByPassword)
				cfg := s.config(t, "r1")
				cfg.URL = "mqtts://" + c.addr
				r := run(t, cfg, newFake())
				ops.awaitOnline(t, true)
				c.plug <- how
				if o := ops.awaitOnline(t, false); o.Reason != "connection_lost" {
					t.Errorf("last will %+v", o)
				}
				steps(r.Link, 30)
				ops.say(t, verbCancel, `{"id":"x-1"}`)
				c.plug <- whole
				ops.awaitOnline(t, true)
				ops.inOrder(t, 30)
				eventually(t, "the command said meanwhile arrives", func() bool { return len(r.engine.heard()) == 1 })
			})
		})
	}
}

func TestWaysIn(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		loose := s.File("loose")
		if err := os.WriteFile(loose, []byte(password), 0o644); err != nil {
			t.Fatal(err)
		}
		wrong := s.File("wrong")
		if err := os.WriteFile(wrong, []byte("guess"), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			change func(*Config)
			ok     func(error) bool
		}{
			"password": {func(*Config) {}, func(err error) bool { return err == nil }},
			"certificate": {func(c *Config) {
				c.URL, c.PasswordFile, c.CertFile, c.KeyFile = "mqtts://"+s.ByCert, "", s.File("r1.pem"), s.File("r1.key")
			}, func(err error) bool { return err == nil }},
			"no certificate": {func(c *Config) { c.URL = "mqtts://" + s.ByCert }, func(err error) bool { return err != nil }},
			"wrong password": {func(c *Config) { c.PasswordFile = wrong }, func(err error) bool { return err != nil && !strings.Contains(err.Error(), "guess") }},
			"nothing":        {func(c *Config) { c.PasswordFile = "" }, func(err error) bool { return err != nil }},
			"loose password": {func(c *Config) { c.PasswordFile = loose }, func(err error) bool { return errors.Is(err, bounded.ErrOpen) }},
			"other authority": {func(c *Config) { c.CAFile = s.File("other.pem") }, func(err error) bool {
				var bad *tls.CertificateVerificationError
				return errors.As(err, &bad)
			}},
		} {
			t.Run(name, func(t *testing.T) {
				cfg := s.config(t, "r1")
				tt.change(&cfg)
				d, err := newDialer(cfg, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				c, err := d.session(t.Context(), func(delivery) {}, Online{})
				if err == nil {
					err = c.publish(t.Context(), "ota/online", true, []byte("{}"))
					c.close()
				}
				if !tt.ok(err) {
					t.Errorf("got %v", err)
				}
			})
		}
	})
}

// TestOthersTopics: what another robot says reaches nobody, and a robot that
// is not who it says it is hears nothing.
func TestOthersTopics(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		ops := dialFleet(t, s, operator)
		r := run(t, s.config(t, "r1"), newFake())
		ops.awaitOnline(t, true)
		bad := dialFleet(t, s, "r2")
		bad.Publish("fleet/r1/commands/cancel", 1, false, `{"id":"evil"}`).WaitTimeout(time.Second) // a broker may throw it out instead
		ops.say(t, verbCancel, `{"id":"x-1"}`)
		eventually(t, "the operator's arrives", func() bool { return len(r.engine.heard()) > 0 })
		if got := r.engine.heard(); len(got) != 1 {
			t.Errorf("another robot's command was followed: %q", got)
		}
		if !s.Embedded {
			return // Mosquitto grants subscriptions, and then delivers nothing
		}
		cfg := s.config(t, "r1")
		cfg.Username = "r2"
		d, err := newDialer(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.session(t.Context(), func(delivery) {}, Online{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.subscribe(t.Context()); err == nil {
			t.Error("the subscription to another robot's commands counts as granted")
		}
	})
}
