package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// ErrInUse says that another agent works with the state directory.
var ErrInUse = errors.New("another agent works with this state directory")

// maxClaim bounds what the holder of a state directory says of itself.
const maxClaim = 512

// Claim keeps other agents away from a state directory until release is called
// or this process ends, however it ends. Two of them would write each other's
// memory over, and even Open mends what another one is just writing. The error
// wraps ErrInUse and names who has it.
func Claim(dir string) (release func(), err error) {
	if err := (disk.Disk{}).MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w, %s: %s: stop it, or give one of them another state_dir", ErrInUse, dir, holder(f))
		}
		return nil, fmt.Errorf("lock the state directory %s: %w", dir, err)
	}
	who := fmt.Sprintf("pid %d (%s)", os.Getpid(), strings.Join(os.Args, " "))
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteString(who[:min(len(who), maxClaim)])
	}
	if err != nil { // the lock holds all the same; only its message would be poor
		err = fmt.Errorf("lock the state directory %s: %w", dir, err)
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// holder is what the agent that has the lock has written into it.
func holder(f io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(f, maxClaim))
	who := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(b))
	if who == "" {
		return "it does not say who it is"
	}
	return who
}
