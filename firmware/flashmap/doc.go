// Package flashmap knows how an ESP32's flash is divided and which app boots:
// the partition table and the OTA data.
//
// Reading is strict: both come from a chip whose flash may be worn, half
// written or someone else's, so every bound is checked and what the bootloader
// would not accept is refused.
//
// # OTA data
//
// Two entries, a flash sector each. The bootloader takes the entry with the
// highest sequence number among the bootable ones (good CRC, sequence not FF…,
// state not INVALID or ABORTED) and boots slot (seq-1) mod slots; with none,
// factory. Which entry holds a slot follows from the sequence number alone:
// entry 0 may hold ota_1.
//
// [OTAData.Switch], [OTAData.Confirm] and [OTAData.Restore] plan changes as
// [Edit]s, each one sector erase and write, to be made in order. They plan for
// a power cut: after a cut at any point the bootloader boots what it booted
// before, or the slot that is to run; the slot to fall back on stays bootable;
// and planning again from what the flash then holds finishes the job.
//
// That rests on the CRC being the last word of an entry, so that an entry
// counts only when it is whole. It covers the sequence number alone (ESP-IDF's
// format): an erase cut in the very moment in which the state is gone and
// sequence number and CRC still stand would let an old entry of the inactive
// sector count again. No order of edits prevents that.
//
// Whoever writes a slot makes sure first that the OTA data do not select it:
// Restore(slot, running) does.
//
// Sources: ESP-IDF, "Partition Tables" and "Over The Air Updates";
// esp_flash_partitions.h, bootloader_common.c, bootloader_utility.c.
//
// The package is pure: no I/O, no clock, no log.
package flashmap
