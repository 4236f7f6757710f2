package dashboard

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// follower reads the events of a page.
type follower struct {
	resp   *http.Response
	events chan string // name and data
	stop   context.CancelFunc
}

func follow(t *testing.T, url, session string) *follower {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookie, Value: session})
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{resp: resp, events: make(chan string, 100), stop: stop}
	go func() {
		defer close(f.events)
		in := bufio.NewScanner(resp.Body)
		in.Buffer(nil, 1<<20)
		var event strings.Builder
		for in.Scan() {
			switch line := in.Text(); {
			case line == "" && event.Len() > 0:
				f.events <- event.String()
				event.Reset()
			case strings.HasPrefix(line, ":"), line == "":
			default:
				event.WriteString(line + "\n")
			}
		}
	}()
	t.Cleanup(func() { stop(); resp.Body.Close() })
	return f
}

// next is the next event; "": the stream has ended.
func (f *follower) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-f.events:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("nothing comes")
		return ""
	}
}

func TestLive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := open(t, env)
		s.fill(t)
		server := httptest.NewServer(s)
		t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() }) // after the followers
		session := s.browser(t).login("ben").cookies[cookie].Value
		f := follow(t, server.URL+"/live/rollouts/o1", session)
		if got := f.resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("%d %s", f.resp.StatusCode, got)
		}
		holds(t, "the first", f.next(t), "event: content\n", "data: ", "at stage <strong>canary</strong>", "1 confirmed")
		s.update(t, func(tx *store.Tx) error {
			return tx.SaveAssignment(t.Context(), store.Assignment{Rollout: "o1", Robot: "robot-006", Outcome: "confirmed", Offered: env.Clock.Now(), Confirmed: env.Clock.Now()})
		})
		holds(t, "the change", f.next(t), "event: content\n", "2 confirmed")

		// Who is thrown out sees no more.
		s.update(t, func(tx *store.Tx) error { return tx.RemoveUser(t.Context(), "ben") })
		holds(t, "the end", f.next(t), "event: end\n")
		if e := f.next(t); e != "" {
			t.Errorf("after the end: %s", e)
		}
	})
}

// Following a page does not keep a session alive.
func TestLiveEndsWithTheSession(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	server := httptest.NewServer(s)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() }) // after the followers
	f := follow(t, server.URL+"/live/", s.browser(t).login("ben").cookies[cookie].Value)
	holds(t, "the first", f.next(t), "event: content\n")
	s.env.Clock.Add(DefaultConfig().Idle + time.Second)
	holds(t, "the end", f.next(t), "event: end\n")
}

func TestLiveIsBounded(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	server := httptest.NewServer(s)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() }) // after the followers
	session := s.browser(t).login("ben").cookies[cookie].Value
	var all []*follower
	for range maxViewers {
		f := follow(t, server.URL+"/live/rollouts", session)
		f.next(t)
		all = append(all, f)
	}
	r, err := http.NewRequest("GET", server.URL+"/live/rollouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookie, Value: session})
	many := func() int {
		resp, err := http.DefaultClient.Do(r.Clone(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := many(); got != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", got)
	}
	all[0].stop()
	for deadline := time.Now().Add(30 * time.Second); many() != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a place that was left is not given again")
		}
	}
}
