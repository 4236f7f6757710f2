package lies

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// TestHostileURLs: none of them, whoever names it, brings the robot to ask anything
// on this computer or in its network. A trap listens where they lead.
func TestHostileURLs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newSubject(t, w, settings{hasty: true, burst: 1e6})
	trap := newTrap(t)
	told := 0
	for _, u := range []string{
		trap.url("127.0.0.1"), trap.url("127.0.0.1."), trap.url("127.1"), trap.url("127.0.1"), trap.url("2130706433"),
		trap.url("0x7f000001"), trap.url("0x7F.0.0.1"), trap.url("0177.0.0.1"), trap.url("017700000001"), trap.url("00000177.0.0.01"),
		trap.url("0"), trap.url("0.0.0.0"), trap.url("127.255.255.254"), trap.url("[::]"), trap.url("[::1]"), trap.url("[0:0:0:0:0:0:0:1]"),
		trap.url("[::ffff:127.0.0.1]"), trap.url("[::ffff:7f00:1]"), trap.url("[0:0:0:0:0:ffff:127.0.0.1]"), trap.url("[::127.0.0.1]"),
		trap.url("[64:ff9b::127.0.0.1]"), trap.url("[::1%25lo]"), trap.url("[::1%lo]"), trap.url("[fe80::1%25lo]"), trap.url("[fe80::1]"),
		trap.url("localhost"), trap.url("LOCALHOST"), trap.url("localhost."), trap.url("localhost.."), trap.url("localhost.localdomain"), trap.url(".localhost"),
		trap.url("ip6-localhost"), trap.url("①②⑦.⓪.⓪.①"), trap.url("１２７.0.0.1"), trap.url("127。0。0。1"), trap.url("lосalhost"), trap.url("loc\u00adalhost"),
		trap.url("%31%32%37.0.0.1"), trap.url("127.0.0.1%00.example.org"), trap.url("127.0.0.1%2f.example.org"), trap.url("updates@127.0.0.1"),
		trap.url("a:b@127.0.0.1"), trap.url("127.0.0.1:80"), trap.url("127.0.0.1:" + trap.port + "@localhost"), trap.url(" 127.0.0.1"), trap.url("127.0.0.1\t"),
		trap.url("127.0.0.1\\@example.org"), trap.url("127.0.0.1#@example.org"), trap.url("127.0.0.1?@example.org"),
		"https:127.0.0.1:" + trap.port + "/", "https:/127.0.0.1:" + trap.port + "/", "https:///127.0.0.1:" + trap.port + "/", `https:\\127.0.0.1:` + trap.port + `\`,
		"//127.0.0.1:" + trap.port + "/", "127.0.0.1:" + trap.port, "http://127.0.0.1:" + trap.port + "/", "HTTPS://127.0.0.1:" + trap.port + "/",
		"https+unix://127.0.0.1:" + trap.port + "/", "ws://127.0.0.1:" + trap.port, "ftp://127.0.0.1:" + trap.port, "gopher://127.0.0.1:" + trap.port + "/_x",
		"unix:///run/robot-ota/agent.sock", "file:///etc/passwd", "file://localhost/etc/passwd", "file:/etc/passwd", "FILE:///etc/passwd", "file:etc/passwd",
		"file:///../etc/passwd", "file:///proc/self/environ", "data:,x", "javascript:x", "jar:https://127.0.0.1!/x", "netdoc:///etc/passwd",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://metadata.google.internal/", "https://10.0.0.1/", "https://172.16.0.1/",
		"https://192.168.0.1/", "https://100.64.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[ff02::1]/",
		"https://127.0.0.1:0/", "https://127.0.0.1:65536/", "https://127.0.0.1:-1/", "https://127.0.0.1:x/", "https://127.0.0.1:" + trap.port + "x/",
		"https://" + strings.Repeat("a", 10_000) + "/", trap.url("127.0.0.1") + strings.Repeat("x", 10_000), "https://" + strings.Repeat("a.", 200) + "/",
		"https://\x00127.0.0.1/", "https://127.0.0.1\r\nHost: x/", "https://127.0.0.1/\x1b[31m", "https://\u202e127.0.0.1/", "https://[", "https://]", "https://%", "://", ":", "\xff\xfe", "https://127.0.0.1\xff/",
	} {
		for by, tell := range map[string]func(string) string{
			"ROS":  func(u string) string { return r.trigger(update.Request{Origin: update.FromROS, URL: u}) },
			"MQTT": func(u string) string { return r.order(u, digestA, "0.2.1") },
			"the check": func(u string) string {
				w.server.lie("0.2.1", w.good(), "url", u)
				return r.check()
			},
		} {
			told++
			said := tell(u)
			if said == accepted || said == "" || said == "nothing to do" {
				t.Errorf("%s names %.80q: %s", by, u, said)
			}
			if len(said) > 1500 || strings.ContainsFunc(said, func(c rune) bool { return c < ' ' }) {
				t.Errorf("%s names %.80q: the answer repeats it: %.200q", by, u, said)
			}
			if n := trap.came.Swap(0); n != 0 {
				t.Errorf("%s names %.80q: the robot came %d times", by, u, n)
			}
		}
	}
	if wrong := r.untouched(); wrong != "" {
		t.Error(wrong)
	}
	report(t, figures{Part: "lies: hostile URLs", Points: told, Failures: failures(t)})
}

// TestRebinding: a name that leads to the world when it is looked up first, and to
// this computer the next time, leads nowhere: it is the address being dialled that
// is looked at.
func TestRebinding(t *testing.T) {
	dns := newDNS(t)
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dns.dial}
	t.Cleanup(func() { net.DefaultResolver = before })
	trap := newTrap(t)
	guard, err := httpguard.New(httpguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guard.CloseIdleConnections)
	for i, second := range []string{"127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "10.1.2.3"} {
		dns.say("93.184.216.34")
		if got, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", "rebind.example"); err != nil || got[0].String() != "93.184.216.34" {
			t.Fatalf("the resolver is not ours: %v, %v", got, err)
		}
		dns.say(second)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, trap.url("rebind.example"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := guard.Allow(req.URL); err != nil {
			t.Errorf("the name is not refused, its address is: %v", err)
		}
		resp, err := guard.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		want := second + " is a loopback, private or otherwise special address"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: got %v, want %s", i, err, want)
		}
	}
	if n := trap.count(); n != 0 {
		t.Errorf("%d connections", n)
	}
	report(t, figures{Part: "lies: DNS rebinding", Points: 5, Failures: failures(t)})
}

// nameserver answers every question for an IPv4 address by one of its own
// choosing (RFC 1035, 4).
type nameserver struct {
	c  net.PacketConn
	is atomic.Value // netip.Addr
}

func newDNS(t *testing.T) *nameserver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &nameserver{c: c}
	done := make(chan struct{})
	go func() { defer close(done); d.serve() }()
	t.Cleanup(func() { c.Close(); <-done })
	return d
}

func (d *nameserver) say(a string) { d.is.Store(netip.MustParseAddr(a)) }

func (d *nameserver) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, "udp", d.c.LocalAddr().String())
}

func (d *nameserver) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.c.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 17 {
			continue
		}
		end := 12 // of the question: a name, its type and class
		for end < n-5 && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		end += 5
		if end > n {
			continue
		}
		answer := append([]byte(nil), buf[:end]...)
		copy(answer[2:12], []byte{0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}) // an answer, authoritative, to one question
		if binary.BigEndian.Uint16(buf[end-4:]) == 1 {              // A
			answer[7] = 1
			a := d.is.Load().(netip.Addr).As4()
			answer = append(answer, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			answer = append(answer, a[:]...)
		}
		_, _ = d.c.WriteTo(answer, from)
	}
}
