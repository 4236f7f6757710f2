package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/creack/pty"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// terminal is a pseudo-terminal behind a link, as udev makes one.
func terminal(t *testing.T) (link, name string, slave *os.File) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	link = filepath.Join(folders(t), "ota-esp32")
	if err := os.Symlink(slave.Name(), link); err != nil {
		t.Fatal(err)
	}
	return link, slave.Name(), slave
}

func withPort(port string) config.Config {
	c := config.Default()
	c.Serial.Port = port
	return c
}

func TestPort(t *testing.T) {
	link, name, slave := terminal(t)
	there := "ok " + link + ", which is " + name + ", is there, and open to " + me().Name
	finds(t, Port(withPort(link), me(), 0), there, "ok nobody has it now")
	finds(t, Port(withPort(link), nobody(), 0), "fail "+name+" (", "ok nobody")

	cat := exec.CommandContext(t.Context(), "sleep", "60")
	cat.Stdin = slave
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cat.Process.Kill(); _ = cat.Wait() })
	pid := strconv.Itoa(cat.Process.Pid)
	finds(t, Port(withPort(link), me(), 0), there, "fail pid "+pid+" (sleep 60) has it, and nobody would stop it … => end it (kill "+pid+"), or set microros.stop")
	finds(t, Port(withPort(link), me(), cat.Process.Pid), there, "ok the agent itself has it now")
	byCommand := withPort(link)
	byCommand.MicroROS = config.MicroROS{Stop: []string{"/bin/true"}, Start: []string{"/bin/true"}}
	finds(t, Port(byCommand, me(), 0), there, "ok pid "+pid+" (sleep 60) has it; microros.stop is to end that")

	gone := filepath.Join(filepath.Dir(link), "gone")
	if err := os.Symlink("/dev/ttyUSB99", gone); err != nil {
		t.Fatal(err)
	}
	finds(t, Port(withPort(gone), me(), 0), "fail no such serial port: "+gone+" … => plug the cable in: "+gone+" leads to /dev/ttyUSB99, which is gone")
	finds(t, Port(withPort(filepath.Dir(link)+"/none"), me(), 0), "fail no such serial port … => plug the cable in, or set serial.port")
	finds(t, Port(withPort("/dev/null"), me(), 0), "fail not a serial port: /dev/null … => set serial.port to the device of the ESP32")
	finds(t, Port(withPort("rfc2217://127.0.0.1:4000"), me(), 0), "ok rfc2217://127.0.0.1:4000 is a serial server at 127.0.0.1; not connected to")
}

func TestHolder(t *testing.T) {
	units := config.MicroROS{Unit: "uros.service"}
	for _, tt := range []struct {
		h    serialport.Holder
		want string
	}{
		{serialport.Holder{PID: 7, How: "open", Command: "micro_ros_agent", Unit: "uros.service"}, "ok uros.service has it, and is stopped for a flash"},
		{serialport.Holder{PID: 7, How: "open", Command: "getty", Unit: "getty.service"}, "fail pid 7 (getty) of getty.service … => set microros.unit to getty.service"},
		{serialport.Holder{PID: 7, How: "open", Command: "/usr/sbin/ModemManager", Unit: "ModemManager.service"}, "fail ModemManager has it … => install udev/60-robot-ota.rules"},
		{serialport.Holder{PID: 7, How: "open", Command: "minicom"}, "fail pid 7 (minicom) has it, and nobody would stop it for a flash => end it (kill 7)"},
	} {
		finds(t, doctor.Check{Run: func(context.Context) []doctor.Finding { return []doctor.Finding{holder(tt.h, units, 0)} }}, tt.want)
	}
}

