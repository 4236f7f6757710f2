package lies

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// revocation is the document by which the operators revoke the stolen key, and
// trust another one.
func (w *world) revocation(version uint64) []byte {
	return w.document(keyring.Content{Version: version, Keys: []image.Key{w.keys[2].Public}, Revoked: []string{w.keys[0].ID()}}, w.keys[0], w.keys[1])
}

// revoke has the robot take it.
func (s *scene) revoke() {
	s.t.Helper()
	if _, err := s.robot.trust.Update(s.revocation(1), "an operator"); err != nil {
		s.t.Error(err)
	}
}

// stolen gives an image that the stolen key has signed.
func stolen(s testimage.Spec) func(*world) []byte {
	return func(w *world) []byte { return w.signed(s, w.keys[0]) }
}

// The holder of one stolen key has no other power by itself: here the update
// server helps, which is the easiest way to robots.
func keyCells() []cell {
	return []cell{
		{attack: arbitraryImage, by: aKey, verdict: limited,
			guaranteed: "Who holds a signing key signs what is genuine, until the key is revoked: robots take it. It must be an app for this chip and SKU, newer than what runs, and it must speak and pass its trial, or the old firmware is put back. From the revocation on it is refused, also where it was verified before and waits.",
			lies: []lie{
				{"signed noise", offering("0.2.2", func(w *world) []byte { return forceSigned(w, make([]byte, 4096)) }), "app: "},
				{"an app without a release's version", offering("0.2.2", func(w *world) []byte { return forceSigned(w, w.app(testimage.Spec{Version: "dev"})) }), "app: "},
				{"an app with something behind its end", offering("0.2.2", func(w *world) []byte {
					return forceSigned(w, append(w.app(testimage.Spec{Version: "0.2.2"}), make([]byte, 4096)...))
				}), "app: "},
				{"a good image, verified, and then its key is revoked while it waits", revokedMeanwhile, "possible attack: key compromise"},
				{"the same image again", offering("0.2.2", stolen(testimage.Spec{Version: "0.2.2"})), "possible attack: key compromise"},
			}},
		{attack: rollBack, by: aKey, verdict: refused, lies: []lie{
			{"an older image, signed anew, by who names no version", func(s *scene) string {
				s.server.lie("0.2.1", stolen(testimage.Spec{Version: "0.1.9", Seed: 3})(s.world))
				return s.robot.trigger(update.Request{Origin: update.FromROS, URL: s.server.offer["url"].(string)})
			}, "possible attack: roll-back"},
			{"an older image, signed anew, under a new version's name", offering("0.2.2", stolen(testimage.Spec{Version: "0.1.9", Seed: 3})), "possible attack: mix-and-match"},
			{"a keyring of an older version", func(s *scene) string {
				announcing("5", trusting(5, 0, 1))(s)
				return announcing("6", trusting(1, 0))(s)
			}, "keyring_not_newer: "},
		}},
		{attack: freeze, by: aKey, verdict: refused, lies: []lie{
			{"a keyring after which nobody could revoke anything: it trusts none but the thief", announcing("1", func(w *world) []byte {
				return w.document(keyring.Content{Version: 1, Keys: []image.Key{w.stranger.Public}, Revoked: []string{w.keys[1].ID()}}, w.keys[0])
			}), "keyring_too_few_signatures: "},
		}},
		{attack: mixAndMatch, by: aKey, verdict: refused, lies: []lie{
			{"a genuine header before a stolen key's app", offering("0.2.1", func(w *world) []byte {
				return append(w.good()[:136], stolen(testimage.Spec{Version: "0.2.1", Seed: 3})(w)[136:]...)
			}), "possible attack: arbitrary image"},
			{"the signature of a keyring before an image", offering("0.2.1", func(w *world) []byte {
				d := keyringtest.Document(keyring.Content{Version: 3, Keys: []image.Key{w.stranger.Public}}, w.keys[0])
				b, rs := w.good(), d.Signatures()[0].RS
				copy(b[44:108], rs[:])
				return b
			}), "possible attack: arbitrary image"},
			{"the signature of an image under a keyring", announcing("3", func(w *world) []byte {
				d := keyringtest.Document(keyring.Content{Version: 3, Keys: []image.Key{w.stranger.Public}}, w.keys[0], w.keys[2])
				rs := d.Signatures()[1].RS
				return bytes.Replace(bytes.Replace(d.Encode(), []byte(w.keys[2].ID()), []byte(w.keys[1].ID()), 1),
					[]byte(base64.StdEncoding.EncodeToString(rs[:])), []byte(base64.StdEncoding.EncodeToString(w.good()[44:108])), 1)
			}), "keyring_bad_signature: "},
		}},
		{attack: fastForward, by: aKey, verdict: refused, lies: []lie{
			{"the highest keyring there can be", announcing("9007199254740991", trusting(keyring.MaxVersion, 0)), "keyring_too_few_signatures: "},
			{"the same key twice", announcing("9007199254740991", twiceSigned), "keyring_malformed: "},
		}},
		{attack: endlessData, by: aKey, verdict: refused, lies: []lie{
			{"a signed image of 17 MiB", offering("0.2.2", func(w *world) []byte { return forceSigned(w, make([]byte, 17<<20)) }), "bad_answer: "},
			{"the same, from a URL that somebody names", func(s *scene) string {
				return s.robot.orderFile(s.server, "0.2.2", forceSigned(s.world, make([]byte, 17<<20)))
			}, "possible attack: endless data"},
		}},
		{attack: slowRetrieval, by: aKey, verdict: empty, guaranteed: "A key makes nothing slower."},
		{attack: wrongSKU, by: aKey, verdict: refused, lies: []lie{
			{"an image for another SKU", offering("0.2.2", stolen(testimage.Spec{Version: "0.2.2", Project: "robot-platform-industrial"})), "possible attack: wrong target"},
		}},
		{attack: wrongChip, by: aKey, verdict: refused, lies: []lie{
			{"an image for another chip", offering("0.2.2", stolen(testimage.Spec{Version: "0.2.2", Chip: testimage.ChipESP32})), "possible attack: wrong target"},
		}},
		{attack: keyCompromise, by: aKey, verdict: refused, lies: []lie{
			{"a keyring that trusts the thief's own key", announcing("1", trusting(1, 0)), "keyring_too_few_signatures: "},
			{"the same, with a stranger's signature besides", announcing("1", func(w *world) []byte {
				return w.document(keyring.Content{Version: 1, Keys: []image.Key{w.stranger.Public}}, w.keys[0], w.stranger)
			}), "keyring_too_few_signatures: "},
			{"an image after the operators' revocation, which came by the server", func(s *scene) string {
				if said := announcing("1", func(w *world) []byte { return w.revocation(1) })(s); said != "version 1 is in force" {
					return said
				}
				return offering("0.2.2", stolen(testimage.Spec{Version: "0.2.2"}))(s)
			}, "possible attack: key compromise"},
		}},
		{attack: droppedRequest, by: aKey, verdict: empty, guaranteed: "A key holds nothing up."},
		{attack: eavesdropping, by: aKey, verdict: empty, guaranteed: "A signing key deciphers nothing: TLS has keys of its own, and images are no secret."},
	}
}

