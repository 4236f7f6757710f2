package lies

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/sim/testimage"
)

// open lets the robot take images from the attacker's host: its certificate is as
// good as any public one.
func open(s *scene) settings { return settings{open: true} }

// ordering has the broker order what the attacker's own server holds.
func ordering(version string, file func(*world) []byte) func(*scene) string {
	return func(s *scene) string { return s.robot.orderFile(s.evil, version, file(s.world)) }
}

// from has the broker name a URL of the update server's own.
func from(path func(*scene) (url, sha, version string)) func(*scene) string {
	return func(s *scene) string { return s.robot.order(path(s)) }
}

// saying has the broker publish a text.
func saying(verb, format string, args ...any) func(*scene) string {
	return func(s *scene) string { return s.robot.command(verb, format, args...) }
}

// altered is the good image after f.
func altered(f func([]byte) []byte) func(*world) []byte {
	return func(w *world) []byte { return f(w.good()) }
}

func unsigned(b []byte) []byte { clear(b[44:108]); return b }

func oneBit(b []byte) []byte { b[len(b)/2] ^= 1; return b }

// relabelled has the header, which nobody signs, say another version.
func relabelled(minor, patch byte) func([]byte) []byte {
	return func(b []byte) []byte { b[4], b[5] = patch, minor; return b }
}

