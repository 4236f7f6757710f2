package keyring_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
)

// The golden document was made without any code of this project: the payload by
// Python's json, keys and signature by openssl (`dgst -sha256 -sign` over the
// domain and the payload), its r and s taken out of the DER by hand. It is
// signed by key a, which it revokes, and trusts key b.
const (
	goldenA      = "7a38979b6d7c71c9"
	goldenB      = "922621a554f34898"
	goldenDigest = "6be874b0622733ca72755a8292cb9cc6fc8b40166f8c09ecc0cb4efe47c8dd6b"
)

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goldenRing trusts key a, as the robots did before the golden document.
func goldenRing(t testing.TB) keyring.Ring {
	t.Helper()
	keys, err := image.ParseKeys(testFile(t, "a.der"))
	if err != nil {
		t.Fatal(err)
	}
	return keyring.NewRing(keyring.Base{Files: []keyring.Source{{Name: "a.der", Keys: keys}}})
}

func TestGolden(t *testing.T) {
	d, err := keyring.Parse(testFile(t, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := d.Content()
	if c.Version != 7 || len(c.Keys) != 1 || c.Keys[0].ID != goldenB || !slices.Equal(c.Revoked, []string{goldenA}) ||
		c.Comment != "key a was stolen" || !c.Issued.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("read as %+v", c)
	}
	if sum := d.Digest(); hex.EncodeToString(sum[:]) != goldenDigest {
		t.Errorf("digest %x", sum)
	}
	r, err := goldenRing(t).Accept(d)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.String(); got != "trusted: "+goldenB+"; revoked: "+goldenA {
		t.Errorf("then %s", got)
	}
}

// TestOpensslVerifies holds what this package signs against openssl.
func TestOpensslVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	s := newSigners(1)
	d := s.document(keyring.Content{Version: 1, Revoked: []string{goldenA}}, 0)
	dir := t.TempDir()
	rs := d.Signatures()[0].RS
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(rs[:32]), new(big.Int).SetBytes(rs[32:])})
	if err != nil {
		t.Fatal(err)
	}
	message := append([]byte("robot-ota keyring document, schema 1\x00"), payloadOf(t, d)...)
	for name, b := range map[string][]byte{"sig": der, "message": message, "pub.der": s[0].Public.DER()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), openssl, "dgst", "-sha256", "-keyform", "DER", "-verify", "pub.der", "-signature", "sig", "message")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// payloadOf takes the payload out of an encoded document by hand.
