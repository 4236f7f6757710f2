package mqttlink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Bounds of a command.
const (
	maxCommand = 4 << 10 // bytes of the whole message
	maxReason  = 500     // bytes
	maxSKU     = 64      // bytes
)

// verb is what a command asks for; it is the end of its topic as well.
type verb string

const (
	verbUpdate   verb = "ota"
	verbRollback verb = "rollback"
	verbCancel   verb = "cancel"
)

func verbs() []verb { return []verb{verbUpdate, verbRollback, verbCancel} }

// command is a message that says what it may say. Whether it is to be followed
// is judge's to decide.
type command struct {
	verb    verb
	id      string // "" for none
	url     string
	sha256  string
	version compat.Version
	reason  string
	sku     string    // "" for none
	issued  time.Time // zero for none
}

// fields says which keys a command may have; true: must have.
func fields(v verb) map[string]bool {
	f := map[string]bool{"id": true, "issued": false, "sku": false}
	switch v {
	case verbUpdate:
		f["id"], f["url"], f["sha256"], f["version"] = false, true, true, true
	case verbRollback:
		f["reason"], f["version"] = true, false
	case verbCancel:
	}
	return f
}

// parse reads a command strictly: one JSON object, each key known, spelt
// exactly and there once, each value of its type.
func parse(v verb, payload []byte) (command, *refusal) {
	c := command{verb: v}
	if len(payload) > maxCommand {
		return c, refuse(codeOversized, "the command is larger than %d bytes", maxCommand)
	}
	values, err := object(payload)
	if err != nil {
		return c, refuse(codeMalformed, "%v", err)
	}
	allowed := fields(v)
	for key := range values {
		if _, ok := allowed[key]; !ok {
			return c, refuse(codeMalformed, "unknown field %q: commands/%s has %s", clip(key), v, list(allowed))
		}
	}
	for _, key := range names(allowed) {
		raw, there := values[key]
		if !there {
			if allowed[key] {
				return c, refuse(codeMalformed, "the field %q is missing: commands/%s has %s", key, v, list(allowed))
			}
			continue
		}
		if err := c.set(key, raw); err != nil {
			return c, refuse(codeMalformed, "%s: %v", key, err)
		}
	}
	return c, nil
}

// object splits a JSON object into its members.
func object(payload []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(payload) {
		return nil, errors.New("the command is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New(`the command is no JSON object: want {"…": …}`)
	}
	values := make(map[string]json.RawMessage)
	for dec.More() {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("the command is no valid JSON")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errors.New("the command is no valid JSON")
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("the field %q is there twice", clip(key))
		}
		values[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("the command is no valid JSON: it ends too early")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the command's JSON object")
	}
	return values, nil
}

func (c *command) set(key string, raw json.RawMessage) error {
	if key == "issued" {
		return c.setIssued(raw)
	}
	if raw[0] != '"' {
		return errors.New("want text in quotes")
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return errors.New("want text in quotes")
	}
	switch key {
	case "id":
		c.id = strings.TrimSpace(s)
		if err := printable(c.id, update.MaxCommand); err != nil {
			return err
		}
	case "url":
		if c.url = strings.TrimSpace(s); c.url == "" { // the rest is update.Request's to judge
			return errors.New("is empty")
		}
	case "sha256":
		if c.sha256 = strings.TrimSpace(s); c.sha256 == "" {
			return errors.New("is empty")
		}
	case "version":
		v, err := compat.ParseVersion(clip(s))
		if err != nil {
			return err
		}
		c.version = v
	case "reason":
		c.reason = strings.TrimSpace(s)
		return printable(c.reason, maxReason)
	case "sku":
		c.sku = s
		return printable(c.sku, maxSKU)
	}
	return nil
}

func (c *command) setIssued(raw json.RawMessage) error {
	var seconds float64
	if raw[0] == 'n' || json.Unmarshal(raw, &seconds) != nil || seconds < 1 || seconds > math.MaxInt32*4 {
		return errors.New("want the unix time in seconds, a number")
	}
	c.issued = time.Unix(int64(seconds), 0)
	return nil
}

func printable(s string, most int) error {
	if s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("want 1 to %d printable characters", most)
	}
	return nil
}

func names(allowed map[string]bool) []string {
	out := make([]string, 0, len(allowed))
	for k := range allowed {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func list(allowed map[string]bool) string { return strings.Join(names(allowed), ", ") }

// clip shortens what comes from outside and is repeated in a message.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
