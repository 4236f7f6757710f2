// Package outline makes of JSON, whoever wrote it, something that a page can
// show: names, values, and what lies below, in the order in which it stands
// there. It is bounded in every direction.
package outline

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Node is a part of a document: a name with a value, or with more of them below.
type Node struct {
	Name  string
	Value string
	Below []Node
}

// Bounds of what is shown of a document.
const (
	maxNodes = 600
	maxDepth = 8
	maxText  = 1000 // bytes of a value
)

// Read takes JSON apart. What is too much is left out, and said so; what is no
// JSON is shown as it is.
func Read(raw json.RawMessage) []Node {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	r := reader{dec: json.NewDecoder(bytes.NewReader(raw)), left: maxNodes}
	r.dec.UseNumber()
	n, err := r.value("", 0)
	if errors.Is(err, errTooMuch) {
		return []Node{{Value: "too much to be shown here"}}
	}
	if err != nil {
		return []Node{{Value: shorten(string(raw))}}
	}
	if n.Below == nil {
		return []Node{n}
	}
	return n.Below
}

var errTooMuch = errors.New("too much")

type reader struct {
	dec  *json.Decoder
	left int
}

func (r *reader) value(name string, depth int) (Node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return Node{}, err
	}
	if r.left--; r.left < 0 || depth > maxDepth {
		return Node{}, errTooMuch
	}
	n := Node{Name: shorten(name)}
	switch t := t.(type) {
	case json.Delim:
		n.Below, err = r.below(t == '{', depth+1)
		return n, err
	case string:
		n.Value = shorten(t)
	case json.Number:
		n.Value = shorten(t.String())
	case bool:
		n.Value = map[bool]string{true: "yes", false: "no"}[t]
	case nil:
		n.Value = "none"
	}
	return n, nil
}

// below reads what stands between brackets.
func (r *reader) below(named bool, depth int) ([]Node, error) {
	out := []Node{}
	for r.dec.More() {
		name := ""
		if named {
			t, err := r.dec.Token()
			if err != nil {
				return nil, err
			}
			var ok bool
			if name, ok = t.(string); !ok {
				return nil, io.ErrUnexpectedEOF
			}
		}
		n, err := r.value(name, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	_, err := r.dec.Token()
	return out, err
}

// shorten bounds a text.
func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = strings.ToValidUTF8(s[:maxText], "\uFFFD") // which may be longer
	cut := min(len(s), maxText)
	for cut > 0 && cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + " …"
}