func payloadOf(t testing.TB, d keyring.Document) []byte {
	t.Helper()
	_, rest, _ := strings.Cut(string(d.Encode()), `"payload": "`)
	packed, _, _ := strings.Cut(rest, `"`)
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signers are key pairs.
type signers []keyringtest.Signer

func newSigners(n int) signers { return keyringtest.Signers(n) }

func (s signers) id(i int) string { return s[i].ID() }

func (s signers) trust(ids ...int) []image.Key {
	var out []image.Key
	for _, i := range ids {
		out = append(out, s[i].Public)
	}
	return out
}

func (s signers) revoke(ids ...int) []string {
	var out []string
	for _, i := range ids {
		out = append(out, s.id(i))
	}
	return out
}

// document is signed by some and has been on its way.
func (s signers) document(c keyring.Content, by ...int) keyring.Document {
	var some []keyringtest.Signer
	for _, i := range by {
		some = append(some, s[i])
	}
	return keyringtest.Document(c, some...)
}

// ring trusts some in files.
func (s signers) ring(threshold int, ids ...int) keyring.Ring {
	return keyring.NewRing(keyring.Base{Threshold: threshold, Files: []keyring.Source{{Name: "keys.pem", Keys: s.trust(ids...)}}})
}

func accept(t testing.TB, r keyring.Ring, d keyring.Document) keyring.Ring {
	t.Helper()
	next, err := r.Accept(d)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestAKeyTakesOver(t *testing.T) {
	s := newSigners(2)
	r := s.ring(1, 0)
	// The new key, signed by the old one.
	r = accept(t, r, s.document(keyring.Content{Version: 1, Keys: s.trust(1)}, 0))
	if ids := r.Trusted().IDs(); !slices.Equal(ids, []string{s.id(0), s.id(1)}) {
		t.Errorf("trusted %v", ids)
	}
	// The old key's last use is its own revocation.
	last := s.document(keyring.Content{Version: 2, Keys: s.trust(1), Revoked: s.revoke(0)}, 0)
	r = accept(t, r, last)
	if ids := r.Trusted().IDs(); !slices.Equal(ids, []string{s.id(1)}) || !slices.Equal(r.Revoked(), s.revoke(0)) {
		t.Errorf("trusted %v, revoked %v", ids, r.Revoked())
	}
	// Again, as an update server sends it every six hours: nothing changes,
	// although its signer is revoked by now.
	if again := accept(t, r, last); again.String() != r.String() || !r.Holds(last) {
		t.Errorf("then %v", again)
	}
	// It has no say any more; the new one has.
	if _, err := r.Accept(s.document(keyring.Content{Version: 3, Keys: s.trust(1), Revoked: s.revoke(0)}, 0)); code(err) != keyring.RevokedKey {
		t.Errorf("%v", err)
	}
	accept(t, r, s.document(keyring.Content{Version: 3, Keys: s.trust(1), Revoked: s.revoke(0)}, 1))
}

// A trusts B, B revokes A and trusts C, C revokes B. Every robot gets there that
// takes them in order, whichever key it was built with.
func TestCatchingUp(t *testing.T) {
	s := newSigners(4)
	chain := []keyring.Document{
		s.document(keyring.Content{Version: 1, Keys: s.trust(1)}, 0),
		s.document(keyring.Content{Version: 5, Keys: s.trust(1, 2), Revoked: s.revoke(0)}, 1),
		s.document(keyring.Content{Version: 6, Keys: s.trust(2), Revoked: s.revoke(0, 1)}, 2),
	}
	if _, err := s.ring(1, 0).Accept(chain[2]); code(err) != keyring.ForeignKey {
		t.Errorf("the newest alone: %v", err)
	}
	for name, tt := range map[string]struct {
		r    keyring.Ring
		docs []keyring.Document
		left uint64
		code keyring.Code
	}{
		"built with the first key":   {s.ring(1, 0), chain, 6, ""},
		"built with the second":      {s.ring(1, 1), chain, 6, ""},
		"built with the third":       {s.ring(1, 2), chain, 6, ""},
		"half way":                   {accept(t, s.ring(1, 0), chain[0]), chain[1:], 6, ""},
		"again":                      {accept(t, s.ring(1, 2), chain[2]), chain[2:], 6, ""},
		"one is missing":             {s.ring(1, 0), []keyring.Document{chain[0], chain[2]}, 1, keyring.ForeignKey},
		"of another fleet":           {s.ring(1, 3), chain, 0, keyring.ForeignKey},
		"the last one is in the way": {s.ring(1, 0), []keyring.Document{chain[0], chain[1], s.document(keyring.Content{Version: 7, Keys: s.trust(0)}, 2)}, 5, keyring.ForgetsRevoked},
		"nothing":                    {s.ring(1, 0), nil, 0, ""},
	} {
		r, err := tt.r.Follow(tt.docs...)
		if r.Document().Version() != tt.left || code(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("%s: version %d, %v", name, r.Document().Version(), err)
		}
		if tt.left == 6 && !slices.Equal(r.Trusted().IDs(), []string{s.id(2)}) {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func code(err error) keyring.Code {
	var r *keyring.Refused
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// TestAttacks: the ring trusts keys 0 and 1 by its files and has accepted
// version 5, which revokes key 3. Key 4 is foreign.
func TestAttacks(t *testing.T) {
	s := newSigners(5)
	five := keyring.Content{Version: 5, Keys: s.trust(2), Revoked: s.revoke(3)}
	six := keyring.Content{Version: 6, Keys: s.trust(2), Revoked: s.revoke(3)}
	with := func(c keyring.Content, change func(*keyring.Content)) keyring.Content {
		change(&c)
		return c
	}
	forged := func() keyring.Document { // the signature of another document
		d := s.document(five, 0)
		b := strings.Replace(string(s.document(six, 0).Encode()), sigText(s.document(six, 0)), sigText(d), 1)
		out, err := keyring.Parse([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	borrowed := func() keyring.Document { // a foreign key under a trusted key's name
		d := s.document(six, 4)
		out, err := keyring.Parse(bytes.Replace(d.Encode(), []byte(s.id(4)), []byte(s.id(0)), 1))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tt := range []struct {
		name      string
		threshold int
		d         keyring.Document
		code      keyring.Code
		attack    string
		says      string
	}{
		{"an old document is replayed", 1, s.document(keyring.Content{Version: 4, Keys: s.trust(2, 3)}, 0), keyring.NotNewer, "roll-back or replay", "it is version 4, in force is 5"},
		{"the version in force says something else", 1, s.document(keyring.Content{Version: 5, Keys: s.trust(4), Revoked: s.revoke(3)}, 0), keyring.Conflict, "mix-and-match", "it is version 5, as the one in force"},
		{"a foreign key signs", 1, s.document(six, 4), keyring.ForeignKey, "arbitrary keyring", "signed by no trusted key (trusted: " + s.id(0)},
		{"a revoked key signs", 1, s.document(six, 3), keyring.RevokedKey, "key compromise", "its signature names key " + s.id(3) + ", which is revoked"},
		{"the signature is of another document", 1, forged(), keyring.BadSignature, "arbitrary keyring", "the signature of key " + s.id(0) + " is not by that key"},
		{"a foreign key under a trusted name", 1, borrowed(), keyring.BadSignature, "arbitrary keyring", "is not by that key"},
		{"one stolen key, and two have to sign", 2, s.document(six, 0), keyring.TooFew, "key compromise", "it carries 1 (" + s.id(0) + ") of the 2 signatures by trusted keys that it needs"},
		{"one stolen key and a foreign one", 2, s.document(six, 0, 4), keyring.TooFew, "key compromise", "it carries 1 ("},
		{"one stolen key and a revoked one", 2, s.document(six, 0, 3), keyring.TooFew, "key compromise", "it carries 1 ("},
		{"a revocation is taken back", 1, s.document(with(six, func(c *keyring.Content) { c.Revoked = nil }), 0), keyring.ForgetsRevoked, "", "it does not revoke key " + s.id(3) + ", which version 5 revoked"},
		{"a revoked key is trusted again", 1, s.document(with(six, func(c *keyring.Content) { c.Keys, c.Revoked = s.trust(3), s.revoke(4) }), 0), keyring.ForgetsRevoked, "", s.id(3)},
		{"nobody would be trusted", 1, s.document(with(six, func(c *keyring.Content) { c.Keys, c.Revoked = nil, s.revoke(0, 1, 2, 3) }), 0), keyring.LeavesNoKey, "", "no key would be trusted"},
		{"too few would be trusted", 2, s.document(with(six, func(c *keyring.Content) { c.Keys, c.Revoked = nil, s.revoke(0, 2, 3) }), 0, 1), keyring.LeavesTooFew, "", "it leaves 1 (" + s.id(1) + ") of the 2 trusted keys that have to sign"},
		{"no document at all", 1, keyring.Document{}, keyring.Malformed, "", "there is no document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := keyring.Resume(keyring.Base{Threshold: tt.threshold, Files: []keyring.Source{{Name: "k", Keys: s.trust(0, 1)}}}, s.document(five, 0))
			after, err := before.Accept(tt.d)
			var r *keyring.Refused
			if !errors.As(err, &r) || r.Code != tt.code || r.Code.Attack() != tt.attack || !strings.Contains(r.Detail, tt.says) {
				t.Errorf("got %v\nwant %s: %s", err, tt.code, tt.says)
			}
			if got := after.Trusted().IDs(); len(got) != 0 {
				t.Errorf("a refusal hands out the keys %v", got)
			}
		})
	}
}

func sigText(d keyring.Document) string {
	rs := d.Signatures()[0].RS
	return base64.StdEncoding.EncodeToString(rs[:])
}

// One key signs twice: the form allows it to be carried once, so it counts once.
func TestOneKeyCountsOnce(t *testing.T) {
	s := newSigners(2)
	d := s.document(keyring.Content{Version: 1, Keys: s.trust(1)}, 0)
	if _, err := d.Sign(s[0].Private); code(err) != keyring.Malformed || !strings.Contains(err.Error(), "has signed it already") {
		t.Errorf("signed twice: %v", err)
	}
	one := fmt.Sprintf(`{"key":"%s","signature":"%s"}`, s.id(0), sigText(d))
	b := fmt.Sprintf(`{"format":"robot-ota-keyring","payload":"%s","signatures":[%s,%s]}`, base64.StdEncoding.EncodeToString(payloadOf(t, d)), one, one)
	if _, err := keyring.Parse([]byte(b)); code(err) != keyring.Malformed || !strings.Contains(err.Error(), "two signatures of key "+s.id(0)) {
		t.Errorf("carried twice: %v", err)
	}
}

func TestThresholdIsMet(t *testing.T) {
	s := newSigners(4)
	d := s.document(keyring.Content{Version: 1, Keys: s.trust(2), Revoked: s.revoke(0)}, 0, 3, 1) // a foreign one does no harm
	r := accept(t, s.ring(2, 0, 1), d)
	if ids := r.Trusted().IDs(); !slices.Equal(ids, []string{s.id(1), s.id(2)}) {
		t.Errorf("trusted %v", ids)
	}
	if n := keyring.NewRing(keyring.Base{Threshold: -3}).Threshold(); n != 1 {
		t.Errorf("threshold %d", n)
	}
}

// A signature of a firmware does not pass for one of a keyring, whatever the
// payloads are, nor the other way round.
func TestSignaturesOfOneKindAreNotOfTheOther(t *testing.T) {
	s := newSigners(2)
	d := s.document(keyring.Content{Version: 1, Keys: s.trust(1)}, 0)
	p := payloadOf(t, d)

	// The attacker has the payload signed as if it were a firmware.
	sum := sha256.Sum256(p)
	rs, err := image.SignDigest(sum, s[0].Private)
	if err != nil {
		t.Fatal(err)
	}
	b := strings.Replace(string(d.Encode()), sigText(d), base64.StdEncoding.EncodeToString(rs[:]), 1)
	crossed, err := keyring.Parse([]byte(b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ring(1, 0).Accept(crossed); code(err) != keyring.BadSignature {
		t.Errorf("a firmware's signature on a keyring: %v", err)
	}

	// A keyring's signature on a firmware whose bytes are what was signed.
	signed := append([]byte("robot-ota keyring document, schema 1\x00"), p...)
	h := image.Header{ImageSize: uint32(len(signed)), SHA256: sha256.Sum256(signed), Signature: d.Signatures()[0].RS}
	_, err = image.Verify(append(h.AppendTo(nil), signed...), image.NewKeyring(s[0].Public), image.Policy{Chip: image.AnyChip})
	var r *image.Refused
	if !errors.As(err, &r) || r.Code != image.RefusedApp {
		t.Errorf("a keyring's signature on a firmware: %v", err)
	}
}

// The other form of each signature is one too; it is still the same document.
func TestMalleableSignatureIsTheSameDocument(t *testing.T) {
	s := newSigners(2)
	d := s.document(keyring.Content{Version: 1, Keys: s.trust(1)}, 0)
	rs := d.Signatures()[0].RS
	n := elliptic.P256().Params().N
	new(big.Int).Sub(n, new(big.Int).SetBytes(rs[32:])).FillBytes(rs[32:])
	twin, err := keyring.Parse([]byte(strings.Replace(string(d.Encode()), sigText(d), base64.StdEncoding.EncodeToString(rs[:]), 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := accept(t, s.ring(1, 0), d)
	if !r.Holds(twin) {
		t.Error("another document")
	}
	accept(t, s.ring(1, 0), twin)
}

func TestTheLocalListBeatsEverything(t *testing.T) {
	s := newSigners(3)
	base := keyring.Base{
		Files: []keyring.Source{{Name: "/k/0.der", Keys: s.trust(0)}, {Name: "/k/1.der", Keys: s.trust(1, 0)}},
		Lists: []keyring.List{{Name: "/k/x.revoked", IDs: append(s.revoke(1, 2), "00000000000000ff")}},
	}
	r := accept(t, keyring.NewRing(base), s.document(keyring.Content{Version: 1, Keys: s.trust(2), Revoked: []string{"00000000000000ff", "00000000000000aa"}}, 0))
	if ids := r.Trusted().IDs(); !slices.Equal(ids, s.revoke(0)) {
		t.Errorf("trusted %v", ids)
	}
	if got := fmt.Sprint(r.TrustedEntries()); got != fmt.Sprintf("[{%s [/k/0.der /k/1.der]}]", s.id(0)) {
		t.Errorf("trusted %v", got)
	}
	gone := r.RevokedEntries()
	if len(gone) != 4 || !slices.IsSortedFunc(gone, func(a, b keyring.Entry) int { return strings.Compare(a.ID, b.ID) }) {
		t.Errorf("revoked %v", gone)
	}
	for _, e := range gone {
		if e.ID == "00000000000000ff" && !slices.Equal(e.From, []string{keyring.FromDocument, "/k/x.revoked"}) {
			t.Errorf("revoked %v", e)
		}
	}
	// A key that is revoked here cannot sign a keyring either.
	if _, err := r.Accept(s.document(keyring.Content{Version: 2, Keys: s.trust(2), Revoked: []string{"00000000000000ff", "00000000000000aa"}}, 1)); code(err) != keyring.RevokedKey {
		t.Errorf("%v", err)
	}
}

// TestAnyOrder feeds random documents by random signers and holds the ring
// against what must be true of every step.
func TestAnyOrder(t *testing.T) {
	s := newSigners(6)
	for round := range 200 {
		threshold := 1 + round%2
		r := s.ring(threshold, 0, 1)
		for step := range 20 {
			n := func(of int) int { v, _ := rand.Int(rand.Reader, big.NewInt(int64(of))); return int(v.Int64()) }
			perm := shuffled(6)
			cut := n(4)
			c := keyring.Content{Version: uint64(1 + n(12)), Keys: s.trust(perm[:1+n(3)]...), Revoked: s.revoke(perm[4 : 4+cut/2]...)}
			by := shuffled(6)[:1+n(3)]
			d := s.document(c, by...)
			next, err := r.Accept(d)
			if err != nil {
				continue
			}
			old := r.Trusted().IDs()
			good := 0
			for _, i := range by {
				if slices.Contains(old, s.id(i)) {
					good++
				}
			}
			ids := next.Trusted().IDs()
			switch {
			case r.Holds(d):
				continue
			case good < threshold:
				t.Fatalf("round %d, step %d: %d signatures of %v were enough", round, step, good, old)
			case !next.Newer(c.Version+1) || next.Newer(c.Version) || !r.Newer(c.Version):
				t.Fatalf("round %d, step %d: version %d after %d", round, step, c.Version, r.Document().Version())
			case len(ids) < threshold:
				t.Fatalf("round %d, step %d: %v are left", round, step, ids)
			}
			for _, id := range r.Revoked() {
				if !slices.Contains(next.Revoked(), id) || slices.Contains(ids, id) {
					t.Fatalf("round %d, step %d: the revocation of %s is lost", round, step, id)
				}
			}
			r = next
		}
	}
}

func shuffled(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j, _ := rand.Int(rand.Reader, big.NewInt(int64(i+1)))
		out[i], out[j.Int64()] = out[j.Int64()], out[i]
	}
	return out
}
