package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/delta/deltatest"
)

// noise is n bytes that do not compress.
func noise(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func apply(t *testing.T, base, patch []byte) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	err := Apply(t.Context(), &out, base, patch)
	return out.Bytes(), err
}

func patchOf(t testing.TB, base, result []byte) []byte {
	t.Helper()
	p, err := Make(t.Context(), base, result)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// firmware is a signed file's shape around an image of which so many functions
// have grown since release 0.
func firmware(grown int) []byte {
	return join(make([]byte, image.HeaderSize), deltatest.App(deltatest.Spec{Version: "0.2.1", Functions: 200, Grown: grown}))
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func TestThereAndBack(t *testing.T) {
	a, b := noise(200_000, 1), noise(50_000, 2)
	touched := bytes.Clone(a)
	for i := 0; i < len(touched); i += 40 {
		touched[i]++
	}
	for name, tt := range map[string]struct {
		base, result []byte
		most         int // bytes of the patch
	}{
		"the same":                 {a, a, 200},
		"something put in":         {a, join(a[:70_001], b[:100], a[70_001:]), 350},
		"something taken out":      {a, join(a[:70_001], a[80_003:]), 220},
		"pieces change places":     {a, join(a[150_000:], a[:150_000]), 220},
		"every fortieth byte":      {a, touched, 1000},
		"nothing in common":        {b, a, 201_000},
		"one byte":                 {[]byte{1}, []byte{2}, 300},
		"from one byte":            {[]byte{1}, a, 201_000},
		"to one byte":              {a, []byte{1}, 300},
		"zeros":                    {make([]byte, 300_000), make([]byte, 400_000), 300},
		"a pattern that repeats":   {bytes.Repeat([]byte("0123456"), 20_000), bytes.Repeat([]byte("012345"), 20_000), 400},
		"twice the base":           {a, join(a, a), 220},
		"firmware that moved":      {firmware(0), firmware(8), 2500},
		"firmware that moved back": {firmware(8), firmware(0), 2500},
	} {
		t.Run(name, func(t *testing.T) {
			p := patchOf(t, tt.base, tt.result)
			got, err := apply(t, tt.base, p)
			if err != nil || !bytes.Equal(got, tt.result) {
				t.Fatalf("%d of %d bytes, %v", len(got), len(tt.result), err)
			}
			if len(p) > tt.most {
				t.Errorf("the patch has %d bytes, want %d at most", len(p), tt.most)
			}
			h, err := ParseHeader(p, int64(len(p)))
			if err != nil || h.Base != sha256.Sum256(tt.base) || h.Result != sha256.Sum256(tt.result) ||
				int(h.BaseSize) != len(tt.base) || int(h.ResultSize) != len(tt.result) {
				t.Errorf("header %+v, %v", h, err)
			}
		})
	}
}

// What the predictor is for: without it the same patch is several times as
// large.
func TestReferencesAreWorkedOut(t *testing.T) {
	base, result := firmware(0), firmware(8)
	with := patchOf(t, base, result)
	base[image.HeaderSize+23], result[image.HeaderSize+23] = 0, 0 // no hash appended: no app image
	if kinds, _, _ := layouts(base, result); kinds != 0 {
		t.Fatal("it is still an app image")
	}
	without := patchOf(t, base, result)
	if len(without) < 3*len(with) {
		t.Errorf("%d bytes with, %d without", len(with), len(without))
	}
}

func TestMakeRefuses(t *testing.T) {
	for _, tt := range [][2][]byte{{nil, {1}}, {{1}, nil}, {make([]byte, MaxSize+1), {1}}, {{1}, make([]byte, MaxSize+1)}} {
		if _, err := Make(t.Context(), tt[0], tt[1]); err == nil || !strings.Contains(err.Error(), "want 1 to 16777352") {
			t.Errorf("from %d to %d bytes: %v", len(tt[0]), len(tt[1]), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Make(ctx, noise(1000, 1), noise(1000, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	a := noise(1<<17, 3)
	if err := Apply(ctx, new(bytes.Buffer), a, patchOf(t, a, a)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// packed makes a patch of streams that nobody's Make wrote.
func packed(t testing.TB, h Header, in ...[]byte) []byte {
	t.Helper()
	z, err := pack([streams][]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	return assembled(h, z)
}

func assembled(h Header, z [streams][]byte) []byte {
	var all []byte
	for i, b := range z {
		h.stream[i] = uint32(len(b))
		all = append(all, b...)
	}
	return append(h.appendTo(nil), all...)
}

// numbers are varints.
func numbers(n ...uint64) (b []byte) {
	for _, x := range n {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func TestApplyRefuses(t *testing.T) {
	base := noise(1000, 1)
	h := Header{Base: sha256.Sum256(base), Result: sha256.Sum256(base), BaseSize: 1000, ResultSize: 1000}
	good := patchOf(t, base, base)
	change := func(at int, to ...byte) []byte {
		p := bytes.Clone(good)
		copy(p[at:], to)
		return p
	}
	huge := h
	huge.ResultSize = MaxSize + 1
	of := func(in ...[]byte) []byte { return packed(t, h, in...) }
	seek := func(n int64) []byte { return binary.AppendVarint(nil, n) }
	for name, tt := range map[string]struct {
		patch []byte
		want  string
	}{
		"nothing":                  {nil, "0 bytes are too few"},
		"half a header":            {good[:50], "50 bytes are too few"},
		"cut":                      {good[:len(good)-1], "it should have"},
		"longer":                   {append(bytes.Clone(good), 0), "it should have"},
		"another file":             {change(0, 'P'), `it begins with "PODL"`},
		"another version":          {change(4, 2), "it is of version 2, this program knows 1"},
		"reserved":                 {change(6, 1), "it is of version 1"},
		"another base":             {change(16, 0, 0), "it is for another base"},
		"another size of base":     {change(8, 0, 0, 1), "it is for another base"},
		"no result":                {change(12, 0, 0, 0, 0), "images have 1 to"},
		"a huge result":            {packed(t, huge, nil, nil, nil, nil, nil), "images have 1 to"},
		"lengths that wrap":        {change(80, 0xff, 0xff, 0xff, 0xff), "it should have"},
		"no Zstandard":             {change(HeaderSize, 1, 2, 3, 4), "a stream is cut or damaged"},
		"a lie about the result":   {change(48, 0, 0), "what it makes is not what it promises"},
		"no steps":                 {of(numbers(0, 0, 0, 0), nil, nil, nil, nil), "its steps make 0 of 1000 bytes"},
		"a step too long":          {of(join(numbers(0, 0, 0, 1, 1001)), nil, nil, nil, nil), "a number is 1001, at most 1000"},
		"two steps too long":       {of(join(numbers(0, 0, 0, 2, 600, 600, 0, 0), seek(0), seek(0)), nil, nil, nil, nil), "step 1 leads outside"},
		"literals too many":        {of(join(numbers(0, 0, 0, 2, 0, 0, 600, 600), seek(0), seek(0)), nil, nil, nil, nil), "step 1 leads outside"},
		"a seek before it":         {of(join(numbers(0, 0, 0, 2, 500, 500, 0, 0), seek(-501), seek(0)), nil, nil, nil, nil), "step 0 seeks outside"},
		"a seek behind it":         {of(join(numbers(0, 0, 0, 2, 500, 500, 0, 0), seek(501), seek(0)), nil, nil, nil, nil), "step 0 seeks outside"},
		"a seek out of this world": {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(-1<<63)), nil, nil, nil, nil), "step 0 seeks outside"},
		"steps that end":           {of(numbers(0, 0, 0, 5, 1, 1), nil, nil, nil, nil), "a stream is cut or damaged"},
		"steps without number":     {of(numbers(0, 0, 0, maxSteps+1), nil, nil, nil, nil), "a number is 131073"},
		"kinds of the future":      {of(numbers(4), nil, nil, nil, nil), "a number is 4, at most 3"},
		"17 segments":              {of(numbers(0, 17), nil, nil, nil, nil), "a number is 17, at most 16"},
		"a segment outside":        {of(numbers(0, 1, 900, 0, 101), nil, nil, nil, nil), "segment 0 lies outside"},
		"a segment that wraps":     {of(numbers(0, 1, 900, 1<<32-1, 100), nil, nil, nil, nil), "segment 0 lies outside"},
		"more steps":               {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0), []byte{0}), nil, nil, nil, nil), "longer than it is used"},
		"more literals":            {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), nil, nil, nil, []byte{1}), "longer than it is used"},
		"too few literals":         {of(join(numbers(0, 0, 0, 1, 0, 1000), seek(0)), nil, nil, nil, make([]byte, 999)), "a stream is cut or damaged"},
		"a gap without a run":      {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), numbers(5), nil, nil, nil), "a stream is cut or damaged"},
		"a run of nothing":         {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), numbers(5), numbers(0), nil, nil), "a correction of no bytes"},
		"a run without values":     {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), numbers(5), numbers(5), nil, nil), "a stream is cut or damaged"},
		"a run over the end":       {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), numbers(999), numbers(2), make([]byte, 2), nil), "it corrects bytes that are not there"},
		"a gap over the end":       {of(join(numbers(0, 0, 0, 1, 1000, 0), seek(0)), numbers(1001), numbers(2), make([]byte, 2), nil), "it corrects bytes that are not there"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(t, base, tt.patch)
			if !errors.Is(err, ErrPatch) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A writer that fails is not the patch's fault.
func TestApplyToAFullDisk(t *testing.T) {
	base := noise(1000, 1)
	full := errors.New("disk full")
	err := Apply(t.Context(), failing{full}, base, patchOf(t, base, base))
	if !errors.Is(err, full) || errors.Is(err, ErrPatch) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// A frame of a few bytes that unpacks to gigabytes, or wants a window of
// gigabytes, takes no memory to refuse.
func TestBombs(t *testing.T) {
	base := noise(1000, 1)
	h := Header{Base: sha256.Sum256(base), BaseSize: 1000, ResultSize: MaxSize}
	for name, level := range map[string][]zstd.EOption{
		"zeros for ever": {zstd.WithWindowSize(window)},
		"a wide window":  {zstd.WithWindowSize(8 << 20)},
	} {
		var z bytes.Buffer
		w, err := zstd.NewWriter(&z, append(level, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		zeros := make([]byte, 1<<20)
		for range 48 {
			if _, err := w.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for stream := range streams {
			parts, err := pack([streams][]byte{join(numbers(0, 0, 0, 1, 0, MaxSize), []byte{0})})
			if err != nil {
				t.Fatal(err)
			}
			parts[stream] = z.Bytes()
			p := assembled(h, parts)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := Apply(t.Context(), counter{}, base, p); !errors.Is(err, ErrPatch) {
				t.Errorf("%s as stream %d: %v", name, stream, err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
				t.Errorf("%s as stream %d took %d MiB", name, stream, took>>20)
			}
		}
	}
}

type counter struct{}

func (counter) Write(b []byte) (int, error) { return len(b), nil }
