package lies

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// impostor sends the robot to a server of the attacker's that offers a file, with
// a certificate.
func impostor(version string, file func(*world) []byte, cert func(*world) tls.Certificate) func(*scene) string {
	return func(s *scene) string {
		other := s.serve(cert(s.world))
		other.base = s.net.address()
		other.honest(version, file(s.world))
		s.net.set(pretend(other.Listener.Addr().String()), nil)
		return s.robot.check()
	}
}

// Certificates of an impostor: of an authority that the robot does not trust, for
// another address, of yesterday.
func foreign(w *world) tls.Certificate   { return w.evilCA.issue(w.t, "127.0.0.1", -1, 1) }
func misplaced(w *world) tls.Certificate { return w.ca.issue(w.t, "127.0.0.2", -1, 1) }
func yesterday(w *world) tls.Certificate { return w.ca.issue(w.t, "127.0.0.1", -48, -24) }

func forged(w *world) []byte { return w.signed(testimage.Spec{Version: "0.2.2"}, w.stranger) }

// genuine gives an image that is signed as it should be.
func genuine(s testimage.Spec) func(*world) []byte {
	return func(w *world) []byte { return w.signed(s) }
}

// carrying has the network do something to the connections, and the robot check.
func carrying(carry func(robot, server net.Conn)) func(*scene) string {
	return func(s *scene) string {
		s.net.set(nil, carry)
		return s.robot.check()
	}
}

// replayed records an honest answer, and plays it back to the next question.
func replayed(version string, file func(*world) []byte) func(*scene) string {
	return func(s *scene) string {
		s.server.honest(version, file(s.world))
		s.net.set(nil, nil)
		s.robot.trigger(update.Request{Origin: update.FromCLI, URL: s.net.address() + "/v1/check"}) // a refused image, but an answer
		_, down := s.net.carried()
		s.net.set(func(robot net.Conn) {
			_, _ = robot.Write(down)
			_, _ = io.Copy(io.Discard, robot)
		}, nil)
		said := s.robot.check()
		if len(down) == 0 {
			return "nothing was recorded"
		}
		return said
	}
}

const (
	untrusted   = "certificate_untrusted: "
	unreachable = "server_unreachable: "
	// aside is beyond the handshake: what comes then is an answer.
	aside = 4000
)

