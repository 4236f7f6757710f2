package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
)

// State looks at the state directory: its mode and owner, the room on its disk,
// and whether the agent's memory can be read.
func State(cfg config.Config, agent Identity) doctor.Check {
	return doctor.Check{Name: "state", About: "the state directory and its disk", Run: func(context.Context) []doctor.Finding {
		info, err := os.Stat(cfg.StateDir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return []doctor.Finding{doctor.Good("%s is not there yet: the agent makes it when it starts", cfg.StateDir)}
		case err != nil:
			return []doctor.Finding{doctor.Skip("%v: %s", err, asRoot)}
		case !info.IsDir():
			return []doctor.Finding{doctor.Bad("remove it, or set state_dir to another path", "%s is no folder", cfg.StateDir)}
		}
		findings := []doctor.Finding{folder(cfg.StateDir, info, agent), room(cfg)}
		return append(findings, memory(cfg.StateDir)...)
	}}
}

func folder(dir string, info fs.FileInfo, agent Identity) doctor.Finding {
	uid, _ := owners(info)
	switch {
	case uid != agent.UID:
		return doctor.Bad(fmt.Sprintf("chown -R %s: %s", agent.Name, dir), "%s belongs to %s, and the agent runs as %s", dir, userName(uid), agent.Name)
	case info.Mode().Perm() != 0o700:
		return doctor.Bad("chmod 0700 "+dir, "%s has mode %04o: others than the agent may look or write there, where images lie that were verified", dir, info.Mode().Perm())
	}
	return doctor.Good("%s belongs to %s alone", dir, agent.Name)
}

// room: an image is fetched and kept beside the one before it.
func room(cfg config.Config) doctor.Finding {
	var s unix.Statfs_t
	if err := unix.Statfs(cfg.StateDir, &s); err != nil {
		return doctor.Skip("how full the disk of %s is: %v", cfg.StateDir, err)
	}
	free, need := s.Bavail*uint64(s.Bsize), 2*uint64(cfg.Download.MaxSize) //nolint:gosec,unconvert // block sizes are positive, and of another type elsewhere
	const mib = 1 << 20
	clear := fmt.Sprintf("make room on the disk of %s (df -h %s; journalctl --vacuum-size=100M)", cfg.StateDir, cfg.StateDir)
	switch {
	case s.Flags&unix.ST_RDONLY != 0:
		return doctor.Bad(fmt.Sprintf("mount it writable (findmnt -T %s), and look for why it is not: dmesg | grep -i 'read-only'", cfg.StateDir), "the disk of %s is read-only", cfg.StateDir)
	case s.Files > 0 && s.Ffree == 0:
		return doctor.Bad(clear, "the disk has room for no further file: it is out of inodes (df -i)")
	case free < need/2:
		return doctor.Bad(clear, "%d MiB are free on the disk: too little for one image of download.max_size", free/mib)
	case free < need:
		return doctor.Doubt(clear, "%d MiB are free on the disk, and a download may need %d MiB", free/mib, need/mib)
	}
	return doctor.Good("%d MiB are free on the disk", free/mib)
}

// memory looks at what the agent remembers across restarts.
func memory(dir string) []doctor.Finding {
	view := journal.Look(dir)
	var findings []doctor.Finding
	if aside := view.Damaged(); aside != "" {
		findings = append(findings, doctor.Doubt("look at the disk (dmesg, smartctl), then remove "+aside,
			"a damaged memory was put aside as %s: the agent has forgotten the update that went on, which versions failed here, and the way back", aside))
	}
	_, err := view.Memory()
	var newer *journal.NewerError
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return append(findings, doctor.Good("the agent's memory is readable"))
	case unseen(err):
		return append(findings, doctor.Skip("the agent's memory may not be looked at by this user: %s", asRoot))
	case errors.As(err, &newer):
		return append(findings, doctor.Bad("install that version of robot-ota again", "%v", err))
	}
	return append(findings, doctor.Bad("start the agent, which puts it aside and brings the chip back to be sure: systemctl start robot-ota", "the agent's memory cannot be understood: %v", err))
}
