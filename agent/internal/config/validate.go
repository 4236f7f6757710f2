package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
)

const (
	day = Duration(24 * time.Hour)
	// maxDownload is the largest signed file: header and image.
	maxDownload = Size(image.MaxImageSize + image.HeaderSize)
)

// validator tells what is wrong with values that decoded well. It skips keys
// that are already known to be wrong: one fault, one message.
type validator struct{ *decoder }

func (v validator) wrong(key, format string, args ...any) {
	if slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Key == key }) {
		return
	}
	v.fault(v.at[key], key, format, args...)
}

func (v validator) config(c Config) {
	v.robot(c.Robot)
	v.absolute("state_dir", c.StateDir)
	v.socket(c.ControlSocket)
	v.server(c.Server)
	v.download(c.Download)
	v.trust(c.Trust)
	v.metadata(c.Metadata, c.Server.Source)
	v.serial(c.Serial)
	v.microROS(c.MicroROS)
	between(v, "trial.window", c.Trial.Window, Duration(time.Second), Duration(10*time.Minute), "")
	between(v, "trial.boot_timeout", c.Trial.BootTimeout, Duration(time.Second), Duration(10*time.Minute), "")
	oneOf(v, "trial.confirm", c.Trial.Confirm, ConfirmFirmware, ConfirmAgent)
	between(v, "observe_for", c.ObserveFor, 0, 30*day, "")
	between(v, "stand_within", c.StandWithin, 0, day, "")
	between(v, "drain.learned", c.Drain.Learned, Duration(time.Minute), 2*day, "")
	between(v, "drain.seen", c.Drain.Seen, Duration(time.Minute), 2*day, "")
	between(v, "drain.floor", c.Drain.Floor, 0, 1, " (a fraction an hour: 0.1 is 10 %)")
	v.gates(c)
	v.ros(c.ROS)
	v.dtls(c.DTLS)
	v.mqtt(c.MQTT)
	v.report(c)
	oneOf(v, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(v, "log.format", c.Log.Format, "text", "json")
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (v validator) robot(r Robot) {
	if v.required("robot.id", r.ID == "", "robot-001") && !idPattern.MatchString(r.ID) {
		v.wrong("robot.id", "%q cannot be part of a topic: want 1 to 64 letters, digits, - and _, beginning with a letter or digit", clip(r.ID))
	}
	if v.required("robot.sku", r.SKU == "", "standard") {
		oneOf(v, "robot.sku", r.SKU, "basic", "standard", "industrial")
	}
	v.required("robot.companion_version", r.CompanionVersion.IsZero(), "0.2.0")
}

func (v validator) required(key string, missing bool, example string) bool {
	if missing {
		if _, said := v.at[key]; !said {
			section, _, _ := strings.Cut(key, ".")
			v.at[key] = v.at[section]
		}
		v.wrong(key, "is missing, and cannot be guessed: for instance %s", example)
	}
	return !missing
}

func (v validator) server(s Server) {
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "" || err != nil || u.Host == "":
		v.wrong("server.url", "%q is no address: want https://host or https://host:port", clip(s.URL))
	case u.Scheme != "https":
		v.wrong("server.url", "%q is not protected on its way: want https", clip(s.URL))
	case u.User != nil:
		v.wrong("server.url", "holds a user or password: put a token into a file and name it in server.token_file")
	case u.RawQuery != "" || u.Fragment != "":
		v.wrong("server.url", "%q has a query or fragment: want the base address alone", clip(s.URL))
	}
	v.source(s)
	v.optionalPath("server.ca_file", s.CAFile)
	v.optionalPath("server.token_file", s.TokenFile)
	v.optionalPath("server.cert_file", s.CertFile)
	v.optionalPath("server.key_file", s.KeyFile)
	if (s.CertFile == "") != (s.KeyFile == "") {
		v.wrong("server.cert_file", "a certificate and its key go together: set both cert_file and key_file, or neither")
	}
	if s.CheckEvery != 0 {
		between(v, "server.check_every", s.CheckEvery, Duration(10*time.Second), 30*day, ", or 0 for never")
	}
	for _, f := range s.Files {
		v.absolute("server.files", f)
		if filepath.Clean(f) == "/" {
			v.wrong("server.files", "%q is every folder there is: name those on which media are mounted, such as /media", clip(f))
		}
	}
	for _, h := range s.AllowHosts {
		if !hostPattern.MatchString(h) {
			v.wrong("server.allow_hosts", `%q is no host: want "host", "host:port" or "*.domain"`, clip(h))
		}
	}
}

var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?$`)

func (v validator) download(d Download) {
	between(v, "download.max_size", d.MaxSize, 64<<10, maxDownload, "")
	between(v, "download.min_speed", d.MinSpeed, 0, 1<<30, " (bytes per second)")
	between(v, "download.patience", d.Patience, Duration(time.Second), Duration(10*time.Minute), "")
	between(v, "download.give_up", d.GiveUp, Duration(time.Second), 7*day, "")
	between(v, "download.keep", d.Keep, 1, 100, "")
}

func (v validator) serial(s Serial) {
	v.port(s.Port)
	if _, err := image.ParseChip(s.Chip); err != nil {
		v.wrong("serial.chip", "%q is no chip that can be flashed: want one such as esp32s3", clip(s.Chip))
	}
	between(v, "serial.baud", s.Baud, 9600, 2_000_000, " (bits per second)")
	const m = "serial.reset.method"
	oneOf(v, m, s.Reset.Method, ResetMethods()...)
	g, cmd := s.Reset.GPIO, s.Reset.Command
	if s.Reset.Method == ResetGPIO {
		v.absolute("serial.reset.gpio.chip", g.Chip)
		between(v, "serial.reset.gpio.en", g.EN, 0, 1023, " (line offset)")
		between(v, "serial.reset.gpio.boot", g.Boot, 0, 1023, " (line offset)")
		if g.EN == g.Boot {
			v.wrong("serial.reset.gpio.boot", "is the same line as en (%d): the chip needs two", g.EN)
		}
	}
	if s.Reset.Method == ResetCommand {
		v.command("serial.reset.command.bootloader", cmd.Bootloader)
		v.command("serial.reset.command.run", cmd.Run)
		between(v, "serial.reset.command.timeout", cmd.Timeout, Duration(100*time.Millisecond), Duration(time.Minute), "")
	}
}

func (v validator) port(p string) {
	const want = `want the path of a device, such as /dev/ota-esp32, or rfc2217://host:port`
	rest, remote := strings.CutPrefix(p, "rfc2217://")
	if !remote {
		if !filepath.IsAbs(p) {
			v.wrong("serial.port", "%q: %s", clip(p), want)
		}
		return
	}
	rest = strings.TrimSuffix(rest, "?ign_set_control") // as pyserial has it
	host, port, err := net.SplitHostPort(rest)
	n, err2 := strconv.Atoi(port)
	if err != nil || err2 != nil || host == "" || n < 1 || n > 65535 {
		v.wrong("serial.port", "%q: %s", clip(p), want)
	}
}

