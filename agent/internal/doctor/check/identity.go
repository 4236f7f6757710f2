package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Identity is the user that the agent runs as. What it may is worked out from
// modes and owners: the doctor is often run by somebody else, root above all,
// who may more.
type Identity struct {
	Name string
	UID  int
	GIDs []int // all of its groups
}

// Running is the identity of a process that runs: its user, and the groups that
// it was started with.
func Running(uid int, gids []int) Identity {
	i := Identity{Name: strconv.Itoa(uid), UID: uid, GIDs: gids}
	if u, err := user.LookupId(i.Name); err == nil {
		i.Name = u.Username
	}
	return i
}

// serviceUser is the user that the package makes, and serviceGroups those that
// its unit adds.
const serviceUser = "robot-ota"

var serviceGroups = []string{"dialout"}

// Myself is the identity of whoever asks.
func Myself() Identity {
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil
	}
	return Running(os.Getuid(), append(groups, os.Getgid()))
}

// Service is the identity that the service will have: the package's user, or
// whoever asks where there is no such user.
func Service() Identity {
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return Myself()
	}
	i := Identity{Name: u.Username, UID: number(u.Uid), GIDs: []int{number(u.Gid)}}
	if ids, err := u.GroupIds(); err == nil {
		for _, id := range ids {
			i.GIDs = append(i.GIDs, number(id))
		}
	}
	for _, name := range serviceGroups {
		if g, err := user.LookupGroup(name); err == nil {
			i.GIDs = append(i.GIDs, number(g.Gid))
		}
	}
	return i
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// Permissions, one of the three digits of a mode.
const (
	read  fs.FileMode = 4
	write fs.FileMode = 2
	enter fs.FileMode = 1 // a folder; execute a file
)

// may says whether the mode and owners of a file let i do all of want.
func (i Identity) may(want fs.FileMode, mode fs.FileMode, uid, gid int) bool {
	switch {
	case i.UID == 0:
		return want&enter == 0 || mode.IsDir() || mode&0o111 != 0
	case i.UID == uid:
		return mode>>6&want == want
	case slices.Contains(i.GIDs, gid):
		return mode>>3&want == want
	}
	return mode&want == want
}

// A closedError says which file or folder on a path is closed to the agent.
type closedError struct {
	path string
	info fs.FileInfo
	who  string
}

func (e *closedError) Error() string {
	return fmt.Sprintf("%s (%s) is closed to the agent's user %s", e.path, describe(e.info), e.who)
}

// reach says whether i may do want with the file at path, folders on the way
// included. Errors: *closedError, fs.ErrNotExist, and fs.ErrPermission where
// whoever asks may not see that far.
func (i Identity) reach(path string, want fs.FileMode) error {
	path = filepath.Clean(path)
	for at := 1; at < len(path); at++ {
		if path[at] != '/' {
			continue
		}
		if err := i.step(path[:at], enter); err != nil {
			return err
		}
	}
	return i.step(path, want)
}

func (i Identity) step(path string, want fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	uid, gid := owners(info)
	if !i.may(want, info.Mode(), uid, gid) {
		return &closedError{path, info, i.Name}
	}
	return nil
}

// owners of a file; -1 where the system does not tell.
func owners(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

// describe is a file as ls -l begins: -rw------- root root.
func describe(info fs.FileInfo) string {
	uid, gid := owners(info)
	return fmt.Sprintf("%s %s %s", info.Mode(), userName(uid), groupName(gid))
}

func userName(uid int) string {
	s := strconv.Itoa(uid)
	if u, err := user.LookupId(s); err == nil {
		return u.Username
	}
	return s
}

func groupName(gid int) string {
	s := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(s); err == nil {
		return g.Name
	}
	return s
}

// openTo makes the mode that closes a path to the agent one that does not: its
// group may look, where that is the agent's, or else everybody may.
func (e *closedError) openTo() string {
	if e.info.IsDir() {
		return "chmod a+rx " + e.path
	}
	return "chmod a+r " + e.path
}

// unseen says that whoever asks may not look.
func unseen(err error) bool { return errors.Is(err, fs.ErrPermission) }

// asRoot is what to do about what only others may see.
const asRoot = "run `sudo ota-agent doctor`"

// list joins names with commas, the first few of them.
func list(names []string) string {
	const most = 6
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
