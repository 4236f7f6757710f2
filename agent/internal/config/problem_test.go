package config

import (
	"errors"
	"strings"
	"testing"
)

// TestFaultsAreNamed holds the message that an operator sees for each kind of
// mistake. The file begins with `least`, so the snippet begins in line 2.
func TestFaultsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ snippet, want string }{
		"misspelt":         {"serial:\n  baudrate: 921600\n", `agent.yaml:3:3: unknown key "baudrate"; did you mean "baud"?`},
		"swapped letters":  {"contorl_socket: /run/a\n", `agent.yaml:2:1: unknown key "contorl_socket"; did you mean "control_socket"?`},
		"dash":             {"serial:\n  reset:\n    gpio: {Boot-: 1}\n", `agent.yaml:4:12: unknown key "Boot-"; did you mean "boot"?`},
		"elsewhere":        {"min_battery: 0.4\n", `agent.yaml:2:1: unknown key "min_battery"; did you mean "gates.min_battery"?`},
		"nowhere":          {"log:\n  colour: red\n", `agent.yaml:3:3: unknown key "colour"; in log there are level, format`},
		"not yet":          {"rollouts: {}\n", `agent.yaml:2:1: unknown key "rollouts"; at the top level there are robot, state_dir,`},
		"twice":            {"observe_for: 1h\nobserve_for: 2h\n", `agent.yaml:3:1: observe_for: stands here a second time`},
		"duration unit":    {"observe_for: 24\n", `agent.yaml:2:14: observe_for: 24 has no unit: want a duration with its unit, such as 30s, 10m or 6h`},
		"duration word":    {"observe_for: 1 day\n", `agent.yaml:2:14: observe_for: "1 day": want a duration with its unit`},
		"duration range":   {"trial: {window: 1h}\n", `agent.yaml:2:17: trial.window: 1h is out of range: want 1s to 10m`},
		"drain too soon":   {"drain: {seen: 5s}\n", `agent.yaml:2:15: drain.seen: 5s is out of range: want 1m to 48h`},
		"stand too long":   {"stand_within: 25h\n", `agent.yaml:2:15: stand_within: 25h is out of range: want 0s to 24h`},
		"check too often":  {"server: {check_every: 1s}\n", `agent.yaml:2:23: server.check_every: 1s is out of range: want 10s to 720h, or 0 for never`},
		"size unit":        {"download:\n  max_size: 4MB\n", `agent.yaml:3:13: download.max_size: "4MB": want a whole number with its unit, such as 512B, 64KiB or 16MiB`},
		"size range":       {"download: {max_size: 1GiB}\n", `download.max_size: 1GiB is out of range: want 64KiB to 16777352B`},
		"drain in percent": {"drain: {floor: 10}\n", `agent.yaml:2:16: drain.floor: 10 is out of range: want 0 to 1 (a fraction an hour: 0.1 is 10 %)`},
		"percent":          {"gates:\n  min_battery: 50\n", `agent.yaml:3:16: gates.min_battery: 50 is out of range: want 0 to 0.99 (a fraction: 0.5 is 50 %)`},
		"percent sign":     {"gates:\n  min_battery: 50%\n", `agent.yaml:3:16: gates.min_battery: want a number without quotes or unit, got the text "50%"`},
		"not a number":     {"gates: {max_linear: .nan}\n", `gates.max_linear: want a number without quotes or unit, got the number .nan`},
		"quoted number":    {"serial: {baud: \"921600\"}\n", `serial.baud: want a whole number without quotes, got the text "921600"`},
		"baud":             {"serial: {baud: 96}\n", `serial.baud: 96 is out of range: want 9600 to 2000000 (bits per second)`},
		"huge":             {"serial: {baud: 18446744073709551615}\n", `serial.baud: 18446744073709551615 is too large`},
		"boolean":          {"serial: {stub: yes}\n", `serial.stub: want true or false, got the text "yes"`},
		"number for text":  {"serial: {port: 17}\n", `agent.yaml:2:16: serial.port: want text, got the number 17: put it in quotes, "17"`},
		"port":             {"serial: {port: ttyUSB0}\n", `serial.port: "ttyUSB0": want the path of a device, such as /dev/ota-esp32, or rfc2217://host:port`},
		"remote port":      {"serial: {port: \"rfc2217://host\"}\n", `serial.port: "rfc2217://host": want the path`},
		"chip":             {"serial: {chip: esp33}\n", `serial.chip: "esp33" is no chip that can be flashed`},
		"method":           {"serial: {reset: {method: classik}}\n", `serial.reset.method: "classik" is none of auto, classic, tight, usb-jtag, gpio, command, none; did you mean "classic"?`},
		"one line twice":   {"serial: {reset: {method: gpio, gpio: {en: 4, boot: 4}}}\n", `serial.reset.gpio.boot: is the same line as en (4): the chip needs two`},
		"no command":       {"serial: {reset: {method: command}}\n", `serial.reset.command.bootloader: is missing: want the program and its arguments`},
		"relative command": {"microros: {stop: [systemctl, stop, x], start: [/bin/true]}\n", `microros.stop: "systemctl": want the program's absolute path`},
		"half a hand-over": {"microros: {stop: [/bin/true]}\n", `microros.start: is missing`},
		"unit and command": {"microros: {unit: a.service, stop: [/bin/true], start: [/bin/true]}\n", `microros.unit: stands beside stop and start`},
		"unit":             {"microros: {unit: micro_ros_agent}\n", `microros.unit: "micro_ros_agent" is no systemd unit: want one such as micro_ros_agent.service`},
		"plain http":       {"server: {url: \"http://updates.example.org\"}\n", `server.url: "http://updates.example.org" is not protected on its way: want https`},
		"password in url":  {"server: {url: \"https://me:hunter2@updates.example.org\"}\n", `server.url: holds a user or password: put a token into a file and name it in server.token_file`},
		"no url":           {"server: {url: updates}\n", `server.url: "updates" is no address: want https://host or https://host:port`},
		"host":             {"server: {allow_hosts: [\"https://cdn\"]}\n", `server.allow_hosts: "https://cdn" is no host: want "host", "host:port" or "*.domain"`},
		"relative folder":  {"server: {files: [media]}\n", `server.files: "media": want an absolute path`},
		"every folder":     {"server: {files: [/]}\n", `server.files: "/" is every folder there is`},
		"half a pair":      {"server: {cert_file: /etc/robot.pem}\n", `agent.yaml:2:21: server.cert_file: a certificate and its key go together`},
		"keep none":        {"download: {keep: 0}\n", `download.keep: 0 is out of range: want 1 to 100`},
		"no list":          {"trust: {keys: /etc/key.der}\n", `agent.yaml:2:15: trust.keys: want a list, such as ["one", "two"], got the text "/etc/key.der"`},
		"no keys":          {"trust: {keys: []}\n", `trust.keys: is empty: no image could ever be trusted`},
		"relative key":     {"trust: {keys: [keys/*.der]}\n", `trust.keys: "keys/*.der": want an absolute path`},
		"bad pattern":      {"trust: {keys: [\"/etc/[.der\"]}\n", `trust.keys: "/etc/[.der" is no pattern`},
		"odd entry":        {"trust: {keys: [{a: b}]}\n", `trust.keys: entry 1: want text, got a section`},
		"section":          {"log: debug\n", `agent.yaml:2:6: log is a section: want keys with values under it, got the text "debug"`},
		"value":            {"state_dir: {a: b}\n", `state_dir: want text, got a section`},
		"no value":         {"state_dir:\n", `agent.yaml:2:1: state_dir: has no value: write one, "" for none, or remove the line`},
		"relative":         {"state_dir: var\n", `state_dir: "var": want an absolute path, beginning with /`},
		"long socket":      {"control_socket: /" + strings.Repeat("x", 120) + "\n", `control_socket: has 121 bytes, and the path of a socket may have 107`},
		"topic":            {"ros: {topics: {odom: \"od om\"}}\n", `ros.topics.odom: "od om" is no name of a topic: want one such as /odom`},
		"namespace":        {"ros: {namespace: \"r 1\"}\n", `ros.namespace: "r 1" is no namespace: want one such as /r1`},
		"status name":      {"ros: {firmware_status: \"\"}\n", `ros.firmware_status: want the name of the firmware's own status`},
		"value name":       {"ros: {keys: {motors: \"\"}}\n", `ros.keys.motors: want the name of the value`},
		"broker":           {"mqtt: {url: broker}\n", `mqtt.url: "broker" is no broker: want mqtts://host or mqtts://host:port`},
		"broker's scheme":  {"mqtt: {url: \"https://broker\"}\n", `mqtt.url: "https://broker" is no broker`},
		"broker's path":    {"mqtt: {url: \"mqtts://broker/x\"}\n", `mqtt.url: "mqtts://broker/x" has more than a host and a port`},
		"broker's port":    {"mqtt: {url: \"mqtts://broker:70000\"}\n", `mqtt.url: "mqtts://broker:70000" has no port that can be`},
		"no port":          {"mqtt: {url: \"mqtts://broker:\"}\n", `mqtt.url: "mqtts://broker:" is no broker`},
		"broker, bare":     {"mqtt: {url: \"mqtt://10.0.0.1\"}\n", `mqtt.url: "mqtt://10.0.0.1" is not protected on its way: want mqtts`},
		"broker, looks so": {"mqtt: {url: \"mqtt://127.0.0.1.example.org\"}\n", `is not protected on its way`},
		"broker's user":    {"mqtt: {url: \"mqtts://me:hunter2@broker\"}\n", `mqtt.url: holds a user or password: put them into mqtt.username`},
		"half of mqtt":     {"mqtt: {key_file: /etc/robot.key}\n", `mqtt.cert_file: a certificate and its key go together`},
		"mqtt's password":  {"mqtt: {password_file: secret}\n", `mqtt.password_file: "secret": want an absolute path`},
		"mqtt's user":      {"mqtt: {username: \"a\\tb\"}\n", `mqtt.username: want at most 256 printable characters`},
		"keep alive":       {"mqtt: {keepalive: 1s}\n", `mqtt.keepalive: 1s is out of range: want 5s to 20m`},
		"keep alive, part": {"mqtt: {keepalive: 5500ms}\n", `MQTT counts whole seconds`},
		"level":            {"log: {level: warning}\n", `log.level: "warning" is none of debug, info, warn, error; did you mean "warn"?`},
		"confirm":          {"trial: {confirm: nobody}\n", `trial.confirm: "nobody" is none of firmware, agent`},
		"alias":            {"log: {level: &l info, format: *l}\n", `log.level: anchors, aliases and tags are not read here: write the value itself`},
		"tab":              {"log:\n\tlevel: info\n", `agent.yaml:3:1: this is not YAML: found character`},
		"syntax":           {"log: [\n", `agent.yaml:2:6: this is not YAML`},
		"documents":        {"---\nlog: {}\n", `agent.yaml:3:4: a second YAML document begins here`},
		"key":              {"1: 2\n", `agent.yaml:2:1: a key must be a plain word, got the number 1`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("agent.yaml", []byte(least+tt.snippet))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message gives a password away")
			}
		})
	}
}

