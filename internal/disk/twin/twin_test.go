package twin_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk/twin"
)

// number is a file of one number; one of 900 and more is of a later program,
// and 13 contradicts itself.
func number(dir string) twin.File[int] {
	return twin.File[int]{
		Dir: dir, Name: "n", Max: 8,
		Encode: func(n int) ([]byte, error) { return []byte(strconv.Itoa(n)), nil },
		Decode: func(b []byte) (int, error) {
			n, err := strconv.Atoi(string(b))
			if n >= 900 {
				return 0, fmt.Errorf("number %d: %w", n, twin.ErrLater)
			}
			return n, err
		},
		Order: func(a, b int) (int, error) {
			if a == 13 && b == 13 {
				return 0, errors.New("they contradict each other")
			}
			return cmp.Compare(a, b), nil
		},
	}
}

// Whatever the two copies hold, the right one counts, and is there twice
// afterwards.
func TestLoad(t *testing.T) {
	const none = "none"
	for _, tt := range []struct {
		first, second string
		want          int
		mended, fails bool
	}{
		{first: none, second: none},
		{first: "7", second: "7", want: 7},
		{first: "7", second: "6", want: 7}, // the save of the second failed
		{first: "6", second: "7", want: 7}, // the first came back from a backup
		{first: "7", second: none, want: 7, mended: true},
		{first: none, second: "7", want: 7, mended: true},
		{first: "?", second: "7", want: 7, mended: true},
		{first: "7", second: "", want: 7, mended: true},
		{first: "7", second: "123456789", want: 7, mended: true}, // larger than it may be
		{first: "?", second: none, fails: true},
		{first: "?", second: "?", fails: true},
		{first: "7", second: "900", fails: true},
		{first: "900", second: none, fails: true},
		{first: "13", second: "13", fails: true},
	} {
		t.Run(tt.first+" and "+tt.second, func(t *testing.T) {
			f := number(t.TempDir())
			for i, content := range []string{tt.first, tt.second} {
				if content == none {
					continue
				}
				if err := os.WriteFile(f.Paths()[i], []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, mended, err := f.Load()
			if got != tt.want || (mended != nil) != tt.mended || (err != nil) != tt.fails {
				t.Fatalf("got %d, mended %v, %v", got, mended, err)
			}
			for i, content := range []string{tt.first, tt.second} {
				b, err := os.ReadFile(f.Paths()[i])
				switch {
				case tt.fails && content != none && string(b) != content:
					t.Errorf("copy %d was changed to %q", i, b)
				case tt.want != 0 && string(b) != strconv.Itoa(tt.want):
					t.Errorf("copy %d holds %q, %v", i, b, err)
				}
			}
		})
	}
}

func TestNoPlainFile(t *testing.T) {
	f := number(t.TempDir())
	if err := os.Symlink("/dev/zero", f.Paths()[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.Paths()[1], 0o700); err != nil {
		t.Fatal(err)
	}
	if n, _, err := f.Load(); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSave(t *testing.T) {
	f := number(t.TempDir())
	for n := 1; n < 4; n++ {
		if spare, err := f.Save(n); spare != nil || err != nil {
			t.Fatal(spare, err)
		}
		if got, mended, err := f.Load(); got != n || mended != nil || err != nil {
			t.Fatal(got, mended, err)
		}
	}
	// Something in the way of the second copy only.
	if err := errors.Join(os.Remove(f.Paths()[1]), os.Mkdir(f.Paths()[1], 0o700)); err != nil {
		t.Fatal(err)
	}
	if spare, err := f.Save(4); spare == nil || err != nil {
		t.Errorf("%v, %v", spare, err)
	}
}