func TestReset(t *testing.T) {
	link, name, _ := terminal(t)
	dir := folders(t)
	tool := file(t, dir+"/reset", "#!/bin/sh\n", 0o755)
	reset := func(r config.Reset, agent Identity, pins Pins, want ...string) {
		t.Helper()
		finds(t, Reset(config.Serial{Port: link, Reset: r}, agent, pins), want...)
	}
	reset(config.Reset{Method: config.ResetNone}, me(), nil, "ok method none: somebody has to press the buttons")
	reset(config.Reset{Method: config.ResetAuto}, me(), nil, "fail "+name+" is a pseudo-terminal and has no DTR and RTS … => set serial.reset.method")
	finds(t, Reset(config.Serial{Port: dir + "/none", Reset: config.Reset{Method: config.ResetTight}}, me(), nil), "skipped method tight needs the port, which is not there")
	finds(t, Reset(config.Serial{Port: "rfc2217://h:1", Reset: config.Reset{Method: config.ResetClassic}}, me(), nil), "ok method classic: the serial server sets DTR and RTS")

	command := func(path string) config.Reset {
		return config.Reset{Method: config.ResetCommand, Command: config.ResetCommands{Bootloader: []string{tool, "loader"}, Run: []string{path}}}
	}
	ok := "ok " + tool + " loader can be run"
	reset(command(tool), nobody(), nil, ok, "ok "+tool+" can be run")
	reset(command(dir+"/none"), nobody(), nil, ok, "fail there is no "+dir+"/none => correct serial.reset.command.run, or install it")
	plain := file(t, dir+"/plain", "", 0o644)
	reset(command(plain), me(), nil, ok, "fail "+plain+" (-rw-r--r-- … is no program that "+me().Name+" may run => chmod a+rx "+plain)
	loose := file(t, dir+"/loose", "", 0o757)
	reset(command(loose), me(), nil, ok, "warn everybody may change what "+loose+" does … => chmod o-w "+loose)
	hidden := file(t, dir+"/hidden/tool", "", 0o755)
	chmod(t, dir+"/hidden", 0o700)
	reset(command(hidden), nobody(), nil, ok, "fail "+dir+"/hidden (drwx------")

	gpio := config.Reset{Method: config.ResetGPIO, GPIO: config.ResetLines{Chip: "gpiochip9", EN: 17, Boot: 27}}
	pins := func(p []serialport.Pin, err error) Pins {
		return func(g serialport.GPIO) ([]serialport.Pin, error) {
			if g != (serialport.GPIO{Chip: "gpiochip9", EN: 17, Boot: 27}) {
				t.Errorf("asked for %+v", g)
			}
			return p, err
		}
	}
	reset(gpio, me(), pins([]serialport.Pin{{Offset: 17, Name: "GPIO17"}, {Offset: 27, Name: "GPIO27", Used: true, Consumer: "lirc"}}, nil),
		"ok line 17 of gpiochip9 (GPIO17), for EN, is free", "fail line 27 of gpiochip9 (GPIO27), for BOOT, is taken by lirc => let go of it there")
	reset(gpio, me(), pins(nil, fs.ErrNotExist), "fail there is no gpiochip9; these are there: … => set serial.reset.gpio.chip")
	reset(gpio, me(), pins(nil, fs.ErrPermission), "skipped gpiochip9 may not be looked at by this user")
	reset(gpio, me(), pins(nil, serialport.ErrConfig), "fail serial port configuration => correct serial.reset.gpio: gpioinfo gpiochip9")
	gpio.GPIO.Chip = file(t, dir+"/gpiochip9", "", 0o660)
	reset(gpio, nobody(), nil, "fail "+gpio.GPIO.Chip+" (-rw-rw---- … => `systemctl edit robot-ota`: [Service] SupplementaryGroups=")
}

// manager answers for the service manager.
type manager func(unit string) (handover.Service, error)

func (m manager) Service(_ context.Context, unit string) (handover.Service, error) { return m(unit) }

func says(s handover.Service, err error) manager {
	return func(string) (handover.Service, error) { return s, err }
}

