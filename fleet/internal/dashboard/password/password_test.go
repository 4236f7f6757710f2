package password

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestHashAndVerify(t *testing.T) {
	const good = "correct horse battery"
	h, err := Hash(good)
	if err != nil || !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(h, good) {
		t.Fatal(h, err)
	}
	if err := Verify(h, good); err != nil {
		t.Errorf("the password: %v", err)
	}
	for _, wrong := range []string{"", good + " ", good[1:], strings.Repeat("x", MaxLength+1)} {
		if err := Verify(h, wrong); !errors.Is(err, ErrWrong) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	if again, err := Hash(good); err != nil || again == h {
		t.Errorf("the same salt twice: %v", err)
	}
}

// A hash that argon2's reference implementation made: echo -n password |
// argon2 somesalt -id -t 2 -k 65536 -p 1 (its test vectors, test.c).
func TestReference(t *testing.T) {
	key, err := hex.DecodeString("09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7")
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawStdEncoding
	h := "$argon2id$v=19$m=65536,t=2,p=1$" + enc.EncodeToString([]byte("somesalt")) + "$" + enc.EncodeToString(key)
	if err := Verify(h, "password"); err != nil {
		t.Error(err)
	}
	if err := Verify(h, "differentpassword"); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	for p, want := range map[string]string{
		"short": "too short", strings.Repeat("ü", MinLength-1): "too short", strings.Repeat("ü", MinLength): "",
		strings.Repeat("x", MaxLength): "", strings.Repeat("x", MaxLength+1): "too long", strings.Repeat("\xff", 20): "not UTF-8",
	} {
		_, err := Hash(p)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", p, err, want)
		}
	}
}

func TestDamagedHashes(t *testing.T) {
	h, err := Hash("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"nothing": "", "plain": "correct horse battery", "cut": h[:len(h)-10], "other": strings.Replace(h, "argon2id", "argon2i", 1),
		"version": strings.Replace(h, "v=19", "v=16", 1), "all memory": strings.Replace(h, "m=19456", "m=4294967295", 1),
		"for ever": strings.Replace(h, "t=2", "t=4294967295", 1), "no passes": strings.Replace(h, "t=2", "t=0", 1), "no lanes": strings.Replace(h, "p=1", "p=0", 1),
		"letters": strings.Replace(h, "m=19456", "m=x", 1), "more": h + "$x", "no base64": h[:len(h)-1] + "!", "no salt": "$argon2id$v=19$m=8,t=1,p=1$$" + strings.Repeat("A", 43),
	} {
		if err := Verify(damaged, "correct horse battery"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApg8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("$argon2id$v=19$m=-8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1a")
	f.Fuzz(func(t *testing.T, hash string) {
		h, err := parse(hash)
		if err == nil && (h.memory > maxMemory || h.passes > maxPasses || h.lanes > maxLanes || len(h.key) > 64) {
			t.Errorf("%q: %+v", hash, h)
		}
	})
}
