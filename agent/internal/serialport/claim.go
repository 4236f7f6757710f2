package serialport

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClaimed says that another agent looks after the port's chip.
var ErrClaimed = errors.New("another agent looks after the chip at this port")

// Claim keeps other agents of this computer away from a port for as long as
// this one runs. The port itself is opened only for a flash, and another agent
// would take what this one has flashed for a firmware that turned bad. The
// claim is an abstract unix socket (unix(7)), which the kernel takes away with
// its process. The error wraps ErrClaimed and names who has the port.
//
// It is made on the name of the device, so that links to it are one port. Devices
// come and go, and the next one takes a name that is free: whoever asks is told
// by the socket which port it was claimed for, and a claim whose port leads
// elsewhere by now stands in nobody's way. Such claims may be several, each at a
// place of its own.
func Claim(port string) (io.Closer, error) {
	port = absolute(port)
	name := leadsTo(port)
	if err := claimed(port, name, places); err != nil {
		return nil, err
	}
	for i := range places {
		l, err := net.ListenUnix("unix", place(name, i))
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("claim %s: %w", port, err)
		}
		if err := claimed(port, name, i); err != nil { // by one that was faster
			return nil, errors.Join(err, l.Close())
		}
		go tell(l, port)
		return l, nil
	}
	return nil, fmt.Errorf("%w, %s: %d others had it once and still run: restart them", ErrClaimed, port, places)
}

const (
	// places is how many agents there may be whose devices had one name.
	places = 8
	// wordTime is how long an agent may take to say which port it has, and
	// maxWord how many bytes it may say.
	wordTime = 2 * time.Second
	maxWord  = 4096
)

// place is where a claim on a device's name may stand.
func place(name string, i int) *net.UnixAddr {
	if i > 0 {
		name = fmt.Sprintf("%s\x00%d", name, i)
	}
	sum := sha256.Sum256([]byte(name))
	return &net.UnixAddr{Net: "unix", Name: "@robot-ota/port/" + hex.EncodeToString(sum[:16])}
}

func absolute(port string) string {
	if strings.Contains(port, "://") {
		return port
	}
	if path, err := filepath.Abs(port); err == nil {
		return path
	}
	return port
}

// leadsTo is what a port leads to; one that is away counts by its own name.
func leadsTo(port string) string {
	if path, err := filepath.EvalSymlinks(port); err == nil {
		return path
	}
	return port
}

// tell says to whoever asks for which port the claim was made.
func tell(l *net.UnixListener, port string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(wordTime))
		_, _ = io.WriteString(c, port)
		_ = c.Close()
	}
}

// claimed is an ErrClaimed where one of the first places holds a claim whose port
// leads to the device.
func claimed(port, name string, first int) error {
	for i := range first {
		c, err := net.DialUnix("unix", nil, place(name, i))
		if err != nil { // nobody's
			continue
		}
		_ = c.SetDeadline(time.Now().Add(wordTime))
		word, _ := io.ReadAll(io.LimitReader(c, maxWord))
		who := claimant(c)
		_ = c.Close()
		if len(word) == 0 || leadsTo(string(word)) == name {
			return fmt.Errorf("%w, %s: %s: stop it, or give one of them another serial.port", ErrClaimed, port, who)
		}
	}
	return nil
}

// claimant is the process at the other end.
func claimant(c *net.UnixConn) string {
	const unknown = "it does not say who it is"
	raw, err := c.SyscallConn()
	if err != nil {
		return unknown
	}
	var cred *unix.Ucred
	err = errors.Join(raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }), err)
	if err != nil || cred.Pid <= 0 { // 0: in another container
		return unknown
	}
	return Holder{PID: int(cred.Pid), Command: commandOf(int(cred.Pid)), Unit: unitOf(int(cred.Pid)), How: "open"}.String()
}
