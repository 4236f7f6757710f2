package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// wrap makes an envelope around any payload.
func wrap(payload string) string {
	return fmt.Sprintf(`{"format":"robot-ota-keyring","payload":"%s","signatures":[{"key":"%s","signature":"%s"}]}`,
		base64.StdEncoding.EncodeToString([]byte(payload)), goldenA, base64.StdEncoding.EncodeToString(make([]byte, 64)))
}

func TestMalformedDocuments(t *testing.T) {
	b := base64.StdEncoding.EncodeToString(testFile(t, "b.der"))
	good := fmt.Sprintf(`{"schema":1,"version":7,"keys":["%s"],"revoked":["%s"]}`, b, goldenA)
	if _, err := keyring.Parse([]byte(wrap(good))); err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string { return wrap(strings.Replace(good, old, new, 1)) }
	outer := func(old, new string) string { return strings.Replace(wrap(good), old, new, 1) }
	zeros := base64.StdEncoding.EncodeToString(make([]byte, 64))
	for name, tt := range map[string]struct{ doc, says string }{
		"nothing":                     {"", "it is no JSON object"},
		"a firmware":                  {"OBOR\x00\x01", "it is no JSON object"},
		"too long":                    {strings.Repeat(" ", keyring.MaxDocument) + wrap(good), "more than 32768 bytes"},
		"cut":                         {wrap(good)[:100], "it is no JSON"},
		"something after it":          {wrap(good) + "{}", "something follows"},
		"another format":              {outer("robot-ota-keyring", "robot-ota-image"), `its format is "robot-ota-image"`},
		"no format":                   {outer(`"format":"robot-ota-keyring",`, ""), `it has no "format"`},
		"a field more":                {outer(`{"format"`, `{"expires":1,"format"`), `unknown field "expires"`},
		"two payloads":                {outer(`{"format"`, `{"payload":"","format"`), `it names "payload" twice`},
		"payload in another case":     {outer(`"payload"`, `"Payload"`), `it has no "payload"`},
		"payload with a line end":     {outer(`"payload":"`, `"payload":"\n`), "its payload is no base64"},
		"payload as hex":              {outer(`"payload":"`, `"payload":"zz!`), "its payload is no base64"},
		"no signature":                {outer(wrap(good)[strings.Index(wrap(good), `"signatures":`):], `"signatures":[]}`), "it carries no signature"},
		"signatures null":             {outer(wrap(good)[strings.Index(wrap(good), `"signatures":`):], `"signatures":null}`), `its "signatures" is null`},
		"signature null":              {outer(wrap(good)[strings.Index(wrap(good), `"signatures":`):], `"signatures":[null]}`), "signature 1: it is no JSON object"},
		"signature too short":         {outer(zeros, zeros[:84]), "signature 1: want 64 bytes"},
		"signature as DER":            {outer(zeros, base64.StdEncoding.EncodeToString(make([]byte, 70))), "signature 1: want 64 bytes"},
		"signature of no key":         {outer(goldenA, "A"+goldenA[1:]), "is no key id"},
		"signature, a field more":     {outer(`{"key"`, `{"algorithm":"none","key"`), `signature 1: it has an unknown field "algorithm"`},
		"too many signatures":         {outer(wrap(good)[strings.Index(wrap(good), `"signatures":`):], `"signatures":[`+strings.Repeat("{},", 16)+`{}]}`), "17 signatures, more than 16"},
		"payload is a list":           {wrap("[]"), "its payload: it is no JSON object"},
		"payload, something after it": {wrap(good + "{}"), "its payload: something follows"},
		"no schema":                   {swap(`"schema":1,`, ""), `its payload: it has no "schema"`},
		"another schema":              {swap(`"schema":1`, `"schema":2`), "its schema is 2, this program knows 1"},
		"version 0":                   {swap(`"version":7`, `"version":0`), "its version 0 is not between 1 and 9007199254740991"},
		"version below 0":             {swap(`"version":7`, `"version":-1`), `"version" cannot be read`},
		"version too large":           {swap(`"version":7`, `"version":9007199254740992`), "its version 9007199254740992 is not between"},
		"version beyond 64 bits":      {swap(`"version":7`, `"version":18446744073709551616`), `"version" cannot be read`},
		"version with a point":        {swap(`"version":7`, `"version":7.0`), `"version" cannot be read`},
		"version as text":             {swap(`"version":7`, `"version":"7"`), `"version" cannot be read`},
		"two versions":                {swap(`"version":7`, `"version":7,"version":8`), `it names "version" twice`},
		"a field that is not known":   {swap(`"version":7`, `"version":7,"expires":"2027"`), `unknown field "expires"`},
		"no keys":                     {swap(`"keys":["`+b+`"],`, ""), `it has no "keys"`},
		"key null":                    {swap(`["`+b+`"]`, `[null]`), "key 1: no ECDSA P-256 public key"},
		"key as X‖Y":                  {swap(b, base64.StdEncoding.EncodeToString(testFile(t, "b.der")[27:])), "key 1: want one public key as DER"},
		"key as PEM":                  {swap(b, base64.StdEncoding.EncodeToString([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))), "key 1: block 1: no ECDSA P-256 public key"},
		"key off the curve":           {swap(b, base64.StdEncoding.EncodeToString(offCurve(t))), "key 1: no ECDSA P-256 public key"},
		"a key twice":                 {swap(`"`+b+`"`, `"`+b+`","`+b+`"`), "it names key " + goldenB + " twice"},
		"too many keys":               {swap(`"`+b+`"`, strings.Repeat(`"",`, 32)+`""`), "it trusts 33 keys, more than 32"},
		"revoked null":                {swap(`["`+goldenA+`"]`, "[null]"), `"" is no key id`},
		"revoked, upper case":         {swap(`["`+goldenA, `["`+strings.ToUpper(goldenA)), "is no key id"},
		"revoked too long":            {swap(`["`+goldenA, `["0`+goldenA), "is no key id"},
		"revoked twice":               {swap(`"`+goldenA+`"]`, `"`+goldenA+`","`+goldenA+`"]`), "it revokes key " + goldenA + " twice"},
		"revoked and trusted":         {swap(`["`+goldenA, `["`+goldenB), "it trusts and revokes key " + goldenB},
		"too many revoked":            {swap(`"`+goldenA+`"]`, ids(257)+"]"), "it revokes 257 keys, more than 256"},
		"neither":                     {wrap(`{"schema":1,"version":7,"keys":[],"revoked":[]}`), "neither trusts a key nor revokes one"},
		"a long comment":              {swap(`"version":7`, `"version":7,"comment":"`+strings.Repeat("x", 201)+`"`), "its comment is longer than 200 bytes"},
		"a comment with an escape":    {swap(`"version":7`, `"version":7,"comment":"\u001b[31m"`), "or not printable"},
		"a comment that is no UTF-8":  {swap(`"version":7`, `"version":7,"comment":"`+"\xff"+`"`), "or not printable"},
		"a time that is none":         {swap(`"version":7`, `"version":7,"issued":"yesterday"`), `its time of issue "yesterday" is none`},
	} {
		d, err := keyring.Parse([]byte(tt.doc))
		var r *keyring.Refused
		if !errors.As(err, &r) || r.Code != keyring.Malformed || !strings.Contains(r.Detail, tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		if !d.IsZero() && len(d.Signatures()) > 0 {
			t.Errorf("%s: a document comes out all the same", name)
		}
	}
}

// ids are n different ids, quoted.
func ids(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"%016x"`, i))
	}
	return strings.Join(out, ",")
}

func offCurve(t *testing.T) []byte {
	b := testFile(t, "b.der")
	b[len(b)-1] ^= 1
	return b
}

func TestLargestDocumentFits(t *testing.T) {
	s := newSigners(keyring.MaxKeys)
	all := make([]int, keyring.MaxKeys)
	for i := range all {
		all[i] = i
	}
	c := keyring.Content{Version: keyring.MaxVersion, Keys: s.trust(all...), Comment: strings.Repeat("ü", keyring.MaxComment/2)}
	for i := range keyring.MaxRevoked {
		c.Revoked = append(c.Revoked, fmt.Sprintf("%016x", i))
	}
	d := s.document(c, all[:keyring.MaxSignatures]...)
	if n := len(d.Encode()); n > keyring.MaxDocument {
		t.Errorf("%d bytes, more than %d", n, keyring.MaxDocument)
	}
	if _, err := d.Sign(s[keyring.MaxSignatures].Private); code(err) != keyring.Malformed {
		t.Errorf("one signature more: %v", err)
	}
}

func TestParseRevoked(t *testing.T) {
	for name, tt := range map[string]struct {
		list string
		want []string
		says string
	}{
		"nothing":           {"", nil, ""},
		"comments":          {"# stolen in March\n\n   \t# nothing\n", nil, ""},
		"one":               {goldenA + "\n", []string{goldenA}, ""},
		"no line end":       {goldenA + " # stolen\n\t" + goldenB, []string{goldenA, goldenB}, ""},
		"Windows":           {goldenA + "\r\n" + goldenB + "\r\n", []string{goldenA, goldenB}, ""},
		"twice":             {goldenA + "\n" + goldenA, []string{goldenA}, ""},
		"two in a line":     {"#\n" + goldenA + " " + goldenB + "\n", nil, "line 2: "},
		"upper case":        {strings.ToUpper(goldenA), nil, "is no key id: want 16 lower-case hex digits, as ota-agent keys shows them"},
		"a key":             {"-----BEGIN PUBLIC KEY-----\n", nil, `line 1: "-----BEGIN PUBLIC KEY-----" is no key id`},
		"cut":               {goldenA + "\n" + goldenB[:7], nil, "line 2: "},
		"far too long":      {strings.Repeat("#\n", keyring.MaxList), nil, "more than 65536 bytes"},
		"a byte order mark": {"\ufeff" + goldenA, nil, "line 1: "},
	} {
		got, err := keyring.ParseRevoked([]byte(tt.list))
		if tt.says == "" {
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if code(err) != keyring.Malformed || !strings.Contains(err.Error(), tt.says) || got != nil {
			t.Errorf("%s: %v, %v, want %q", name, got, err, tt.says)
		}
	}
}

// FuzzParse: what is taken survives its own form, and nobody forges what the
// golden ring accepts.
func FuzzParse(f *testing.F) {
	golden := testFile(f, "golden.json")
	f.Add(golden)
	f.Add([]byte(wrap(`{"schema":1,"version":1,"keys":[],"revoked":["` + goldenB + `"]}`)))
	f.Add(bytes.Replace(golden, []byte("robot-ota-keyring"), []byte("Robot-ota-keyring"), 1))
	f.Add(golden[:len(golden)-30])
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := keyring.Parse(b)
		if err != nil {
			if code(err) != keyring.Malformed {
				t.Fatal(err)
			}
			return
		}
		again, err := keyring.Parse(d.Encode())
		if err != nil || again.Digest() != d.Digest() || len(again.Signatures()) != len(d.Signatures()) {
			t.Fatalf("does not survive: %v", err)
		}
		r, err := goldenRing(t).Accept(d)
		if err != nil {
			return
		}
		if sum := d.Digest(); fmt.Sprintf("%x", sum) != goldenDigest {
			t.Fatalf("a forged document is accepted: %s, then %v", b, r)
		}
	})
}

// FuzzPayload fuzzes what lies under the base64.
func FuzzPayload(f *testing.F) {
	var golden struct{ Payload []byte }
	if err := json.Unmarshal(testFile(f, "golden.json"), &golden); err != nil {
		f.Fatal(err)
	}
	f.Add(golden.Payload)
	f.Add([]byte(`{"schema":1,"version":9007199254740991,"keys":[],"revoked":["` + goldenB + `"],"comment":"é"}`))
	f.Add([]byte(`{"schema":1,"version":1,"keys":[""],"revoked":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := keyring.Parse([]byte(wrap(string(b))))
		if err != nil {
			return
		}
		c := d.Content()
		twin, err := keyring.New(c)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if got := twin.Content(); got.Version != c.Version || len(got.Keys) != len(c.Keys) || len(got.Revoked) != len(c.Revoked) || got.Comment != c.Comment {
			t.Fatalf("%+v became %+v", c, got)
		}
	})
}

func FuzzRevoked(f *testing.F) {
	f.Add([]byte(goldenA + "\n# x\n"))
	f.Add([]byte("\r\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := keyring.ParseRevoked(b)
		if err != nil {
			return
		}
		for i, id := range got {
			if !keyring.IsID(id) || slices.Contains(got[:i], id) {
				t.Fatalf("%q", got)
			}
		}
	})
}
