package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxDepth of objects and lists in each other: a root document has 5.
const maxDepth = 16

// fields are the names of TUF's documents (specification, 4) that are no data.
func fields() []string {
	return []string{"signed", "signatures", "keyid", "sig", "_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "keytype",
		"scheme", "keyval", "public", "roles", "keyids", "threshold", "meta", "length", "hashes", "targets", "custom", "delegations"}
}

// checkJSON refuses what no document has and what readers stumble over, go-tuf
// among them: null, a name that stands there twice (two readers would see two
// things), a field in capitals, which encoding/json takes and others do not, numbers with a fraction, a depth without end.
func checkJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its JSON")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("it is no whole JSON: %w", err)
	}
	switch v := t.(type) {
	case nil:
		return errors.New("null stands for a value")
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return fmt.Errorf("%.40s is no whole number", v)
		}
	case json.Delim:
		if depth == maxDepth {
			return errors.New("it is nested too deeply")
		}
		if err := checkMembers(d, v == '{', depth+1); err != nil {
			return err
		}
		if _, err := d.Token(); err != nil { // its end
			return fmt.Errorf("it is no whole JSON: %w", err)
		}
	}
	return nil
}

// checkMembers goes through an object or a list up to its end.
func checkMembers(d *json.Decoder, named bool, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		if named {
			t, err := d.Token()
			name, ok := t.(string)
			if err != nil || !ok {
				return fmt.Errorf("it is no whole JSON: %w", err)
			}
			if seen[name] {
				return fmt.Errorf("it names %.60q twice", name)
			}
			if lower := strings.ToLower(name); lower != name && slices.Contains(fields(), lower) {
				return fmt.Errorf("it has a field %.60q, want %s", name, lower)
			}
			seen[name] = true
		}
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	return nil
}