const digestA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func brokerCells() []cell {
	older, newest := genuine(testimage.Spec{Version: "0.1.9"}), genuine(testimage.Spec{Version: "0.3.0"})
	return []cell{
		{attack: arbitraryImage, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"an image that a stranger signed", ordering("0.2.2", forged), "signature: image refused (signature): not signed by a known key"},
			{"one without a signature", ordering("0.2.1", altered(unsigned)), "possible attack: arbitrary image"},
			{"one of which a bit was changed", ordering("0.2.1", altered(oneBit)), "possible attack: arbitrary image"},
			{"no image at all", ordering("0.2.1", func(*world) []byte { return []byte("hello") }), "not_an_image: "},
			{"a file of the robot's", saying("ota", `{"id":"f","url":"file:///etc/passwd","sha256":%q,"version":"0.2.2"}`, digestA), "bad_request: "},
			{"a file of this robot, by another name", saying("ota", `{"id":"f2","url":"FILE:/etc/passwd","sha256":%q,"version":"0.2.2"}`, digestA), "bad_request: "},
		}},
		{attack: rollBack, by: theBroker, verdict: limited, settings: open,
			guaranteed: "A broker may order the roll-back that the fleet's operators may order: to the genuine firmware that ran before the last update, once. Nothing else goes back by its word.",
			lies: []lie{
				{"an order of an older version", ordering("0.1.9", older), "not_newer: "},
				{"an older image under a newer version's name", ordering("0.3.0", older), "possible attack: mix-and-match"},
				{"an older image whose header was made newer", ordering("0.3.0", func(w *world) []byte { return relabelled(3, 0)(older(w)) }), "the header was changed after signing"},
				{"a roll-back where nothing was updated", saying("rollback", `{"id":"b1","reason":"because"}`), "nothing_to_do: "},
				{"a roll-back of what does not run", saying("rollback", `{"id":"b2","reason":"because","version":"9.9.9"}`), "not_running: "},
				{"the same roll-back again", saying("rollback", `{"id":"b2","reason":"because","version":"9.9.9"}`), "not_running: "},
			}},
		{attack: freeze, by: theBroker, verdict: limited, settings: open,
			guaranteed: "A broker that keeps commands back holds up what only it brings: the robot asks the update server by itself, every six hours. Old commands are not followed for new ones.",
			lies: []lie{
				{"a command of the day before yesterday", func(s *scene) string {
					return s.robot.command("ota", `{"id":"old","url":"https://127.0.0.1/","sha256":%q,"version":"0.2.1","issued":%d}`, digestA, time.Now().Add(-48*time.Hour).Unix())
				}, "stale: "},
				{"one of the day after tomorrow", func(s *scene) string {
					return s.robot.command("ota", `{"id":"new","url":"https://127.0.0.1/","sha256":%q,"version":"0.2.1","issued":%d}`, digestA, time.Now().Add(48*time.Hour).Unix())
				}, "issued_in_the_future: "},
				{"a command that was left on the broker", left, "retained: "},
				{"one that was followed, again", again, "duplicate: "},
				{"nothing, for ever", func(s *scene) string { return s.robot.check() }, accepted},
			}},
		{attack: mixAndMatch, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"one image's digest with another's URL", from(func(s *scene) (string, string, string) {
				s.server.honest("0.2.1", s.good())
				return s.server.offer["url"].(string), sumOf(newest(s.world)), "0.3.0"
			}), "possible attack: mix-and-match"},
			{"one image's version with another", ordering("0.2.1", newest), "possible attack: mix-and-match"},
			{"a header that says another version than the image", ordering("0.2.7", altered(relabelled(2, 7))), "possible attack: mix-and-match"},
		}},
		{attack: fastForward, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"the highest version there can be, of an image that is not", ordering("65535.255.255", (*world).good), "possible attack: mix-and-match"},
			{"a version beyond all", saying("ota", `{"id":"v","url":"https://127.0.0.1/","sha256":%q,"version":"4294967296.0.0"}`, digestA), "malformed: "},
		}},
		{attack: endlessData, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"a URL behind which there is no end", orderingFrom(endless), "endless data"},
			{"a URL behind which 4 GiB are announced", orderingFrom(announce("4294967297")), "endless data"},
			{"a command of 5 KB", func(s *scene) string { return s.robot.command("ota", `{"x":%q}`, strings.Repeat("x", 5000)) }, "oversized: "},
			{"one of 3 MiB", func(s *scene) string { return s.robot.command("cancel", `{"id":%q}`, strings.Repeat("y", 3<<20)) }, "oversized: "},
			{"JSON without an end", saying("ota", "%s", strings.Repeat(`{"a":`, 800)), "malformed: "},
			{"JSON as deep as there is room", saying("ota", "%s", strings.Repeat("[", 4000)), "malformed: "},
			{"a storm of 2,000 commands", storm, "answered"},
		}},
		{attack: slowRetrieval, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"a URL behind which there is a byte now and then", orderingFrom(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "65672")
				trickle(w, r)
			}), "possible attack: slow retrieval"},
		}},
		{attack: wrongSKU, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"another SKU's image", ordering("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Project: "robot-platform-industrial"})), "possible attack: wrong target"},
			{"a command for another SKU", saying("ota", `{"id":"s","url":"https://127.0.0.1/","sha256":%q,"version":"0.2.2","sku":"industrial"}`, digestA), "foreign_sku: "},
			{"a command for another robot", elsewhere, "silence"},
		}},
		{attack: wrongChip, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"another chip's image", ordering("0.2.2", genuine(testimage.Spec{Version: "0.2.2", Chip: testimage.ChipESP32})), "possible attack: wrong target"},
		}},
		{attack: keyCompromise, by: theBroker, verdict: refused, settings: open, lies: []lie{
			{"an image by a key that was revoked", func(s *scene) string {
				s.revoke()
				return s.robot.orderFile(s.evil, "0.2.2", s.signed(testimage.Spec{Version: "0.2.2"}, s.keys[0]))
			}, "possible attack: key compromise"},
			{"the revocation of yesterday taken back, on the command topics", func(s *scene) string { return silence(s, "fleet/"+robotID+"/commands/keyring") }, "silence"},
		}},
		{attack: droppedRequest, by: theBroker, verdict: limited, settings: open,
			guaranteed: "A broker that throws robots out, or lets nothing through, holds commands and reports up. Reports wait, up to 1,000 of them, and checks, downloads and trials go on without it.",
			lies: []lie{
				{"it throws the robot out, over and over", thrownOut, accepted},
			}},
		{attack: eavesdropping, by: theBroker, verdict: limited, settings: open,
			guaranteed: "A broker reads all that goes over it. What a robot says there holds no secret: no token, no password, no key.",
			lies: []lie{
				{"it reads all that the robot says", readAll, "no secret"},
			}},
	}
}

// orderingFrom has the broker order what a handler gives.
func orderingFrom(h http.HandlerFunc) func(*scene) string {
	return func(s *scene) string {
		s.evil.do(h)
		return s.robot.order(s.evil.URL+"/x", digestA, "0.2.2")
	}
}

