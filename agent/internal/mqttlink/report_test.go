package mqttlink

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// server is an update server in fake time.
type server struct {
	air // what it took: the topics and payloads
	// answer is how it answers a topic; 0: 204.
	answer  func(topic string) int
	retry   string // Retry-After
	bad     []string
	refused []time.Time
}

func (s *server) Do(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		s.tries = append(s.tries, time.Now())
		return nil, s.fail
	}
	raw, err := io.ReadAll(req.Body)
	var r reported
	if err != nil || json.Unmarshal(raw, &r) != nil || len(r.Documents) != 1 || req.Method != "POST" ||
		req.URL.String() != "https://updates/base/v1/report" || req.Header.Get("Content-Type") != "application/json" {
		s.bad = append(s.bad, req.Method+" "+req.URL.String()+" "+string(raw))
	}
	status := http.StatusNoContent
	topic := r.Documents[0].Topic
	if s.answer != nil {
		if a := s.answer(topic); a != 0 {
			status = a
			s.refused = append(s.refused, time.Now())
		}
	}
	if status == http.StatusNoContent {
		s.said = append(s.said, saying{topic, string(r.Documents[0].Payload), time.Now()})
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {s.retry}}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// reporting runs f over a link that reports to s, in fake time.
func reporting(t *testing.T, s *server, f func(t *testing.T, l *Link, e *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u, err := url.Parse("https://updates/base")
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewReporter(Config{RobotID: "r1", StateDir: t.TempDir()}, u, s, update.New(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.WithCensus(&counting{})
		e := newFake()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx, e) }()
		f(t, l, e)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.bad) > 0 {
			t.Errorf("%q", s.bad)
		}
	})
}

// The same words go to the server that would go to the broker; progress at a
// pace that it can bear.
func TestReport(t *testing.T) {
	s := &server{}
	reporting(t, s, func(t *testing.T, l *Link, e *fake) {
		steps(l, 3)
		time.Sleep(time.Minute)
		if got := s.on("ota/event"); len(got) != 3 || !strings.Contains(got[0].payload, `"robot_id":"r1"`) {
			t.Errorf("%v", got)
		}
		began := len(s.on("ota/status"))
		for i := range 60 { // a minute of a download
			e.set(func(st *update.Status) { st.State, st.BytesDone = update.Downloading, int64(i+1) })
			time.Sleep(time.Second)
		}
		if n := len(s.on("ota/status")) - began; n < 6 || n > 8 {
			t.Errorf("%d statuses in a minute of progress", n)
		}
		time.Sleep(10 * time.Minute)
		if n := len(s.on("ota/health")); n < 9 || n > 13 {
			t.Errorf("%d times health in 12 minutes", n)
		}
	})
	if got := s.on("ota/online"); len(got) != 2 || !strings.Contains(got[0].payload, `"online":true`) || !strings.Contains(got[1].payload, `"reason":"stopped"`) {
		t.Errorf("%v", got)
	}
}

// A server that is away is asked ever more seldom, and told all of it later, in
// order.
func TestReportLater(t *testing.T) {
	s := &server{air: air{fail: errors.New("no route to host")}}
	reporting(t, s, func(t *testing.T, l *Link, _ *fake) {
		for range 60 {
			steps(l, 1)
			time.Sleep(time.Minute)
		}
		s.set(func() {
			if n := len(s.tries); n < 30 || n > 75 {
				t.Errorf("%d tries in an hour", n)
			}
			s.fail = nil
		})
		time.Sleep(maxWait + time.Second)
		var seqs []int
		for _, e := range s.on("ota/event") {
			var x struct{ Seq int }
			if err := json.Unmarshal([]byte(e.payload), &x); err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, x.Seq)
		}
		if len(seqs) != 60 || !slices.IsSorted(seqs) {
			t.Errorf("%v", seqs)
		}
	})
}

// Retry-After counts, and an event that comes to grief there comes again.
func TestReportTooMany(t *testing.T) {
	s := &server{retry: "600", answer: func(string) int { return http.StatusTooManyRequests }}
	reporting(t, s, func(t *testing.T, l *Link, _ *fake) {
		steps(l, 1)
		time.Sleep(time.Hour)
		s.set(func() {
			if n := len(s.refused); n < 5 || n > 7 {
				t.Errorf("asked %d times in an hour: %v", n, s.refused)
			}
			s.answer = nil
		})
		time.Sleep(11 * time.Minute)
		if got := s.on("ota/event"); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}

// What the server will never take does not hold up the rest.
func TestReportRefused(t *testing.T) {
	s := &server{answer: func(topic string) int {
		return map[string]int{"ota/event": http.StatusUnprocessableEntity}[topic]
	}}
	reporting(t, s, func(t *testing.T, l *Link, _ *fake) {
		steps(l, 5)
		time.Sleep(time.Minute)
		s.set(func() {
			if len(s.refused) != 5 {
				t.Errorf("%d were refused", len(s.refused))
			}
			s.answer = nil
		})
		steps(l, 1)
		time.Sleep(time.Minute)
		if got := s.on("ota/event"); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}
