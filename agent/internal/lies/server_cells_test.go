package lies

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// offering has the update server offer a file as what it is, with some fields of
// the answer said otherwise, and the robot check.
func offering(version string, file func(*world) []byte, fields ...any) func(*scene) string {
	return func(s *scene) string {
		s.server.lie(version, file(s.world), fields...)
		return s.robot.check()
	}
}

// answering has it answer everything so.
func answering(h http.HandlerFunc) func(*scene) string {
	return func(s *scene) string {
		s.server.do(h)
		return s.robot.check()
	}
}

// downloading has it offer a file of that size, and answer its download so.
func downloading(size int, h http.HandlerFunc) func(*scene) string {
	return func(s *scene) string {
		s.server.artifacts(size, h)
		return s.robot.check()
	}
}

// announcing has it announce a keyring document of a version and hand one out, and
// gives what the robot thinks of it.
func announcing(version string, document func(*world) []byte) func(*scene) string {
	return func(s *scene) string {
		s.server.set(func() {
			s.server.offer, s.server.instead, s.server.keyring, s.server.document = nil, nil, version, document(s.world)
		})
		if said := s.robot.check(); said != "nothing to do" {
			return said
		}
		r := s.robot.trust.Report()
		if r.Refused == nil {
			return fmt.Sprintf("version %d is in force", r.Version)
		}
		return string(r.Refused.Code) + ": " + r.Refused.Text
	}
}

// trusting is a document of a version that trusts one more key, and is signed by
// those of the operator with these numbers.
func trusting(version uint64, by ...int) func(*world) []byte {
	return func(w *world) []byte {
		var signers []signer
		for _, i := range by {
			signers = append(signers, w.keys[i])
		}
		return w.document(keyring.Content{Version: version, Keys: []image.Key{w.stranger.Public}}, signers...)
	}
}

func none(*world) []byte { return nil }