func TestMicroROS(t *testing.T) {
	rules := folders(t)
	file(t, rules+"/50-robot-ota.rules", `subject.user == "nobody-here" && action.lookup("unit") == "uros.service"`, 0o644)
	file(t, rules+"/README", `"nobody-here" "other.service"`, 0o644)
	uros := config.MicroROS{Unit: "uros.service"}
	may := "ok " + rules + "/50-robot-ota.rules lets nobody-here stop and start it"
	for _, tt := range []struct {
		state handover.Service
		err   error
		want  string
	}{
		{handover.Service{Load: "loaded", Active: "active"}, nil, "ok uros.service is active"},
		{handover.Service{Load: "loaded", Active: "inactive"}, nil, "warn uros.service is inactive: the robot's topics do not arrive => systemctl start uros.service"},
		{handover.Service{Load: "loaded", Active: "failed", Result: "exit-code"}, nil, "warn uros.service has failed (exit-code) … => journalctl -u uros.service"},
		{handover.Service{Load: "masked"}, nil, "fail uros.service is masked => systemctl status"},
		{handover.Service{Load: "not-found"}, nil, "fail there is no unit uros.service => set microros.unit to the one that has the line"},
		{handover.Service{}, errors.New("no bus"), "fail whether uros.service runs cannot be asked, and so it could not be stopped for a flash: no bus => see that the system bus runs"},
	} {
		finds(t, MicroROS(uros, nobody(), says(tt.state, tt.err), []string{rules + "/none", rules}), tt.want, may)
	}
	active := says(handover.Service{Load: "loaded", Active: "active"}, nil)
	finds(t, MicroROS(config.MicroROS{Unit: "other.service"}, nobody(), active, []string{rules}), "ok ", "fail no rule of polkit lets nobody-here stop and start other.service => copy /usr/share/polkit-1/rules.d/50-robot-ota.rules")
	finds(t, MicroROS(uros, Identity{Name: "root"}, active, nil), "ok ")
	finds(t, MicroROS(config.MicroROS{Stop: []string{"/bin/true", "x"}, Start: []string{rules + "/none"}}, nobody(), nil, nil), "ok /bin/true x can be run", "fail there is no "+rules+"/none => correct microros.start")
	finds(t, MicroROS(config.MicroROS{}, nobody(), nil, nil), "ok nobody but the agent uses the serial line")
}

func TestLoader(t *testing.T) {
	visit := func(v update.Visit, err error) func(context.Context) (update.Visit, error) {
		return func(context.Context) (update.Visit, error) { return v, err }
	}
	v := update.Visit{Boots: update.Installed{Slot: "ota_1"}, Connect: 1.25, Back: 2}
	c := Loader(visit(v, nil))
	if !c.Alone {
		t.Error("the chip is restarted while others look")
	}
	finds(t, c, "ok the loader answered after 1.2 s, it boots ota_1, and the firmware spoke again 2.0 s later")
	v.Back = 0
	finds(t, Loader(visit(v, nil)), "fail … but the firmware was not heard again => look at the firmware's log")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&control.Problem{Code: control.Busy, Detail: "job j is going on (writing)"}, "warn the agent did not do it: job j is going on (writing) => wait"},
		{&control.Problem{Code: control.Refused, Detail: "not now: the robot moves"}, "warn the agent did not do it: not now: the robot moves"},
		{&control.Problem{Code: control.Refused, Detail: "no bootloader answered in 7 attempts"}, "fail no bootloader answered in 7 attempts => look at cable, power"},
		{fmt.Errorf("gone: %w", control.ErrLost), "fail gone: "},
		{fmt.Errorf("%w on /s", control.ErrDenied), "fail not allowed to talk to the agent on /s: the chip was not reset => run `sudo ota-agent doctor --reset`"},
	} {
		finds(t, Loader(visit(update.Visit{}, tt.err)), tt.want)
	}
	finds(t, Loader(nil), "fail no agent runs, and it alone knows whether the robot stands still … => systemctl start robot-ota")
}
