package cuttest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// flow is one update from its trigger to its end.
type flow struct {
	name      string
	behaviour string // of the new firmware
	want      update.State
	factory   bool // the robot runs factory, its OTA data are blank
	plain     bool // a boot loader without rollback
	noStub    bool
	agent     bool // the agent confirms
	mqtt      bool // commanded by MQTT, else offered by the update server
	breaks    bool // the first download breaks off in the middle
}

func flows() []flow {
	return []flow{
		{name: "good", behaviour: "good", want: update.Confirmed},
		{name: "factory", behaviour: "good", want: update.Confirmed, factory: true},
		{name: "rom", behaviour: "good", want: update.Confirmed, noStub: true},
		{name: "agent-confirms", behaviour: "no_confirm", want: update.Confirmed, agent: true},
		{name: "resumed", behaviour: "good", want: update.Confirmed, breaks: true},
		{name: "mqtt", behaviour: "good", want: update.Confirmed, mqtt: true},
		{name: "sick", behaviour: "fail_self_test", want: update.RolledBack},
		{name: "hang", behaviour: "hang", want: update.RolledBack},
		{name: "crash", behaviour: "crash_early", want: update.RolledBack},
		{name: "crash-plain", behaviour: "crash_early", want: update.RolledBack, plain: true},
		{name: "trigger", behaviour: "estop_after:60", want: update.RolledBack},
	}
}

// Layout of the small flash: the fleet's order, other sizes.
const (
	flashSize = 1 << 20
	tableAt   = 0x10000
	otaAt     = 0x18000
	slotSize  = 0x20000
	imageSize = 64 << 10
)

// slotAt is where a slot lies; -1 is factory.
func slotAt(i int) uint32 { return 0x20000 + uint32(i+1)*slotSize }

func slotName(i int) string {
	if i < 0 {
		return "factory"
	}
	return fmt.Sprintf("ota_%d", i)
}

// release is a signed image, its app, and how the app is called.
type release struct {
	version string
	app     []byte
	file    []byte
	sum     string // of the file
}

func (r release) url() string { return "https://updates.example/v1/artifacts/" + r.sum }

// plant has what all runs share: keys, images and the flash they begin with.
type plant struct {
	keys     image.Keyring
	old      release // confirmed
	older    release // in the slot that is written
	releases map[string]release
	apps     [][]byte
	ahead    []*esprom.Ahead // of apps
}

func newPlant() (*plant, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	p := &plant{keys: image.NewKeyring(pub), releases: map[string]release{}}
	build := func(version, behaviour string) (release, error) {
		app, err := testimage.Build(testimage.Spec{Version: version, Behaviour: behaviour, Size: imageSize})
		if err != nil {
			return release{}, err
		}
		file, err := image.Sign(app, key)
		sum := sha256.Sum256(file)
		return release{version, app, file, hex.EncodeToString(sum[:])}, err
	}
	if p.old, err = build("0.2.0", "good"); err != nil {
		return nil, err
	}
	if p.older, err = build("0.1.9", "good"); err != nil {
		return nil, err
	}
	for _, f := range flows() {
		if _, made := p.releases[f.behaviour]; made {
			continue
		}
		if p.releases[f.behaviour], err = build("0.2.1", f.behaviour); err != nil {
			return nil, err
		}
		a := esprom.PackSmall(p.releases[f.behaviour].app)
		a.Wait()
		p.ahead = append(p.ahead, a)
		p.apps = append(p.apps, p.releases[f.behaviour].app)
	}
	return p, nil
}

// packed is the image deflated, which takes the agent as long as all the rest of
// a run: so it is done once for all of them.
func (p *plant) packed(payload []byte) *esprom.Ahead {
	for i, app := range p.apps {
		if bytes.Equal(app, payload) {
			return p.ahead[i]
		}
	}
	return esprom.PackSmall(payload)
}

// flash is the flash of a robot that runs the old firmware.
func (p *plant) flash(f flow) []byte {
	raw := bytes.Repeat([]byte{0xFF}, flashSize)
	copy(raw, "\xE9\x00\x02\x3Fa boot loader")
	copy(raw[tableAt:], table())
	copy(raw[slotAt(-1):], p.old.app)
	if f.factory {
		return raw
	}
	copy(raw[slotAt(0):], p.old.app)
	copy(raw[slotAt(1):], p.older.app)
	const valid, aborted = 2, 4
	copy(raw[otaAt:], otaEntry(3, valid, 0xED4A5011))
	copy(raw[otaAt+0x1000:], otaEntry(2, aborted, 0x55F63774))
	return raw
}

func otaEntry(seq, state, crc uint32) []byte {
	e := bytes.Repeat([]byte{0xFF}, 32)
	binary.LittleEndian.PutUint32(e, seq)
	binary.LittleEndian.PutUint32(e[24:], state)
	binary.LittleEndian.PutUint32(e[28:], crc)
	return e
}

// table is a partition table as esp-idf's gen_esp32part.py writes it.
func table() []byte {
	raw := bytes.Repeat([]byte{0xFF}, 0xC00)
	at := 0
	for _, r := range []struct {
		kind, sub byte
		off, size uint32
		label     string
	}{
		{1, 0x02, 0x11000, 0x6000, "nvs"},
		{1, 0x00, otaAt, 0x2000, "otadata"},
		{0, 0x00, slotAt(-1), slotSize, "factory"},
		{0, 0x10, slotAt(0), slotSize, "ota_0"},
		{0, 0x11, slotAt(1), slotSize, "ota_1"},
	} {
		row := raw[at : at+32]
		clear(row)
		row[0], row[1], row[2], row[3] = 0xAA, 0x50, r.kind, r.sub
		binary.LittleEndian.PutUint32(row[4:], r.off)
		binary.LittleEndian.PutUint32(row[8:], r.size)
		copy(row[12:28], r.label)
		at += 32
	}
	sum := md5.Sum(raw[:at])
	raw[at], raw[at+1] = 0xEB, 0xEB
	copy(raw[at+16:], sum[:])
	return raw
}
