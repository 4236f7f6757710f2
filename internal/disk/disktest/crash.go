package disktest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Fate is what becomes of what was not synced.
type Fate int

// The fates. All but Torn are one outcome each.
const (
	// Kept: all of it is there, and still not safe. The process alone has ended.
	Kept Fate = iota
	// Lost: none of it is there.
	Lost
	// Names: renames, new names and removals are there, contents are not. A new
	// file is empty.
	Names
	// Zeros: as Names, but files have their lengths, and zeros in them.
	Zeros
	// Contents: contents are there, changes of names are not.
	Contents
	// Torn: each change is there, or not, or in part, by the seed.
	Torn
)

// Fates lists all of them.
func Fates() []Fate { return []Fate{Kept, Lost, Names, Zeros, Contents, Torn} }

func (f Fate) String() string {
	names := []string{"kept", "lost", "names", "zeros", "contents", "torn"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("fate %d", int(f))
	}
	return names[f]
}

// sector is what a disk writes at once, in bytes.
const sector = 512

// After is the disk that the next process finds, as a copy. After a power cut
// all of it is safe. The seed counts for Torn alone.
func (m *Model) After(f Fate, seed uint64) *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := rescue{fate: f, rng: rand.New(rand.NewPCG(seed, uint64(len(m.ops)))), made: make(map[*inode]*inode)} //nolint:gosec // to be the same each time
	after := New()
	after.root, after.free = r.node(m.root), m.free
	return after
}

// rescue copies what survived.
type rescue struct {
	fate Fate
	rng  *rand.Rand
	made map[*inode]*inode
}

func (r rescue) node(n *inode) *inode {
	if done := r.made[n]; done != nil {
		return done
	}
	c := &inode{mode: n.mode, changed: n.changed}
	r.made[n] = c
	if r.fate == Kept {
		return r.alike(n, c)
	}
	if n.names == nil {
		c.data = r.content(n)
		c.safe = bytes.Clone(c.data)
		return c
	}
	c.names = make(map[string]*inode)
	kept := r.names(n)
	for _, name := range slices.Sorted(maps.Keys(kept)) { // in order, for the seed's sake
		c.names[name] = r.node(kept[name])
	}
	c.safeNames = maps.Clone(c.names)
	return c
}

// alike makes c as n is, with what is not safe of it.
func (r rescue) alike(n, c *inode) *inode {
	c.data, c.safe, c.todo = bytes.Clone(n.data), bytes.Clone(n.safe), slices.Clone(n.todo)
	if n.names == nil {
		return c
	}
	all := func(names map[string]*inode) map[string]*inode {
		copied := make(map[string]*inode, len(names))
		for name, under := range names {
			if copied[name] = nil; under != nil {
				copied[name] = r.node(under)
			}
		}
		return copied
	}
	c.names, c.safeNames = all(n.names), all(n.safeNames)
	for _, v := range n.moves {
		c.moves = append(c.moves, all(v))
	}
	return c
}

// names are those of a folder that are left.
func (r rescue) names(n *inode) map[string]*inode {
	switch r.fate {
	case Names, Zeros:
		return n.names
	case Lost, Contents:
		return n.safeNames
	case Kept, Torn:
	}
	left := maps.Clone(n.safeNames)
	for _, v := range n.moves {
		if r.rng.IntN(2) == 0 {
			v.on(left)
		}
	}
	return left
}

// content is what is left in a file.
func (r rescue) content(n *inode) []byte {
	left := bytes.Clone(n.safe)
	switch r.fate {
	case Lost, Names:
		return left
	case Kept, Zeros, Contents, Torn:
	}
	for _, c := range n.todo {
		switch {
		case r.fate == Zeros && c.bytes != nil:
			left = resize(left, max(len(left), c.at+len(c.bytes)))
		case r.fate == Torn:
			left = r.part(c, left)
		case !c.lost:
			left = c.on(left)
		}
	}
	return left
}

// part does some of a change.
func (r rescue) part(c change, left []byte) []byte {
	if c.bytes == nil || c.lost {
		if c.lost || r.rng.IntN(2) == 0 {
			return left
		}
		return c.on(left)
	}
	switch r.rng.IntN(5) {
	case 0: // nothing
		return left
	case 1: // all
		return c.on(left)
	case 2: // its beginning
		return change{at: c.at, bytes: c.bytes[:1+r.rng.IntN(len(c.bytes))]}.on(left)
	case 3: // its length
		return resize(left, max(len(left), c.at+len(c.bytes)))
	}
	left = resize(left, max(len(left), c.at+len(c.bytes)))
	for from := 0; from < len(c.bytes); from += sector - (c.at+from)%sector { // sectors, in any order
		if r.rng.IntN(2) == 0 {
			end := min(len(c.bytes), from+sector-(c.at+from)%sector)
			copy(left[c.at+from:], c.bytes[from:end])
		}
	}
	return left
}
