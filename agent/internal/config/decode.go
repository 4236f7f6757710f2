package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// place is where something stands in the file, from 1.
type place struct{ line, col int }

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

// decoder fills a Config from YAML nodes and remembers where each key stood.
type decoder struct {
	file     string
	at       map[string]place
	problems Problems
}

func (d *decoder) fault(at place, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: at.line, Col: at.col, Key: key, Text: fmt.Sprintf(format, args...),
	})
}

// section decodes a mapping into a struct. A section without anything in it
// keeps its defaults.
func (d *decoder) section(n ast.Node, path string, into reflect.Value) {
	if n == nil || n.Type() == ast.NullType {
		return
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		what := "the file"
		if path != "" {
			what = path
		}
		d.fault(placeOf(n.GetToken()), "", "%s is a section: want keys with values under it, got %s", what, kind(n))
		return
	}
	for it := m.MapRange(); it.Next(); {
		at := placeOf(it.Key().GetToken())
		name, ok := it.Key().(*ast.StringNode)
		if !ok {
			d.fault(at, "", "a key must be a plain word, got %s", kind(it.Key()))
			continue
		}
		f, ok := field(into, name.Value)
		if !ok {
			d.fault(at, "", "%s", unknown(clip(name.Value), path, into.Type()))
			continue
		}
		p := join(path, name.Value)
		if _, again := d.at[p]; again {
			d.fault(at, p, "stands here a second time: keep one of the two")
			continue
		}
		d.at[p] = at
		if section(f.Type()) {
			d.section(it.Value(), p, f)
			continue
		}
		if f.Kind() == reflect.Slice && section(f.Type().Elem()) {
			d.sections(it.Value(), p, f)
			continue
		}
		if tok := it.Value().GetToken(); tok != nil && it.Value().Type() != ast.NullType {
			d.at[p] = placeOf(tok)
		}
		if err := leaf(it.Value(), f); err != nil {
			d.fault(d.at[p], p, "%v", err)
		}
	}
}

// leaf decodes one value.
func leaf(n ast.Node, into reflect.Value) error {
	if err := unwanted(n); err != nil {
		return err
	}
	switch into.Type() {
	case durationType, sizeType:
		return unit(n, into)
	}
	if u, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		s, err := text(n)
		if err != nil {
			return err
		}
		return u.UnmarshalText([]byte(s))
	}
	switch into.Kind() {
	case reflect.String:
		s, err := text(n)
		if err != nil {
			return err
		}
		into.SetString(s)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return fmt.Errorf("want true or false, got %s", kind(n))
		}
		into.SetBool(b.Value)
	case reflect.Int:
		return integer(n, into)
	case reflect.Float64:
		return number(n, into)
	case reflect.Slice:
		return list(n, into)
	default:
		return fmt.Errorf("cannot hold a %s", into.Type())
	}
	return nil
}

// unwanted refuses what YAML has and a configuration has no use for.
func unwanted(n ast.Node) error {
	switch n.Type() {
	case ast.NullType:
		return errors.New(`has no value: write one, "" for none, or remove the line`)
	case ast.AliasType, ast.AnchorType, ast.TagType, ast.MergeKeyType:
		return errors.New("anchors, aliases and tags are not read here: write the value itself")
	default:
		return nil
	}
}

func text(n ast.Node) (string, error) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, nil
	case *ast.LiteralNode:
		return s.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return "", fmt.Errorf("want text, got %s: put it in quotes, %q", kind(n), clip(n.GetToken().Value))
	}
	return "", fmt.Errorf("want text, got %s", kind(n))
}

// unit decodes a duration or a size. 0 needs no unit.
func unit(n ast.Node, into reflect.Value) error {
	if i, ok := n.(*ast.IntegerNode); ok {
		if i.Value == uint64(0) || i.Value == int64(0) {
			into.SetInt(0)
			return nil
		}
		want := errSize
		if into.Type() == durationType {
			want = errDuration
		}
		return fmt.Errorf("%s has no unit: %w", clip(i.Token.Value), want)
	}
	s, err := text(n)
	if err != nil {
		return err
	}
	u := into.Addr().Interface().(encoding.TextUnmarshaler) //nolint:forcetypeassert // both types are ours
	if err := u.UnmarshalText([]byte(s)); err != nil {
		return fmt.Errorf("%q: %w", clip(s), err)
	}
	return nil
}

func integer(n ast.Node, into reflect.Value) error {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return fmt.Errorf("want a whole number without quotes, got %s", kind(n))
	}
	switch v := i.Value.(type) {
	case int64:
		into.SetInt(v)
	case uint64:
		if v > math.MaxInt64 {
			return fmt.Errorf("%d is too large", v)
		}
		into.SetInt(int64(v))
	default:
		return fmt.Errorf("%s is no whole number", clip(i.Token.Value))
	}
	return nil
}

func number(n ast.Node, into reflect.Value) error {
	switch v := n.(type) {
	case *ast.FloatNode:
		into.SetFloat(v.Value)
		return nil
	case *ast.IntegerNode:
		i := reflect.New(reflect.TypeFor[int]()).Elem()
		if err := integer(n, i); err != nil {
			return err
		}
		into.SetFloat(float64(i.Int()))
		return nil
	}
	return fmt.Errorf("want a number without quotes or unit, got %s", kind(n))
}

// maxList bounds the entries of one list.
const maxList = 256

func list(n ast.Node, into reflect.Value) error {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return fmt.Errorf(`want a list, such as ["one", "two"], got %s`, kind(n))
	}
	if len(seq.Values) > maxList {
		return fmt.Errorf("has %d entries, and may have %d", len(seq.Values), maxList)
	}
	out := make([]string, 0, len(seq.Values))
	for i, v := range seq.Values {
		if err := unwanted(v); err != nil {
			return fmt.Errorf("entry %d %w", i+1, err)
		}
		s, err := text(v)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		out = append(out, s)
	}
	into.Set(reflect.ValueOf(out))
	return nil
}

// kind says what a node is in the operator's words.
func kind(n ast.Node) string {
	switch v := n.(type) {
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", clip(v.Value))
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + clip(n.GetToken().Value)
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a section"
	}
	return strings.ToLower(n.Type().String())
}

// clip shortens what is repeated in a message.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
