package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// network answers requests in memory, so that time can be faked.
type network func(*http.Request) (*http.Response, error)

func (n network) Do(r *http.Request) (*http.Response, error) { return n(r) }

var unreachable = &httpguard.UnreachableError{Host: "updates.example.org:443", Cause: errors.New("connection refused")}

func response(status int, body string, headers ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := newClient(t, Config{GiveUp: 24 * time.Hour}, network(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return nil, unreachable
		}))
		c.sleep = sleep
		_, _, err := c.Download(t.Context(), Offer{URL: "https://updates.example.org/x"}, nil)
		var gave *GaveUpError
		if !errors.As(err, &gave) || gave.Tries != maxTries || len(at) != maxTries {
			t.Fatalf("%d requests: %v", len(at), err)
		}
		if codeOf(err) != "server_unreachable" || !strings.Contains(err.Error(), "cannot reach the server updates.example.org:443: connection refused; check the network") {
			t.Errorf("got %v (%s)", err, codeOf(err))
		}
		want := firstWait
		var odd int
		for i := 1; i < len(at); i++ {
			d := at[i].Sub(at[i-1])
			if d < want/2 || d > want*3/2+1 {
				t.Errorf("wait %d was %v, want %v ± half", i, d, want)
			}
			if d != want {
				odd++
			}
			want = min(2*want, longest)
		}
		if odd == 0 {
			t.Error("the waits have no jitter")
		}
	})
}

func TestGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{GiveUp: time.Minute}, network(func(*http.Request) (*http.Response, error) { return nil, unreachable }))
		c.sleep = sleep
		start := time.Now()
		_, _, err := c.Download(t.Context(), Offer{URL: "https://updates.example.org/x"}, nil)
		if took := time.Since(start); !errors.As(err, new(*GaveUpError)) || took > time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newClient(t, Config{}, network(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				resp := response(503, "", "Retry-After", "600")
				resp.Request = r
				return resp, nil
			}
			return response(200, "image"), nil
		}))
		c.sleep = sleep
		start := time.Now()
		_, _, err := c.Download(t.Context(), Offer{URL: "https://updates.example.org/x"}, nil)
		if took := time.Since(start); err != nil || took != 10*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{}, network(func(*http.Request) (*http.Response, error) { return nil, unreachable }))
		c.sleep = sleep
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Minute, cancel)
		start := time.Now()
		_, _, err := c.Download(ctx, Offer{URL: "https://updates.example.org/x"}, nil)
		if took := time.Since(start); !errors.Is(err, context.Canceled) || took != 10*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// stalled gives what it has, and then nothing until the request ends.
type stalled struct {
	ctx  context.Context
	data io.Reader
}

func (s stalled) Read(b []byte) (int, error) {
	if n, err := s.data.Read(b); err == nil {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (stalled) Close() error { return nil }

func TestStalledTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newClient(t, Config{}, network(func(r *http.Request) (*http.Response, error) { // MinSpeed 0: any speed, but not none
			if n++; n == 1 {
				resp := response(200, "", "ETag", `"a"`)
				resp.ContentLength = 10
				resp.Body = stalled{r.Context(), strings.NewReader("01234")}
				return resp, nil
			}
			if got := r.Header.Get("Range"); got != "bytes=5-" {
				t.Errorf("asked for %q", got)
			}
			return response(206, "56789", "ETag", `"a"`, "Content-Range", "bytes 5-9/10"), nil
		}))
		start := time.Now()
		_, size, err := c.Download(t.Context(), Offer{URL: "https://updates.example.org/x"}, nil)
		if took := time.Since(start); err != nil || size != 10 || took != time.Minute { // bytes in the first half, none in the second
			t.Errorf("after %v: %d bytes, %v", took, size, err)
		}
	})
}

// A server that gives one byte per connection makes progress, but not enough
// of it.
func TestDripFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := newClient(t, Config{GiveUp: 100 * time.Hour}, network(func(r *http.Request) (*http.Response, error) {
			requests++
			from := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
			if from == "" {
				resp := response(200, "x", "ETag", `"a"`)
				resp.ContentLength = 1 << 20
				return resp, nil
			}
			return response(206, "x", "ETag", `"a"`, "Content-Range", "bytes "+from+"-"+from+"/1048576"), nil
		}))
		c.sleep = sleep
		_, _, err := c.Download(t.Context(), Offer{URL: "https://updates.example.org/x"}, nil)
		if !errors.As(err, new(*GaveUpError)) || requests != maxTries || !strings.Contains(err.Error(), "the transfer stopped at "+strconv.Itoa(maxTries)+" of 1048576 bytes") {
			t.Errorf("after %d requests: %v", requests, err)
		}
	})
}

func TestNothingIsTriedAgainForAnUntrustedCertificate(t *testing.T) {
	s := serve(t, full(content(10, 1), ""))
	guard, err := httpguard.New(httpguard.Config{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{}, guard)
	c.sleep = func(context.Context, time.Duration) error { t.Error("it waits for another try"); return nil }
	_, _, err = c.Download(t.Context(), Offer{URL: s.URL}, nil)
	if codeOf(err) != "certificate_untrusted" || !strings.Contains(err.Error(), "is not trusted: it was issued by itself") {
		t.Errorf("got %v", err)
	}
}
