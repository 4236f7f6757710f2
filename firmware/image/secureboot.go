package image

import (
	"encoding/binary"
	"hash/crc32"
)

// The Secure Boot v2 signature sector, as espsecure appends it: the app image
// is padded with FF to a 4 KiB boundary; the sector holds up to three blocks
// of 1216 bytes, each with a CRC-32 of its first 1196, and FF after them
// (ESP-IDF, "Secure Boot v2", Signature Block Format).
const (
	sectorSize    = 4096
	sigBlockSize  = 1216
	sigBlockCRC   = 1196
	sigBlockMagic = 0xE7
	sigBlockRSA   = 2
	sigBlockECDSA = 3
	maxSigBlocks  = 3
)

// isSecureBootSector tells whether all of b after the app image, which ends at
// end, is padding and one well-formed signature sector. Whether the signature
// is good is for the chip to say: it holds the key's digest in its eFuses.
func isSecureBootSector(b []byte, end int) bool {
	sector := (end + sectorSize - 1) / sectorSize * sectorSize
	if len(b) != sector+sectorSize || !blank(b[end:sector]) {
		return false
	}
	rest, blocks := b[sector:], 0
	for blocks < maxSigBlocks && isSigBlock(rest) {
		rest = rest[sigBlockSize:]
		blocks++
	}
	return blocks > 0 && blank(rest)
}

func isSigBlock(b []byte) bool {
	return b[0] == sigBlockMagic && (b[1] == sigBlockRSA || b[1] == sigBlockECDSA) &&
		binary.LittleEndian.Uint32(b[sigBlockCRC:]) == crc32.ChecksumIEEE(b[:sigBlockCRC])
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0xFF {
			return false
		}
	}
	return true
}