func TestRobotHasToBeNamed(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"empty file":     {"", "agent.yaml: robot.id: is missing, and cannot be guessed: for instance robot-001\nagent.yaml: robot.sku: is missing"},
		"empty section":  {"log: {}\nrobot:\n", "agent.yaml:2:1: robot.id: is missing"},
		"id":             {"robot: {id: a/b, sku: standard, companion_version: 0.2.0}", `agent.yaml:1:13: robot.id: "a/b" cannot be part of a topic: want 1 to 64 letters, digits, - and _`},
		"sku":            {"robot: {id: a, sku: Standard, companion_version: 0.2.0}", `robot.sku: "Standard" is none of basic, standard, industrial; did you mean "standard"?`},
		"version":        {"robot: {id: a, sku: basic, companion_version: 0.2}", `robot.companion_version: want text, got the number 0.2: put it in quotes`},
		"version's form": {"robot: {id: a, sku: basic, companion_version: 0.2.x}", `robot.companion_version: not a version: "0.2.x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("agent.yaml", []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestAllFaultsAtOnceInTheFilesOrder(t *testing.T) {
	_, err := Parse("agent.yaml", []byte("log: {level: x}\nserial: {baud: 1}\nnope: 1\nrobot: {id: a, sku: basic, companion_version: 0.2.0}\n"))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"log.level", "serial.baud", ""} {
		if ps[i].Key != want || ps[i].Line != i+1 {
			t.Errorf("%d: %+v", i, ps[i])
		}
	}
	var p Problem
	if !errors.As(err, &p) || p.Line != 1 {
		t.Errorf("a single Problem is not found: %+v", p)
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	_, err := Parse("agent.yaml", []byte(least+strings.Repeat("nope: 1\n", 50)))
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems || !strings.Contains(err.Error(), "and 30 more") {
		t.Errorf("got %v", err)
	}
}