// forceSigned signs what ota-sign would not: only the first key's holder does.
func forceSigned(w *world, payload []byte) []byte {
	sum := sha256.Sum256(payload)
	rs, err := image.SignDigest(sum, w.keys[0].Private)
	if err != nil {
		w.t.Fatal(err)
	}
	b := w.good()[:136]
	b[4], b[5], b[6], b[7] = 2, 2, 0, 0 // 0.2.2
	binary.LittleEndian.PutUint32(b[8:], uint32(len(payload)))
	copy(b[12:44], sum[:])
	copy(b[44:108], rs[:])
	return append(b, payload...)
}

// twiceSigned is a document that carries one key's signature twice.
func twiceSigned(w *world) []byte {
	b := w.document(keyring.Content{Version: keyring.MaxVersion, Keys: []image.Key{w.stranger.Public}}, w.keys[0])
	open, end := bytes.LastIndexByte(b, '['), bytes.LastIndexByte(b, ']')
	one := bytes.TrimSpace(b[open+1 : end])
	return slices.Concat(b[:open+1], one, []byte(","), one, b[end:])
}

// revokedMeanwhile takes an image in, and its key back before the robot may be
// updated.
func revokedMeanwhile(s *scene) string {
	s.server.honest("0.2.2", stolen(testimage.Spec{Version: "0.2.2"})(s.world))
	id, err := s.robot.core.Trigger(s.t.Context(), update.Request{Origin: update.FromCLI})
	if err != nil {
		return err.Error()
	}
	if said := s.robot.answer(id); said != accepted {
		return "before the revocation: " + said
	}
	s.revoke() // the gates want the robot to stand for two seconds
	said := ""
	s.robot.eventually("the end of the job", func() bool {
		st := s.robot.core.Status()
		if st.State == update.Failed && !st.Held {
			said = st.Failure.Code + ": " + st.Failure.Text
		}
		return st.State.Terminal() && !st.Held
	})
	return said
}