func (v validator) microROS(m MicroROS) {
	if m.Unit != "" && (len(m.Stop) > 0 || len(m.Start) > 0) {
		v.wrong("microros.unit", "stands beside stop and start: want the unit or the commands, not both")
	}
	if m.Unit != "" && !unitPattern.MatchString(m.Unit) {
		v.wrong("microros.unit", "%q is no systemd unit: want one such as micro_ros_agent.service", clip(m.Unit))
	}
	if len(m.Stop) == 0 && len(m.Start) == 0 {
		return
	}
	v.command("microros.stop", m.Stop)
	v.command("microros.start", m.Start)
}

var unitPattern = regexp.MustCompile(`^[A-Za-z0-9:_.@\\-]{1,240}\.(service|socket|target|scope|slice|path|timer)$`)

// command checks an argument vector. Only an absolute path says which program
// a root-started daemon will run.
func (v validator) command(key string, argv []string) {
	if len(argv) == 0 {
		v.wrong(key, `is missing: want the program and its arguments, such as ["/usr/bin/true"]`)
		return
	}
	if !filepath.IsAbs(argv[0]) {
		v.wrong(key, "%q: want the program's absolute path", clip(argv[0]))
	}
}

// topicPattern is ROS 2's rule for names, without substitutions.
var topicPattern = regexp.MustCompile(`^/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$`)

func (v validator) ros(r ROS) {
	if r.Namespace != "" && (len(r.Namespace) > 200 || !topicPattern.MatchString(r.Namespace)) {
		v.wrong("ros.namespace", "%q is no namespace: want one such as /r1, or \"\" for none", clip(r.Namespace))
	}
	topics := reflect.ValueOf(r.Topics)
	for i := range topics.NumField() {
		k := key(topics.Type().Field(i))
		name := topics.Field(i).String()
		if k == "dock" && name == "" {
			continue
		}
		if len(name) > 200 || !topicPattern.MatchString(name) {
			v.wrong("ros.topics."+k, "%q is no name of a topic: want one such as /odom", clip(name))
		}
	}
	if r.FirmwareStatus == "" || len(r.FirmwareStatus) > 200 {
		v.wrong("ros.firmware_status", "want the name of the firmware's own status, such as %s/firmware", robotID)
	}
	if r.SystemStatus == "" || len(r.SystemStatus) > 200 {
		v.wrong("ros.system_status", "want the name of the status that tells of Wi-Fi and heat, such as %s/system", robotID)
	}
	names := reflect.ValueOf(r.Keys)
	for i := range names.NumField() {
		k := "ros.keys." + key(names.Type().Field(i))
		if s := names.Field(i).String(); s == "" || len(s) > 100 {
			v.wrong(k, "want the name of the value in the firmware's status, 1 to 100 characters")
		}
	}
}

func (v validator) absolute(key, path string) {
	if !filepath.IsAbs(path) {
		v.wrong(key, "%q: want an absolute path, beginning with /", clip(path))
	}
}

func (v validator) optionalPath(key, path string) {
	if path != "" {
		v.absolute(key, path)
	}
}

// maxSocketPath is sockaddr_un's limit less its final zero, in bytes.
const maxSocketPath = 107

func (v validator) socket(path string) {
	v.absolute("control_socket", path)
	if len(path) > maxSocketPath {
		v.wrong("control_socket", "has %d bytes, and the path of a socket may have %d", len(path), maxSocketPath)
	}
}

// between checks a range, both ends included. NaN is in none.
func between[T cmp.Ordered](v validator, key string, x, low, high T, unit string) {
	if x >= low && x <= high {
		return
	}
	v.wrong(key, "%v is out of range: want %v to %v%s", x, low, high, unit)
}

func oneOf[T ~string](v validator, key string, x T, words ...T) {
	if slices.Contains(words, x) {
		return
	}
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	hint := ""
	if near, ok := nearest(string(x), names); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	v.wrong(key, "%q is none of %s%s", clip(string(x)), strings.Join(names, ", "), hint)
}
