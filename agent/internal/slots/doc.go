// Package slots changes what a chip boots: slots and OTA data, not sectors.
//
// # Parties
//
//	engine ── slots, verified images ──► Device ── offsets, bytes ──► Flash (an esprom.Session)
//
// # Layers
//
//	inspect.go  what the chip holds: partition table, OTA data, an outline of each slot's app
//	device.go   write a slot, attest it, switch, restore, confirm
//	fence.go    the one place that writes flash, and refuses what must stay as it is
//
// # Trust
//
// A slot is only ever filled from an image.Verified, and it is only made
// bootable after the chip's own MD5 of it was found equal to that image's
// (Attest), by the same Device and with no write in between.
//
// The chip's flash is believed as far as the chip itself would believe it: the
// partition table by its MD5 and bounds, OTA data by their CRC. What apps say
// of themselves in flash is shown, not trusted.
//
// What is written is either the slot that is not needed, or the two sectors of
// OTA data, by edits that package flashmap planned to survive a power cut at
// any point. The slot that boots, the slot that is fallen back on, the
// partition table, nvs and everything else lie outside the fence.
package slots
