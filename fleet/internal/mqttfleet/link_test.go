package mqttfleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// air is a broker in fake time.
type air struct {
	mu      sync.Mutex
	fail    error       // of dialling
	tries   []time.Time // to connect
	said    []string
	forgot  bool // the session of before
	open    *airSession
	deliver func(delivery)
}

type airSession struct {
	air  *air
	once sync.Once
	gone chan struct{}
}

func (a *air) dial(_ context.Context, arrived func(delivery)) (session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries = append(a.tries, time.Now())
	if a.fail != nil {
		return nil, a.fail
	}
	a.open, a.deliver = &airSession{air: a, gone: make(chan struct{})}, arrived
	return a.open, nil
}

func (s *airSession) end()                            { s.once.Do(func() { close(s.gone) }) }
func (s *airSession) subscribe(context.Context) error { return nil }
func (s *airSession) lost() <-chan struct{}           { return s.gone }
func (s *airSession) why() error                      { return mqttline.ErrGone }
func (s *airSession) close()                          { s.end() }

func (s *airSession) kept() (yes bool) {
	s.air.set(func() { yes = !s.air.forgot })
	return yes
}

func (s *airSession) publish(_ context.Context, topic string, payload []byte) func() error {
	select {
	case <-s.gone:
		return func() error { return mqttline.ErrGone }
	default:
	}
	s.air.mu.Lock()
	defer s.air.mu.Unlock()
	s.air.said = append(s.air.said, topic+" "+string(payload))
	return func() error { return nil }
}

func (a *air) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *air) heard() (out []string) {
	a.set(func() { out = slices.Clone(a.said) })
	return out
}

// aloft runs f over a link whose broker is a, in fake time.
func aloft(t *testing.T, a *air, m *memory, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{URL: "mqtts://broker", KeepAlive: time.Minute, Now: time.Now}, m, m, nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		l.dial = a.dial
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		f(t)
	})
}

func TestAnHourWithoutBroker(t *testing.T) {
	a := &air{fail: errors.New("no route to host")}
	m := &memory{pending: []store.Command{command(1)}}
	aloft(t, a, m, func(t *testing.T) {
		time.Sleep(time.Hour)
		a.set(func() {
			if n := len(a.tries); n < 120 || n > 260 {
				t.Errorf("%d tries in an hour", n)
			}
			a.fail = nil
		})
		time.Sleep(maxWait)
		if got := a.heard(); len(got) != 1 || got[0] != `fleet/r1/commands/rollback {"id":"c-1","reason":"because"}` {
			t.Errorf("%q", got)
		}
	})
}

// A command goes out within seconds, once; and again where the broker forgot it.
func TestCommands(t *testing.T) {
	a, m := &air{}, &memory{}
	aloft(t, a, m, func(t *testing.T) {
		for n := range 1000 {
			m.set(func() { m.pending = append(m.pending, command(n)) })
		}
		time.Sleep(2 * time.Second)
		if n := len(a.heard()); n != 1000 {
			t.Fatalf("%d commands in two seconds", n)
		}
		time.Sleep(time.Minute)
		if n := len(a.heard()); n != 1000 {
			t.Errorf("%d commands, they are 1000", n)
		}
		a.set(func() { a.open.end() })
		time.Sleep(time.Minute)
		if n := len(a.heard()); n != 1000 {
			t.Errorf("%d commands after a lost connection", n)
		}
		a.set(func() { a.forgot = true; a.open.end() })
		time.Sleep(time.Minute)
		if n := len(a.heard()); n != 2000 {
			t.Errorf("%d commands after the broker lost the session", n)
		}
	})
}

// A command that cannot be sent does not stand in the way of others.
func TestBadCommand(t *testing.T) {
	a := &air{}
	m := &memory{pending: []store.Command{
		{ID: "no-object", Robot: "r1", Verb: store.VerbOTA, Payload: []byte(`null`)},
		{ID: "everybody", Robot: "+", Verb: store.VerbOTA, Payload: []byte(`{}`)},
		{ID: "good", Robot: "r1", Verb: store.VerbOTA, Payload: []byte(`{"id":"own","url":"x"}`)},
	}}
	aloft(t, a, m, func(t *testing.T) {
		time.Sleep(2 * time.Second)
		if got := a.heard(); len(got) != 1 || got[0] != `fleet/r1/commands/ota {"id":"own","url":"x"}` {
			t.Errorf("%q", got)
		}
	})
}

