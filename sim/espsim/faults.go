package espsim

// Faults is a plan of what goes wrong. Numbers count from 1 since SetFaults;
// zero means never.
type Faults struct {
	ToChip LineFaults `json:"to_chip"`
	ToHost LineFaults `json:"to_host"`
	// CutAtFlashOp cuts the power at that flash operation (every sector
	// erase, block erase and page program counts), done as far as Tear says.
	CutAtFlashOp uint64 `json:"cut_at_flash_op"`
	Tear         Tear   `json:"tear"`
	// FailFlashOp makes that flash operation report an error and do nothing.
	// In the ROM loader that fails the command, under the stub the next one.
	FailFlashOp uint64 `json:"fail_flash_op"`
	// PullAtByte unplugs the cable when that byte, in either direction, would
	// go over it; CutAtByte cuts the power then.
	PullAtByte uint64 `json:"pull_at_byte"`
	CutAtByte  uint64 `json:"cut_at_byte"`
}

// LineFaults is what happens on one direction of the line.
type LineFaults struct {
	DropByte, GarbleByte, DuplicateByte    uint64
	DropFrame, GarbleFrame, DuplicateFrame uint64
	// Noise garbles each byte with this probability, drawn from Seed.
	Noise float64
	Seed  uint64
}

// Tear is how far the flash operation got that the power cut hit.
type Tear uint8

// The degrees of a torn operation.
const (
	TearHalf   Tear = iota // half of it: part of the bits are cleared or set
	TearBefore             // not begun
	TearAfter              // just done, nobody told
)

// Counters is what happened since SetFaults.
type Counters struct {
	FlashOps     uint64 `json:"flash_ops"`
	BytesToChip  uint64 `json:"bytes_to_chip"`
	BytesToHost  uint64 `json:"bytes_to_host"`
	FramesToChip uint64 `json:"frames_to_chip"`
	FramesToHost uint64 `json:"frames_to_host"`
}