func networkCells() []cell {
	flipped := func(p []byte) []byte {
		p = bytes.Clone(p)
		if len(p) > 0 {
			p[len(p)-1] ^= 1
		}
		return p
	}
	twice := func(p []byte) []byte { return append(bytes.Clone(p), p...) }
	return []cell{
		{attack: arbitraryImage, by: theNetwork, verdict: refused, lies: []lie{
			{"it answers itself, with a certificate of its own", impostor("0.2.2", forged, foreign), untrusted},
			{"with one of the operator's for another address", impostor("0.2.2", forged, misplaced), untrusted},
			{"with one that was good until yesterday", impostor("0.2.2", forged, yesterday), untrusted},
			{"it answers without TLS", plaintext, unreachable},
			{"it speaks TLS 1.1", oldTLS, unreachable},
			{"it changes a bit of the answer", carrying(changed(aside, flipped)), "transfer"},
		}},
		{attack: rollBack, by: theNetwork, verdict: refused, lies: []lie{
			{"it offers an older image itself", impostor("0.1.9", genuine(testimage.Spec{Version: "0.1.9"}), foreign), untrusted},
			{"it plays back what it recorded of an older answer", replayed("0.2.1", (*world).good), unreachable},
		}},
		{attack: freeze, by: theNetwork, verdict: limited,
			guaranteed: "A network that lets nothing pass holds updates up, and every check says so: it fails, and counts as failed. An answer of yesterday is not taken for one of today's.",
			lies: []lie{
				{"it plays an old answer back", replayed("0.2.1", (*world).good), unreachable},
				{"it lets no question pass", dropped, unreachable},
			}},
		{attack: mixAndMatch, by: theNetwork, verdict: refused, lies: []lie{
			{"it doubles what the server says", carrying(changed(aside, twice)), "transfer"},
			{"it answers the check itself, and leaves the image to the server", impostor("0.2.2", (*world).good, misplaced), untrusted},
		}},
		{attack: fastForward, by: theNetwork, verdict: refused, lies: []lie{
			{"it offers version 65535.255.255", impostor("65535.255.255", (*world).good, foreign), untrusted},
		}},
		{attack: endlessData, by: theNetwork, verdict: refused, lies: []lie{
			{"zeros for ever, instead of TLS", babbling(make([]byte, 64<<10)), unreachable},
			{"handshake records for ever", babbling(append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 0x4000)...)), unreachable},
			{"alerts for ever", babbling(bytes.Repeat([]byte{21, 3, 3, 0, 2, 1, 90}, 1000)), unreachable},
		}},
		{attack: slowRetrieval, by: theNetwork, verdict: refused, lies: []lie{
			{"a kilobyte a second of the image", carrying(throttle(2 * aside)), "possible attack: slow retrieval"},
		}},
		{attack: wrongSKU, by: theNetwork, verdict: refused, lies: []lie{
			{"it offers another SKU's image itself", impostor("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Project: "robot-platform-industrial"}), foreign), untrusted},
		}},
		{attack: wrongChip, by: theNetwork, verdict: refused, lies: []lie{
			{"it offers another chip's image itself", impostor("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Chip: testimage.ChipESP32}), foreign), untrusted},
		}},
		{attack: keyCompromise, by: theNetwork, verdict: refused, lies: []lie{
			{"it has a certificate for the update server's name, of an authority that vouches for others only", impostor("0.2.2", forged, foreign), untrusted},
			{"it has an expired one of the server's own", impostor("0.2.2", forged, yesterday), untrusted},
		}},
		{attack: droppedRequest, by: theNetwork, verdict: limited,
			guaranteed: "It delays, and that is all: the running firmware stays, the failure is told with its cause, and the first request that passes is answered as if nothing had been.",
			lies: []lie{
				{"it ends each connection", dropped, unreachable},
				{"it ends each in the middle of the image", carrying(cutAfter(20_000)), "transfer_interrupted: "},
				{"it ends each in the handshake", carrying(cutAfter(100)), unreachable},
			}},
		{attack: eavesdropping, by: theNetwork, verdict: refused, lies: []lie{
			{"it listens to a check and a download", overheard, "nothing heard"},
		}},
	}
}

// plaintext is an impostor without TLS.
func plaintext(s *scene) string {
	other := httptest.NewServer(http.HandlerFunc(s.server.good))
	defer other.Close()
	s.net.set(pretend(other.Listener.Addr().String()), nil)
	defer s.net.cut()
	return s.robot.check()
}

// oldTLS is a server that has a good certificate, and speaks only what is broken.
func oldTLS(s *scene) string {
	other := s.serve(s.ca.issue(s.t, "127.0.0.1", -1, 1), func(h *httptest.Server) {
		h.TLS.MinVersion, h.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	})
	s.net.set(pretend(other.Listener.Addr().String()), nil)
	return s.robot.check()
}

func dropped(s *scene) string {
	s.net.set(func(net.Conn) {}, nil)
	return s.robot.check()
}

func babbling(what []byte) func(*scene) string {
	return func(s *scene) string {
		s.net.set(babble(what), nil)
		return s.robot.check()
	}
}

// overheard looks for what passed in what was carried.
func overheard(s *scene) string {
	s.net.set(nil, nil)
	file := s.good()
	s.server.honest("0.2.1", file)
	if said := s.robot.check(); said != accepted {
		return "the honest update: " + said
	}
	s.robot.drop()
	up, down := s.net.carried()
	all := append(up, down...)
	if len(down) < len(file) {
		return "the network carried nothing"
	}
	for _, secret := range []string{token, robotID, "standard", "/v1/check", "sha256", sumOf(file), string(file[:64]), string(file[4096:4160])} {
		if strings.Contains(string(all), secret) {
			return "heard " + secret
		}
	}
	return "nothing heard"
}