// What is not stored is not acknowledged, and stored once the store is back.
func TestStoreAway(t *testing.T) {
	a, m := &air{}, &memory{refuse: func(Message) bool { return true }}
	aloft(t, a, m, func(t *testing.T) {
		var acked atomic.Int32
		for n := range 10 {
			a.deliver(delivery{Message: Message{Topic: fmt.Sprint(n)}, ack: func() { acked.Add(1) }})
		}
		time.Sleep(time.Hour)
		if acked.Load() != 0 || m.count("") != 0 {
			t.Errorf("%d acknowledged, %d stored", acked.Load(), m.count(""))
		}
		m.set(func() { m.refuse = nil })
		time.Sleep(maxPause + time.Second)
		if acked.Load() != 10 || m.count("") != 10 {
			t.Errorf("%d acknowledged, %d stored", acked.Load(), m.count(""))
		}
		m.set(func() {
			for n, x := range m.taken {
				if x.Topic != fmt.Sprint(n) {
					t.Errorf("%d is %s", n, x.Topic)
				}
			}
		})
	})
}

// A message that the store never takes does not hold up the others for ever.
func TestPoison(t *testing.T) {
	a, m := &air{}, &memory{refuse: func(x Message) bool { return strings.HasPrefix(x.Topic, "bad") }}
	aloft(t, a, m, func(t *testing.T) {
		var givenUp atomic.Int32
		say := func(topic string) {
			a.deliver(delivery{Message: Message{Topic: topic}, ack: func() {
				if topic == "bad" {
					givenUp.Add(1)
				}
			}})
			time.Sleep(10 * time.Second)
		}
		say("bad")
		if givenUp.Load() != 0 {
			t.Error("given up although nothing else could be stored")
		}
		for n := range 5 {
			say(fmt.Sprint("good", n))
		}
		if givenUp.Load() != 1 || m.count("") != 5 {
			t.Errorf("given up %d times, %d stored", givenUp.Load(), m.count(""))
		}
	})
}

// A burst waits with the broker, and what nobody waits for is dropped.
func TestBurst(t *testing.T) {
	a, m := &air{}, &memory{slow: time.Second}
	aloft(t, a, m, func(t *testing.T) {
		const many = 100_000
		offered := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range many {
				a.deliver(delivery{Message: Message{Topic: "health"}}) // of QoS 0
				offered++
			}
		}()
		<-done
		time.Sleep(time.Hour)
		if n := m.count("health"); n > maxQueue+maxBatch || n < maxQueue {
			t.Errorf("%d of %d were kept", n, offered)
		}
		var acked atomic.Int32
		for range maxQueue * 3 {
			a.deliver(delivery{Message: Message{Topic: "event"}, ack: func() { acked.Add(1) }})
		}
		time.Sleep(time.Hour)
		if n := m.count("event"); n != maxQueue*3 || int(acked.Load()) != n {
			t.Errorf("%d stored, %d acknowledged", n, acked.Load())
		}
		m.set(func() {
			if m.largest > maxBatch {
				t.Errorf("%d in one transaction", m.largest)
			}
		})
	})
}

func TestConfig(t *testing.T) {
	good := func() Config { return Config{URL: "mqtts://broker:8883", KeepAlive: time.Minute, Now: time.Now} }
	for why, change := range map[string]func(*Config){
		"mqtts://host":        func(c *Config) { c.URL = "broker" },
		"mqtts://host:port":   func(c *Config) { c.URL = "mqtts://user:secret@broker" },
		"not protected":       func(c *Config) { c.URL = "mqtt://broker" },
		"go together":         func(c *Config) { c.CertFile = "x" },
		"with a user's name":  func(c *Config) { c.PasswordFile = "x" },
		"whole seconds":       func(c *Config) { c.KeepAlive = 1500 * time.Millisecond },
		"no such file":        func(c *Config) { c.CAFile = "/nowhere" },
		"without a clock":     func(c *Config) { c.Now = nil },
		"no such file or dir": func(c *Config) { c.Username, c.PasswordFile = "fleet", "/nowhere" },
	} {
		c := good()
		change(&c)
		if _, err := New(c, nil, nil, nil, quiet()); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want …%s…", err, why)
		}
	}
	if _, err := New(good(), nil, nil, nil, quiet()); err != nil {
		t.Error(err)
	}
}
