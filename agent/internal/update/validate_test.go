package update

import (
	"errors"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for name, tt := range map[string]struct {
		r    Request
		want string // "" for valid
	}{
		"empty":          {Request{}, ""},
		"whole":          {Request{URL: "https://cdn.example.org:8443/v1/artifacts/x?a=b", SHA256: sum, Command: "cmd-1"}, ""},
		"IPv6":           {Request{URL: "https://[2001:db8::1]/x"}, ""},
		"longest":        {Request{URL: "https://a/" + strings.Repeat("x", MaxURL-10)}, ""},
		"too long":       {Request{URL: "https://a/" + strings.Repeat("x", MaxURL-9)}, "has 2049 bytes, and may have 2048"},
		"http":           {Request{URL: "http://a/b"}, "must begin with https://"},
		"file":           {Request{URL: "file:///media/usb/a%20b.bin", Origin: FromCLI}, ""},
		"folder":         {Request{URL: "file:///media/usb/", Origin: FromROS}, ""},
		"fleet's file":   {Request{URL: "file:///media/usb/a.bin"}, "taken from this robot alone"},
		"offered file":   {Request{URL: "file:///media/usb/a.bin", Origin: FromSchedule}, "taken from this robot alone"},
		"file on a host": {Request{URL: "file://nas/a.bin", Origin: FromCLI}, "three slashes"},
		"relative file":  {Request{URL: "file:a.bin", Origin: FromCLI}, "three slashes"},
		"no file":        {Request{URL: "file://", Origin: FromCLI}, "three slashes"},
		"file up":        {Request{URL: "file:///media/../etc/shadow", Origin: FromCLI}, "holds . or .."},
		"file hidden up": {Request{URL: "file:///media/%2e%2e/etc/shadow", Origin: FromCLI}, "holds . or .."},
		"file query":     {Request{URL: "file:///media/a?b", Origin: FromCLI}, "query or fragment"},
		"file NUL":       {Request{URL: "file:///media/a%00b", Origin: FromCLI}, "control characters"},
		"no scheme":      {Request{URL: "updates.example.org/a"}, "must begin with https://"},
		"no host":        {Request{URL: "https:///a"}, "names no host"},
		"port alone":     {Request{URL: "https://:443/a"}, "names no host"},
		"user":           {Request{URL: "https://me:hunter2@a/b"}, "holds a user or password"},
		"fragment":       {Request{URL: "https://a/b#c"}, "has a fragment"},
		"space":          {Request{URL: "https://a/b c"}, "spaces or control characters"},
		"line feed":      {Request{URL: "https://a/b\nc"}, "spaces or control characters"},
		"not an address": {Request{URL: "https://[::1/x"}, "cannot be read"},
		"short digest":   {Request{SHA256: "abcd"}, "64 lower-case hex digits"},
		"upper case":     {Request{SHA256: strings.ToUpper(sum)}, "64 lower-case hex digits"},
		"not hex":        {Request{SHA256: strings.Repeat("xy", 32)}, "64 lower-case hex digits"},
		"long id":        {Request{Command: strings.Repeat("x", MaxCommand+1)}, "at most 128 printable"},
		"odd id":         {Request{Command: "a\x00b"}, "at most 128 printable"},
		"origin":         {Request{Origin: "moon"}, `unknown origin "moon"`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.r.Origin == "" {
				tt.r.Origin = FromMQTT
			}
			err := tt.r.Validate()
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message gives the password away")
			}
		})
	}
}

func TestNormalized(t *testing.T) {
	r := Request{URL: " https://a/b\n", SHA256: " " + strings.Repeat("AB", 32), Command: "c "}.Normalized()
	r.Origin = FromCLI
	if err := r.Validate(); err != nil || r.URL != "https://a/b" || r.Command != "c" {
		t.Errorf("%+v: %v", r, err)
	}
}
