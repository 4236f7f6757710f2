package tests

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// What the agent knows of flash and images and what the simulated chip does with them were written twice, so that a
// mistake in one does not hide in the other. Here the two are held against each other.

const (
	simOTAData = 0x18000
	simSector  = 0x1000
)

// simFlash is a flash with a good image in every slot.
func simFlash(t *testing.T) ([]byte, []byte) {
	t.Helper()
	img, err := testimage.Build(testimage.Spec{Version: "0.2.1", Size: testimage.MinSize})
	if err != nil {
		t.Fatal(err)
	}
	flash, err := espsim.Provision(0, 0, map[string][]byte{"factory": img, "ota_0": img, "ota_1": img})
	if err != nil {
		t.Fatal(err)
	}
	return flash, img
}

// otaEntry is an entry with the CRC of another sequence number where wrong.
func otaEntry(seq, state uint32, wrong bool) []byte {
	crcs := map[uint32]uint32{1: 0x4743989A, 2: 0x55F63774, 3: 0xED4A5011, 4: 0x709D68A8}
	p := make([]byte, 32)
	for i := range p {
		p[i] = 0xFF
	}
	binary.LittleEndian.PutUint32(p, seq)
	binary.LittleEndian.PutUint32(p[24:], state)
	crc := crcs[seq]
	if wrong {
		crc = crcs[seq%4+1]
	}
	binary.LittleEndian.PutUint32(p[28:], crc)
	return p
}

func TestBootChoiceAgreesWithTheSimulator(t *testing.T) {
	flash, _ := simFlash(t)
	entries := [][]byte{nil}
	for _, seq := range []uint32{1, 2, 3, 4} {
		for _, state := range []uint32{0, 1, 2, 3, 4, 0xFFFFFFFF, 7} {
			entries = append(entries, otaEntry(seq, state, false))
		}
		entries = append(entries, otaEntry(seq, 2, true))
	}
	data := flash[simOTAData : simOTAData+2*simSector]
	for _, a := range entries {
		for _, b := range entries {
			for i := range data {
				data[i] = 0xFF
			}
			copy(data, a)
			copy(data[simSector:], b)
			parsed, err := flashmap.ParseOTAData(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, rollback := range []bool{false, true} {
				report, err := espsim.Inspect(flash, 0, rollback)
				if err != nil {
					t.Fatal(err)
				}
				seen := parsed
				if rollback {
					seen = seen.AfterReset()
				}
				if slot, _ := seen.Choose(2); slot.String() != report.NextBoot {
					t.Fatalf("entries % x and % x, rollback %v: flashmap says %s, the simulator boots %s",
						a, b, rollback, slot, report.NextBoot)
				}
			}
		}
	}
}

func TestPartitionTableAgreesWithTheSimulator(t *testing.T) {
	flash, _ := simFlash(t)
	table, err := flashmap.ParseTable(flash[espsim.DefaultTableOffset:][:flashmap.TableSize], uint32(len(flash)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := espsim.Inspect(flash, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	ours := table.Partitions()
	if len(ours) != len(report.Partitions) {
		t.Fatalf("%d partitions, the simulator has %d", len(ours), len(report.Partitions))
	}
	for i, p := range report.Partitions {
		if o := ours[i]; o.Label != p.Label || o.Offset != p.Offset || o.Size != p.Size || o.Type != p.Type || o.Subtype != p.Subtype {
			t.Errorf("%+v, the simulator has %+v", o, p)
		}
	}
}

func TestImageAgreesWithTheSimulator(t *testing.T) {
	flash, img := simFlash(t)
	app, err := image.ParseApp(img)
	if err != nil {
		t.Fatal(err)
	}
	report, err := espsim.Inspect(flash, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	slot := report.Slots[0]
	if hex.EncodeToString(app.Digest[:]) != slot.SHA256 || app.Desc.Version != slot.Version || app.Desc.Project != slot.Project {
		t.Errorf("%+v, the simulator has %+v", app.Desc, slot)
	}
	for bit := range len(img) * 8 {
		p := append([]byte(nil), img...)
		p[bit/8] ^= 1 << (bit % 8)
		copy(flash[slot.Offset:], p)
		report, err := espsim.Inspect(flash, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		// What the boot loader refuses, the agent refuses too; it refuses more, such as an image without a hash.
		if _, err := image.ParseApp(p); err == nil && !report.Slots[0].Valid {
			t.Fatalf("bit %d of byte %#x: the agent takes what the boot loader refuses: %s", bit%8, bit/8, report.Slots[0].Problem)
		}
	}
}
