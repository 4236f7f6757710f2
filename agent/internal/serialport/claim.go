package serialport

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrClaimed says that another agent looks after the port's chip.
var ErrClaimed = errors.New("another agent looks after the chip at this port")

// Claim keeps other agents of this computer away from a port for as long as
// this one runs. The port itself is opened only for a flash, and another agent
// would take what this one has flashed for a firmware that turned bad. The
// claim is an abstract unix socket (unix(7)), which the kernel takes away with
// its process. The error wraps ErrClaimed and names who has the port.
func Claim(port string) (io.Closer, error) {
	name := port
	if path, err := filepath.EvalSymlinks(port); err == nil { // a device that is away counts by its name
		name = path
	}
	sum := sha256.Sum256([]byte(name))
	address := &net.UnixAddr{Net: "unix", Name: "@robot-ota/port/" + hex.EncodeToString(sum[:16])}
	l, err := net.ListenUnix("unix", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%w, %s: %s: stop it, or give one of them another serial.port", ErrClaimed, port, claimant(address))
	}
	return nil, fmt.Errorf("claim %s: %w", port, err)
}

// claimant is the process that listens at an address.
func claimant(address *net.UnixAddr) string {
	const unknown = "it does not say who it is"
	c, err := net.DialUnix("unix", nil, address)
	if err != nil {
		return unknown
	}
	defer c.Close()
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
