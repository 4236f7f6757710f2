package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/strictjson"
)

func TestFill(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`:               "",
		` {"a":1,"b":"x"} `:     "",
		`{"b":"x"}`:             `it has no "a"`,
		`{"a":null}`:            `its "a" is null`,
		`{"a":1,"b":null}`:      `its "b" is null`,
		`{"a":1,"A":2}`:         `it has an unknown field "A"`,
		`{"A":1}`:               `it has no "a"`,
		`{"a":1,"a":2}`:         `it names "a" twice`,
		`{"a":1,"\u0061":2}`:    `it names "a" twice`,
		`{"a":1}{}`:             "something follows its JSON object",
		`{"a":1} x`:             "something follows its JSON object",
		`{"a":"1"}`:             `"a" cannot be read`,
		`{"a":1.5}`:             `"a" cannot be read`,
		`{"a":-1}`:              `"a" cannot be read`,
		`{"a":1`:                "it is no whole JSON object",
		`{"a":}`:                "it is no JSON",
		`[]`:                    "it is no JSON object",
		`null`:                  "it is no JSON object",
		``:                      "it is no JSON object",
		"\xff":                  "it is no JSON object",
		`{"a":1,"c":{"d":[1]}}`: `it has an unknown field "c"`,
	} {
		var a uint
		var b string
		err := strictjson.Fill([]byte(body), strictjson.Field{Name: "a", Into: &a}, strictjson.Field{Name: "b", Into: &b, Optional: true})
		if want == "" {
			if err != nil || a != 1 {
				t.Errorf("%s: %d, %v", body, a, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[{}]}`, `{"a":1,"a":1}`, `{"a":{"b":{}}`, `{} {}`, `{"\ud800":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := strictjson.Object(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("taken, and no JSON: %q", b)
		}
		for name, raw := range fields {
			if !json.Valid(raw) {
				t.Fatalf("%q is no JSON: %q", name, raw)
			}
		}
	})
}
