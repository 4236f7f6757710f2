package config

import (
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// maxSections bounds the entries of one list of sections.
const maxSections = 32

// sections decodes a list of mappings into a slice of structs. The keys of its
// entries are known as "list[1].key", counted from 1 as people do. An empty
// list is none.
func (d *decoder) sections(n ast.Node, path string, into reflect.Value) {
	at := placeOf(n.GetToken())
	if err := unwanted(n); err != nil {
		d.fault(d.at[path], path, "%v", err)
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		d.fault(at, path, "want a list of sections, each begun by a dash, got %s", kind(n))
		return
	case len(seq.Values) > maxSections:
		d.fault(at, path, "has %d entries, and may have %d", len(seq.Values), maxSections)
		return
	case len(seq.Values) == 0:
		return
	}
	out := reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values))
	for i, entry := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i+1)
		d.at[p] = placeOf(entry.GetToken())
		if entry.Type() == ast.NullType {
			d.fault(d.at[p], p, "is empty: want keys with values under it, or remove the dash")
			continue
		}
		d.section(entry, p, out.Index(i))
	}
	into.Set(out)
}
