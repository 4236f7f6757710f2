package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// node is JSON to be shown: a name with a value, or with more nodes below.
type node struct {
	Name  string
	Value string
	Below []node
}

// Bounds of what is shown of a document.
const (
	maxNodes = 600
	maxDepth = 8
	maxText  = 1000 // bytes of a value
)

// tree makes of JSON what a page can show, in the order in which it stands
// there. What is too much is left out, and said so.
func tree(raw json.RawMessage) []node {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	r := treeReader{dec: json.NewDecoder(bytes.NewReader(raw)), left: maxNodes}
	r.dec.UseNumber()
	n, err := r.value("", 0)
	if errors.Is(err, errTooMuch) {
		return []node{{Value: "too much to be shown here"}}
	}
	if err != nil {
		return []node{{Value: shorten(string(raw))}}
	}
	if n.Below == nil {
		return []node{n}
	}
	return n.Below
}

var errTooMuch = errors.New("too much")

type treeReader struct {
	dec  *json.Decoder
	left int
}

func (r *treeReader) value(name string, depth int) (node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return node{}, err
	}
	if r.left--; r.left < 0 || depth > maxDepth {
		return node{}, errTooMuch
	}
	n := node{Name: shorten(name)}
	switch t := t.(type) {
	case json.Delim:
		n.Below, err = r.below(t == '{', depth+1)
		return n, err
	case string:
		n.Value = shorten(t)
	case json.Number:
		n.Value = t.String()
	case bool:
		n.Value = map[bool]string{true: "yes", false: "no"}[t]
	case nil:
		n.Value = "none"
	}
	return n, nil
}

// below reads what stands between brackets.
func (r *treeReader) below(named bool, depth int) ([]node, error) {
	out := []node{}
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
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "\uFFFD") + " …"
}
