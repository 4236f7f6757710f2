package espsim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Behaviours is what the simulated application can be made to do; testimage
// writes the name into the image, the chip reads it from there. Where a name
// takes an argument it follows a colon.
//
//	good             starts, self-test passes, marks itself valid
//	crash_at_boot    counts the boot, then panics before its first word; after
//	                 three in a row it refuses: marks itself invalid, reboots
//	crash_early      panics before it even counts: loops for ever where the
//	                 boot loader does not roll back
//	fail_self_test   self-test fails; marks itself invalid and reboots
//	hang             its self-test never ends; it talks, and never confirms
//	no_confirm       healthy and talking, and never confirms: firmware that
//	                 cannot, the agent has to
//	silent[:s]       confirms itself, but never talks; or falls silent s
//	                 seconds after the self-test
//	wrong_version[:v] good, but reports version v (default 9.9.9)
//	goes_bad_after:s  good; s seconds later its safety state is "fault"
//	crash_after:s     good; s seconds after each self-test it panics
//	estop_after:s     good; s seconds later it stops without an operator
//	drain_after:s     good; s seconds later the battery drains threefold
func Behaviours() []string {
	return []string{
		"good", "crash_at_boot", "crash_early", "fail_self_test", "hang", "no_confirm", "silent",
		"wrong_version", "goes_bad_after", "crash_after", "estop_after", "drain_after",
	}
}

// behaviour is what an image says its application does.
type behaviour struct {
	name     string
	arg      string
	after    time.Duration // of the _after ones and silent:s
	protocol uint8
	key      string // id of the public key that the image embeds, "" for none
}

func defaultBehaviour() behaviour { return behaviour{name: "good"} }

func (b behaviour) String() string {
	if b.arg == "" {
		return b.name
	}
	return b.name + ":" + b.arg
}

// CheckBehaviour says whether a behaviour is known and its argument right.
func CheckBehaviour(s string) error {
	_, err := parseBehaviour(s)
	return err
}

func parseBehaviour(s string) (behaviour, error) {
	name, arg, _ := strings.Cut(s, ":")
	b := behaviour{name: name, arg: arg}
	switch name {
	case "good", "crash_at_boot", "crash_early", "fail_self_test", "hang", "no_confirm":
		if arg != "" {
			return b, fmt.Errorf("behaviour %q takes no argument", name)
		}
		return b, nil
	case "wrong_version":
		if b.arg == "" {
			b.arg = "9.9.9"
		}
		return b, nil
	case "silent", "goes_bad_after", "crash_after", "estop_after", "drain_after":
		if arg == "" && name == "silent" {
			return b, nil
		}
		sec, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(sec >= 0 && sec <= 1e6) {
			return b, fmt.Errorf("behaviour %q: %q is no number of seconds", name, arg)
		}
		b.after = time.Duration(sec * float64(time.Second))
		return b, nil
	}
	return b, fmt.Errorf("unknown behaviour %q: there are %s", s, strings.Join(Behaviours(), ", "))
}

// MaxMarker is the room for a Marker in an image, in bytes.
const MaxMarker = 256

// Marker is the text that carries behaviour, advertised protocol version and
// embedded public key (X‖Y in hex, "" for none) in an image, right behind the
// app description.
func Marker(behaviour string, protocol uint8, key string) string {
	s := fmt.Sprintf("%sbehaviour=%s protocol=%d", markerPrefix, behaviour, protocol)
	if key != "" {
		s += " key=" + key
	}
	return s
}

func parseMarker(s string) (behaviour, error) {
	b := defaultBehaviour()
	var protocol uint8
	var embeds string
	for _, field := range strings.Fields(s) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "behaviour":
			var err error
			if b, err = parseBehaviour(value); err != nil {
				return b, err
			}
		case "protocol":
			n, err := strconv.ParseUint(value, 10, 8)
			if err != nil {
				return b, fmt.Errorf("protocol %q: %w", value, err)
			}
			protocol = uint8(n)
		case "key":
			var err error
			if embeds, err = KeyID(value); err != nil {
				return b, err
			}
		}
	}
	b.protocol, b.key = protocol, embeds
	return b, nil
}

// KeyID is how the fleet names a public key that a firmware embeds as X‖Y: the
// first eight bytes of the SHA-256 of its DER form, in hex.
func KeyID(xy string) (string, error) {
	point, err := hex.DecodeString(xy)
	if err != nil || len(point) != 64 {
		return "", fmt.Errorf("key %.20q: want X and Y, 128 hex digits", xy)
	}
	// SubjectPublicKeyInfo of id-ecPublicKey on prime256v1, point uncompressed.
	der, err := hex.DecodeString("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(der, point...))
	return hex.EncodeToString(sum[:8]), nil
}
