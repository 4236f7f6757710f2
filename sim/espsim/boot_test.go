package espsim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// tinyImage is the smallest image that boots: one segment with description and
// marker. testimage makes real ones; it cannot be used from in here.
func tinyImage(version, behaviour string) []byte {
	data := make([]byte, 512)
	binary.LittleEndian.PutUint32(data, descMagic)
	copy(data[16:], version)
	copy(data[48:], "robot-platform-standard")
	copy(data[256:], Marker(behaviour, 1, ""))
	img := make([]byte, imageHeader)
	img[0], img[1], img[12], img[23] = imageMagic, 1, 9, 1
	img = append(append(img, words(0x3C0A0020, uint32(len(data)))...), data...)
	for len(img)%16 != 15 {
		img = append(img, 0)
	}
	img = append(img, byte(checksum(data)))
	sum := sha256.Sum256(img)
	return append(img, sum[:]...)
}

// allSlots is a flash with a good image in each slot, versions 0.0.1 to 0.0.3.
func allSlots(t *testing.T) []byte {
	t.Helper()
	flash, err := Provision(0, 0, map[string][]byte{
		"factory": tinyImage("0.0.1", "good"), "ota_0": tinyImage("0.0.2", "good"), "ota_1": tinyImage("0.0.3", "good"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return flash
}

const otadataAt = 0x18000

func putEntry(flash []byte, i int, e otaEntry) { copy(flash[otadataAt+i*sectorSize:], e.bytes()) }

func entry(seq, state uint32) otaEntry {
	e := otaEntry{seq: seq, state: state, crc: seqCRC(seq)}
	clearTo(e.label[:], 0xFF)
	return e
}

// CRC vectors as they stand in flashes written by ESP-IDF.
func TestSeqCRC(t *testing.T) {
	for seq, want := range map[uint32]uint32{1: 0x4743989A, 2: 0x55F63774, 3: 0xED4A5011, 4: 0x709D68A8} {
		if got := seqCRC(seq); got != want {
			t.Errorf("CRC of %d is %08x, want %08x", seq, got, want)
		}
	}
}

// oracle is the documented rule, written down a second time: the highest
// sequence number among entries with a right CRC that are not ruled out; with
// rollback, PENDING_VERIFY turns ABORTED before, the chosen NEW turns
// PENDING_VERIFY after.
func oracle(e [2]*otaEntry, rollback bool) (slot string, after [2]uint32) {
	for i, x := range e {
		after[i] = stateUndefined
		if x != nil {
			after[i] = x.state
			if rollback && x.state == 1 {
				after[i] = 4
			}
		}
	}
	best := -1
	for i, x := range e {
		if x == nil || x.seq == 0xFFFFFFFF || x.crc != seqCRC(x.seq) || after[i] == 3 || after[i] == 4 {
			continue
		}
		if best < 0 || x.seq > e[best].seq {
			best = i
		}
	}
	if best < 0 {
		return "factory", after
	}
	if rollback && after[best] == 0 {
		after[best] = 1
	}
	return fmt.Sprintf("ota_%d", (e[best].seq-1)%2), after
}

func TestBootChoiceOverEveryPairOfEntries(t *testing.T) {
	states := []uint32{stateNew, statePending, stateValid, stateInvalid, stateAborted, stateUndefined}
	entries := []*otaEntry{nil}
	for _, seq := range []uint32{1, 2, 3, 0xFFFFFFFE} {
		for _, st := range states {
			e := entry(seq, st)
			entries = append(entries, &e)
		}
	}
	bad := entry(4, stateValid)
	bad.crc ^= 1
	entries = append(entries, &bad)
	base := allSlots(t)
	n := 0
	for _, rollback := range []bool{false, true} {
		for _, a := range entries {
			for _, b := range entries {
				n++
				clearTo(base[otadataAt:otadataAt+2*sectorSize], 0xFF)
				for i, e := range []*otaEntry{a, b} {
					if e != nil {
						putEntry(base, i, *e)
					}
				}
				want, after := oracle([2]*otaEntry{a, b}, rollback)
				checkChoice(t, base, rollback, want, after, fmt.Sprintf("%+v %+v rollback %v", a, b, rollback))
			}
		}
	}
	t.Logf("%d pairs", n)
}

func checkChoice(t *testing.T, flash []byte, rollback bool, want string, after [2]uint32, what string) {
	t.Helper()
	report, err := Inspect(flash, 0, rollback)
	if err != nil {
		t.Fatal(err)
	}
	if report.NextBoot != want {
		t.Fatalf("%s: the report says %s boots, want %s", what, report.NextBoot, want)
	}
	cfg := Config{Rollback: rollback}.withDefaults()
	f := &faultState{}
	c := &Chip{cfg: cfg, log: cfg.Logger, model: modelOf(ESP32S3), faults: f, nor: &nor{data: flash, faults: f}}
	b, err := c.secondStage(context.Background())
	if err != nil || b == nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got := slotName(b.index); got != want {
		t.Fatalf("%s: boots %s, want %s", what, got, want)
	}
	for i := range 2 {
		if got := parseEntry(flash[otadataAt+i*sectorSize:]); got.state != after[i] {
			t.Fatalf("%s: entry %d is %s after the boot, want %s", what, i, stateName(got.state), stateName(after[i]))
		}
	}
}

// A slot whose image is bad is passed over: downwards to factory first, then
// upwards.
func TestBootFallsThrough(t *testing.T) {
	for _, tt := range []struct {
		name    string
		good    []string
		seq     uint32
		want    string
		spoiled string
	}{
		{"chosen is good", []string{"factory", "ota_0", "ota_1"}, 2, "ota_1", ""},
		{"down to ota_0", []string{"factory", "ota_0"}, 2, "ota_0", ""},
		{"down to factory", []string{"factory"}, 2, "factory", ""},
		{"up to ota_1", []string{"ota_1"}, 1, "ota_1", ""},
		{"one bit wrong", []string{"factory", "ota_0"}, 1, "factory", "ota_0"},
		{"nothing", nil, 1, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			images := map[string][]byte{}
			for _, s := range tt.good {
				images[s] = tinyImage("0.0.1", "good")
			}
			if tt.spoiled != "" {
				images[tt.spoiled][200] ^= 0x10
			}
			flash, err := Provision(0, 0, images)
			if err != nil {
				t.Fatal(err)
			}
			putEntry(flash, 0, entry(tt.seq, stateValid))
			bubble(t, Config{Flash: flash}, func(t *testing.T, c *Chip) {
				if got := c.Report().NextBoot; got != tt.want {
					t.Errorf("report: %q, want %q", got, tt.want)
				}
				s := waitFor(t, c, "an end of the boot", func(s AppStatus) bool {
					return s.Running || s.Mode == ModeNoApp
				})
				if s.Slot != tt.want {
					t.Errorf("runs %q, want %q", s.Slot, tt.want)
				}
			})
		})
	}
}

// Without a factory slot and with blank OTA data the boot loader takes ota_0
// and notes it.
func TestBootWithoutFactoryNotesItsChoice(t *testing.T) {
	flash := allSlots(t)
	rows := []partition{
		{typeData, subOTAData, otadataAt, 0x2000, "otadata", 0},
		{typeApp, subOTA, 0x220000, 0x200000, "ota_0", 0},
		{typeApp, subOTA + 1, 0x420000, 0x200000, "ota_1", 0},
	}
	copy(flash[DefaultTableOffset:], encodeTable(rows))
	bubble(t, Config{Flash: flash}, func(t *testing.T, c *Chip) {
		s := waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
		e := parseEntry(c.Flash()[otadataAt:])
		if s.Slot != "ota_0" || e.seq != 1 || e.state != stateValid || !e.valid() {
			t.Errorf("runs %s, entry %+v", s.Slot, e)
		}
	})
}

func TestAntiRollbackPassesOverOldImages(t *testing.T) {
	flash := allSlots(t)
	bubble(t, Config{Flash: flash, SecureVersion: 1}, func(t *testing.T, c *Chip) {
		waitFor(t, c, "nothing to boot", func(s AppStatus) bool { return s.Mode == ModeNoApp })
		if p := c.Report().Slots[0].Problem; !strings.Contains(p, "secure version") {
			t.Errorf("problem %q", p)
		}
	})
}

func TestParseTableRefuses(t *testing.T) {
	good := FleetTable()
	for name, change := range map[string]func(p []byte){
		"magic":      func(p []byte) { p[32] = 0xAB },
		"md5":        func(p []byte) { p[12] = 'N' },
		"past flash": func(p []byte) { binary.LittleEndian.PutUint32(p[8:], 0xFFFFFFFF) },
		"empty":      func(p []byte) { clearTo(p, 0xFF) },
		"no end": func(p []byte) {
			for at := 0; at < len(p); at += tableRow {
				copy(p[at:], good[:tableRow])
			}
		},
		"zeros":         func(p []byte) { clearTo(p, 0) },
		"only an MD5":   func(p []byte) { clearTo(p[:9*32], 0xFF) },
		"entries wrong": func(p []byte) { p[0], p[1] = 0x50, 0xAA },
	} {
		p := append([]byte(nil), good...)
		change(p)
		if _, err := parseTable(p, 8<<20); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if s, err := parseTable(good, 8<<20); err != nil || s.count != 2 || len(s.rows) != 9 {
		t.Errorf("fleet's table: %+v, %v", s, err)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(FleetTable())
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := parseTable(p, 8<<20)
		if err != nil {
			return
		}
		for _, r := range s.rows {
			if uint64(r.offset)+uint64(r.size) > 8<<20 {
				t.Fatalf("partition past the flash: %+v", r)
			}
		}
	})
}

func FuzzParseApp(f *testing.F) {
	f.Add(tinyImage("0.2.1", "good"))
	f.Add([]byte{imageMagic, 16})
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, err := parseApp(p, 9); err == nil && len(a.digest) != 64 && len(a.digest) != 0 {
			t.Fatalf("digest %q", a.digest)
		}
	})
}

func TestParseAppRefusesEveryFlippedBit(t *testing.T) {
	img := tinyImage("0.2.1", "good")
	if _, err := parseApp(img, 9); err != nil {
		t.Fatal(err)
	}
	for i := range img {
		for bit := range 8 {
			if i == 23 {
				continue // hash_appended: without it the hash is not looked at
			}
			p := append([]byte(nil), img...)
			p[i] ^= 1 << bit
			if _, err := parseApp(p, 9); err == nil {
				t.Fatalf("byte %d bit %d: taken", i, bit)
			}
		}
	}
}
