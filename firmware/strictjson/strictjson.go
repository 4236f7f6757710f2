// Package strictjson reads JSON objects that come from outside and decide
// something: two readers of one text must not see two different things.
//
// Unlike encoding/json alone it refuses a name that stands there twice, tells
// upper from lower case, and takes nothing after the object. It is pure.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Object splits a JSON object into its fields, each of them well-formed JSON.
func Object(b []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("it is no JSON object")
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("it names %.40q twice", name)
		}
		fields[name] = raw
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, errors.New("it is no whole JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its JSON object")
	}
	return fields, nil
}

// Field is a value that an object may hold.
type Field struct {
	Name     string
	Into     any  // where it goes, as json.Unmarshal takes it
	Optional bool // it may be missing
}

// Fill reads an object that holds these fields and no others; null is none.
func Fill(b []byte, fields ...Field) error {
	have, err := Object(b)
	if err != nil {
		return err
	}
	for _, f := range fields {
		raw, there := have[f.Name]
		delete(have, f.Name)
		switch {
		case there && string(raw) == "null":
			return fmt.Errorf("its %q is null", f.Name)
		case !there && f.Optional:
			continue
		case !there:
			return fmt.Errorf("it has no %q", f.Name)
		}
		if err := json.Unmarshal(raw, f.Into); err != nil {
			return fmt.Errorf("%q cannot be read: %w", f.Name, err)
		}
	}
	for name := range have {
		return fmt.Errorf("it has an unknown field %.40q", name)
	}
	return nil
}
