package config

import (
	"fmt"
	"reflect"
	"strings"
)

// unknown says what may have been meant by a key that does not exist in a
// section: a similar one, the same one elsewhere, or else which there are.
func unknown(name, in string, t reflect.Type) string {
	text := fmt.Sprintf("unknown key %q", name)
	have := keys(t)
	if near, ok := nearest(name, have); ok {
		return fmt.Sprintf("%s; did you mean %q?", text, near)
	}
	for _, p := range paths(reflect.TypeFor[Config](), "") {
		if p[strings.LastIndexByte(p, '.')+1:] == name {
			return fmt.Sprintf("%s; did you mean %q?", text, p)
		}
	}
	where := "at the top level"
	if in != "" {
		where = "in " + in
	}
	return fmt.Sprintf("%s; %s there are %s", text, where, strings.Join(have, ", "))
}

// nearest finds the word that name was probably meant to be.
func nearest(name string, words []string) (string, bool) {
	folded := fold(name)
	best, least := "", len(folded)
	for _, w := range words {
		d := distance(folded, fold(w))
		if strings.HasPrefix(folded, fold(w)) || strings.HasPrefix(fold(w), folded) {
			d = min(d, 1) // baudrate for baud
		}
		if d < least {
			best, least = w, d
		}
	}
	return best, best != "" && least <= max(1, len(folded)/3)
}

// fold makes caps, dashes and underscores alike.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the number of letters to insert, remove, replace or swap
// (optimal string alignment). Long words are far from everything.
func distance(a, b string) int {
	const long = 64
	if len(a) > long || len(b) > long {
		return long
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