// announce says that so much is to come.
func announce(length string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", length)
		_ = send(w, make([]byte, 1000))
	}
}

// left is a command with the retain flag, heard at the next connection.
func left(s *scene) string {
	topic := "fleet/" + robotID + "/commands/ota"
	s.robot.broker.publish(s.t, topic, true, nil)
	payload := fmt.Sprintf(`{"id":"left","url":"%s/x","sha256":%q,"version":"0.2.1"}`, s.evil.URL, digestA)
	before := len(s.robot.broker.told(0))
	s.robot.broker.server.Topics.RetainMessage(retained(topic, payload))
	s.robot.broker.cut()
	said := ""
	s.robot.eventually("an answer to what was left", func() bool {
		for _, e := range s.robot.broker.told(before) {
			if e.Verdict != "" {
				said = e.Code + ": " + e.Text
			}
		}
		return said != ""
	})
	s.robot.broker.server.Topics.RetainMessage(retained(topic, ""))
	return said
}

// again is a command that was followed once.
func again(s *scene) string {
	text := `{"id":"twice","url":"` + s.evil.URL + `/none","sha256":"` + digestA + `","version":"0.2.1"}`
	if said := s.robot.command("ota", "%s", text); !strings.HasPrefix(said, "http_404: ") {
		return "the first one: " + said
	}
	return s.robot.command("ota", "%s", text)
}

// storm is more than anybody means. The robot answers what it can, and the last.
func storm(s *scene) string {
	for i := range 2000 {
		s.robot.broker.publish(s.t, "fleet/"+robotID+"/commands/"+[]string{"ota", "rollback", "cancel"}[i%3], false,
			fmt.Appendf(nil, `{"id":"storm-%d","reason":"storm","url":"https://127.0.0.1:1/x","sha256":%q,"version":"0.1.%d"}`, i, digestA, i%256))
	}
	if said := s.robot.command("ota", `{"id":"last","url":"https://127.0.0.1/","sha256":%q,"version":"0.1.0"}`, digestA); said == "" {
		return "no answer"
	}
	return "answered"
}

// elsewhere are topics that are none of this robot's.
func elsewhere(s *scene) string {
	return silence(s, "fleet/another/commands/ota", "fleet/"+robotID+"/commands", "fleet/"+robotID+"/commands/ota/x")
}

// silence: the robot says nothing to what lies on those topics, and answers the
// next command.
func silence(s *scene, topics ...string) string {
	before := len(s.robot.broker.told(0))
	for _, topic := range topics {
		s.robot.broker.publish(s.t, topic, false, fmt.Appendf(nil, `{"id":"x","url":"%s/x","sha256":%q,"version":"0.2.1"}`, s.evil.URL, digestA))
	}
	if said := s.robot.command("cancel", `{"id":"none"}`); !strings.HasPrefix(said, "unknown_job: ") {
		return said
	}
	for _, e := range s.robot.broker.told(before) {
		if e.Command == "x" {
			return e.Verdict + " " + e.Code
		}
	}
	return "silence"
}

// thrownOut ends the line again and again while the robot asks the server.
func thrownOut(s *scene) string {
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			s.robot.broker.cut()
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	s.server.honest("0.2.1", s.good())
	said := s.robot.check()
	close(stop)
	<-done
	return said
}

// readAll is what the robot has said, after it was asked for some.
func readAll(s *scene) string {
	s.server.honest("0.2.1", s.good())
	if said := s.robot.check(); said != accepted {
		return said
	}
	s.robot.drop()
	s.robot.command("cancel", `{"id":"none"}`)
	s.robot.broker.mu.Lock()
	defer s.robot.broker.mu.Unlock()
	if len(s.robot.broker.heard) < 5 {
		return "it said next to nothing"
	}
	for _, p := range s.robot.broker.heard {
		for _, secret := range []string{token, "PRIVATE", s.robot.cfg.Server.TokenFile} {
			if bytes.Contains(p.Payload, []byte(secret)) {
				return p.TopicName + " holds " + secret
			}
		}
		if !json.Valid(p.Payload) {
			return p.TopicName + " holds no JSON"
		}
	}
	return "no secret"
}