func serverCells() []cell {
	older, newest := genuine(testimage.Spec{Version: "0.1.9"}), genuine(testimage.Spec{Version: "0.3.0"})
	return []cell{
		{attack: arbitraryImage, by: theServer, verdict: refused, lies: []lie{
			{"an image that a stranger signed", offering("0.2.2", forged), "possible attack: arbitrary image"},
			{"one without a signature", offering("0.2.1", altered(unsigned)), "possible attack: arbitrary image"},
			{"one of which a bit was changed", offering("0.2.1", altered(oneBit)), "possible attack: arbitrary image"},
			{"the app alone, without the header", offering("0.2.1", altered(func(b []byte) []byte { return b[136:] })), "possible attack: arbitrary image"},
			{"a genuine header before another app", offering("0.2.1", func(w *world) []byte {
				return append(w.good()[:136], w.app(testimage.Spec{Version: "0.2.1", Seed: 7})...)
			}), "possible attack: arbitrary image"},
			{"a genuine image, cut off", offering("0.2.1", altered(func(b []byte) []byte { return b[:len(b)-1] })), "possible attack: endless data or truncation"},
			{"a genuine image, and something after it", offering("0.2.1", altered(func(b []byte) []byte { return append(b, 0xE9) })), "possible attack: endless data or truncation"},
			{"a web page", answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), "bad_answer: "},
		}},
		{attack: rollBack, by: theServer, verdict: refused, lies: []lie{
			{"an older version", offering("0.1.9", older), "roll-back attack"},
			{"an older image under a newer version's name", offering("0.3.0", older), "possible attack: mix-and-match"},
			{"an older image whose header was made newer", offering("0.1.9", func(w *world) []byte { return relabelled(3, 0)(older(w)) }, "version", "0.3.0"), "the header was changed after signing"},
			{"an older keyring document", func(s *scene) string {
				announcing("5", trusting(5, 0, 1))(s)
				return announcing("6", trusting(4, 0, 1))(s)
			}, "keyring_not_newer: "},
		}},
		{attack: freeze, by: theServer, verdict: limited,
			guaranteed: "By the plain protocol an answer of yesterday cannot be told from one of today: a server that always says that there is nothing newer is believed. It can hold updates and revocations up, and no more than that: nothing older is ever taken, a command over MQTT or ROS installs what it names without the server's word, and the versions that robots report show what is held back.",
			lies: []lie{
				{"there is nothing newer, for ever", func(s *scene) string {
					s.server.set(func() { s.server.offer = nil })
					return s.robot.check() + s.robot.check() + s.robot.check()
				}, "nothing to donothing to donothing to do"},
				{"what runs is the newest", offering("0.2.0", genuine(testimage.Spec{Version: "0.2.0"})), "nothing to do"},
				{"nothing newer, while the broker names something", func(s *scene) string {
					s.server.set(func() { s.server.offer = nil })
					return s.robot.orderFile(s.server, "0.2.1", s.good())
				}, accepted},
			}},
		{attack: mixAndMatch, by: theServer, verdict: refused, lies: []lie{
			{"one image's digest for another", offering("0.2.1", newest, "sha256", digestA), "possible attack: mix-and-match"},
			{"one image's version for another", offering("0.2.1", newest), "possible attack: mix-and-match"},
			{"another length than the file's", offering("0.2.1", (*world).good, "size", 65_000), "possible attack: mix-and-match"},
			{"a header that says another version than the image", offering("0.2.7", altered(relabelled(2, 7))), "possible attack: mix-and-match"},
			{"the beginning of one image and the rest of another", halves, "possible attack: mix-and-match"},
			{"a keyring document under the version of another", func(s *scene) string {
				announcing("5", trusting(5, 0, 1))(s)
				return announcing("6", func(w *world) []byte {
					return w.document(keyring.Content{Version: 5, Revoked: []string{w.keys[0].ID()}}, w.keys[0], w.keys[1])
				})(s)
			}, "keyring_conflict: "},
		}},
		{attack: fastForward, by: theServer, verdict: refused, lies: []lie{
			{"the highest version there can be, of an image that is not", offering("65535.255.255", (*world).good), "possible attack: mix-and-match"},
			{"a version beyond all", offering("65536.0.0", (*world).good), "bad_answer: "},
			{"the highest keyring there can be, and none to be had", announcing("9007199254740991", none), "could not be fetched"},
			{"a keyring beyond all", announcing("18446744073709551615", none), "bad_answer: "},
		}},
		{attack: endlessData, by: theServer, verdict: refused, lies: []lie{
			{"an answer without end", answering(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				endless(w, r)
			}), "longer than 65536 bytes"},
			{"an image without end", downloading(70_000, endless), "possible attack: endless data"},
			{"an image of 4 GiB and a byte", downloading(70_000, announce("4294967297")), "possible attack: "},
			{"an offer of 2 GiB", offering("0.2.1", (*world).good, "size", 1<<31), "bad_answer: "},
			{"a size below zero", offering("0.2.1", (*world).good, "size", -1<<31), "bad_answer: "},
			{"an answer as deep as there is room", answering(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"version":` + strings.Repeat("[", 60_000)))
			}), "bad_answer: "},
			{"a problem without end", answering(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusServiceUnavailable)
				endless(w, r)
			}), "http_503: "},
			{"redirects without end", answering(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }), "redirected more than 5 times"},
			{"a keyring without end", func(s *scene) string {
				s.server.set(func() { s.server.offer = nil })
				s.server.do(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/v1/keyring" {
						w.Header().Set("Content-Type", "application/json")
						endless(w, r)
						return
					}
					w.Header().Set("Robot-OTA-Keyring", "7")
					w.WriteHeader(http.StatusNoContent)
				})
				s.robot.check()
				return s.robot.trust.Report().Refused.Text
			}, "longer than 32768 bytes"},
		}},
		{attack: slowRetrieval, by: theServer, verdict: refused, lies: []lie{
			{"a byte of the image now and then", downloading(70_000, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "70000")
				trickle(w, r)
			}), "possible attack: slow retrieval"},
			{"the head of the answer, and no image", downloading(70_000, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "70000")
				_ = send(w, nil)
				<-r.Context().Done()
			}), "possible attack: slow retrieval"},
		}},
		{attack: wrongSKU, by: theServer, verdict: refused, lies: []lie{
			{"another SKU's image", offering("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Project: "robot-platform-industrial"})), "possible attack: wrong target"},
		}},
		{attack: wrongChip, by: theServer, verdict: refused, lies: []lie{
			{"another chip's image", offering("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Chip: testimage.ChipESP32})), "possible attack: wrong target"},
		}},
		{attack: keyCompromise, by: theServer, verdict: refused, lies: []lie{
			{"an image by a key that was revoked", func(s *scene) string {
				s.revoke()
				return offering("0.2.2", func(w *world) []byte { return w.signed(testimage.Spec{Version: "0.2.2"}, w.keys[0]) })(s)
			}, "possible attack: key compromise"},
			{"a keyring by the key that was revoked", announcing("2", func(w *world) []byte {
				return w.document(keyring.Content{Version: 2, Keys: []image.Key{w.keys[2].Public, w.stranger.Public}, Revoked: []string{w.keys[0].ID()}}, w.keys[0])
			}), "keyring_revoked_key: "},
			{"a keyring that forgets the revocation", announcing("2", trusting(2, 1, 2)), "keyring_forgets_revocation: "},
			{"a keyring by nobody that is known", announcing("2", func(w *world) []byte {
				return w.document(keyring.Content{Version: 2, Keys: []image.Key{w.stranger.Public}, Revoked: []string{w.keys[0].ID()}}, w.stranger)
			}), "keyring_foreign_key: "},
			{"a keyring of which a bit was changed", announcing("2", func(w *world) []byte { return bytes.Replace(w.revocation(2), []byte(`"ey`), []byte(`"ex`), 1) }), "keyring_malformed: "},
		}},
		{attack: droppedRequest, by: theServer, verdict: limited,
			guaranteed: "A server that serves nobody delays: the failure is told, checks go on ever more seldom, and the first good answer is taken.",
			lies: []lie{
				{"errors for ever", answering(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }), "http_500: "},
				{"come back in a hundred years", answering(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "3153600000")
					w.WriteHeader(http.StatusServiceUnavailable)
				}), "try again in 8760h0m0s"},
				{"the image is gone", downloading(70_000, http.NotFound), "http_404: "},
				{"the image breaks off, every time", downloading(70_000, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "70000")
					_ = send(w, make([]byte, 1000))
					panic(http.ErrAbortHandler)
				}), "transfer_interrupted: "},
			}},
		{attack: eavesdropping, by: theServer, verdict: limited,
			guaranteed: "A server learns who asks, what it runs and what it is to be given: that is what it is asked for. It learns nothing else; where an image lies elsewhere, its host is not told who asks, nor by which token.",
			lies: []lie{
				{"it reads all that it is asked", readQuestions, "nothing but that"},
			}},
	}
}

// halves is a download that breaks off, and goes on with another image.
func halves(s *scene) string {
	a, b := s.good(), s.signed(testimage.Spec{Version: "0.2.1", Seed: 9})
	first := true
	s.server.lie("0.2.1", a)
	s.server.do(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v1/artifacts/"):
			s.server.good(w, r)
		case first:
			first = false
			w.Header().Set("Content-Length", fmt.Sprint(len(a)))
			_ = send(w, a[:30_000])
			panic(http.ErrAbortHandler)
		case r.Header.Get("Range") != "":
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 30000-%d/%d", len(b)-1, len(b)))
			w.Header().Set("Content-Length", fmt.Sprint(len(b)-30_000))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[30_000:])
		default: // from its beginning, then
			_, _ = w.Write(b)
		}
	})
	return s.robot.check()
}

// readQuestions looks at what the server was asked, and another host beside it.
func readQuestions(s *scene) string {
	s.server.honest("0.2.1", s.good())
	s.robot.check()
	s.robot.drop()
	s.robot.trigger(update.Request{Origin: update.FromCLI, URL: s.evil.URL + "/x"})
	said := map[string]bool{"Accept": true, "Accept-Encoding": true, "Authorization": true, "Cache-Control": true, "User-Agent": true}
	for _, r := range s.server.asked {
		for name := range r.Header {
			if !said[name] {
				return "it says " + name
			}
		}
		for name := range r.URL.Query() {
			if r.URL.Path != "/v1/check" || !strings.Contains(" sku version robot_id companion ", " "+name+" ") {
				return r.URL.Path + " is asked with " + name
			}
		}
	}
	for _, r := range s.evil.asked {
		if r.Header.Get("Authorization") != "" || strings.Contains(fmt.Sprint(r.Header, r.URL), robotID) {
			return "another host is told who asks"
		}
	}
	if len(s.server.asked) < 2 {
		return "it was not asked"
	}
	return "nothing but that"
}
