package compat

import "fmt"

// Protocol is the number of the protocol that a firmware speaks with its
// companion and advertises in its telemetry. 0 means that it is not known.
type Protocol uint8

// Range holds the versions v with From ≤ v < Below. A zero Below means that
// there is no upper end.
type Range struct {
	From, Below Version
}

// Contains tells whether v is in the range.
func (r Range) Contains(v Version) bool {
	return v.Compare(r.From) >= 0 && (r.Below.IsZero() || v.Compare(r.Below) < 0)
}

// String names the range as operators write it: "0.1.x", "0.1.x to 0.2.x",
// "1.x", "1.0.x and later".
func (r Range) String() string {
	from := fmt.Sprintf("%d.%d.x", r.From.Major, r.From.Minor)
	switch {
	case r.Below.IsZero():
		return from + " and later"
	case r.Below == Version{Major: r.From.Major + 1} && r.From.Minor == 0:
		return fmt.Sprintf("%d.x", r.From.Major)
	case r.Below == Version{Major: r.From.Major, Minor: r.From.Minor + 1}:
		return from
	case r.Below.Minor == 0:
		return fmt.Sprintf("%s to %d.x", from, r.Below.Major-1)
	default:
		return fmt.Sprintf("%s to %d.%d.x", from, r.Below.Major, r.Below.Minor-1)
	}
}

// Row says which protocol a range of firmware speaks and which companion
// versions fit it.
type Row struct {
	Firmware  Range
	Protocol  Protocol
	Companion Range
}

// Table is the compatibility table. Its rows do not overlap in Firmware.
type Table []Row

// DefaultTable is the operators' table:
//
//	firmware  protocol  companion
//	0.1.x     1         0.1.x
//	0.2.x     1         0.1.x, 0.2.x
//	1.0.x     2         1.0.x and later
//
// "Minor versions stay compatible within a major" is taken at its word from
// 1.0 on: firmware 1.4.2 falls under the 1.0.x row. In major 0 it is not: the
// table itself tells 0.1.x from 0.2.x by the companions that fit, so 0.3.x is
// unknown until somebody adds its row. So is 2.x: a major step may break the
// protocol.
func DefaultTable() Table {
	return Table{
		{Firmware: minor(0, 1), Protocol: 1, Companion: minor(0, 1)},
		{Firmware: minor(0, 2), Protocol: 1, Companion: Range{Version{0, 1, 0}, Version{0, 3, 0}}},
		{Firmware: Range{Version{1, 0, 0}, Version{2, 0, 0}}, Protocol: 2, Companion: Range{From: Version{1, 0, 0}}},
	}
}

// minor is the range of all patches of one minor version.
func minor(major uint16, m uint8) Range {
	return Range{From: Version{major, m, 0}, Below: Version{major, m + 1, 0}}
}

// Protocol gives the protocol that the firmware speaks, and false for a
// firmware that the table does not list.
func (t Table) Protocol(fw Version) (Protocol, bool) {
	row, ok := t.row(fw)
	return row.Protocol, ok
}

func (t Table) row(fw Version) (Row, bool) {
	for _, row := range t {
		if row.Firmware.Contains(fw) {
			return row, true
		}
	}
	return Row{}, false
}

// Incompatible is the refusal of a firmware that does not fit the companion.
type Incompatible struct {
	Firmware  Version
	Protocol  Protocol // as advertised, or of the table where nothing was advertised; 0: unknown
	Companion Version
	Reason    string // why it does not fit
	Remedy    string // what would lift the refusal
}

// Error says what does not fit, why, and what would lift it.
func (e *Incompatible) Error() string {
	return fmt.Sprintf("firmware %v and companion %v do not fit: %s; %s", e.Firmware, e.Companion, e.Reason, e.Remedy)
}

// Check tells whether the firmware may be installed beside the companion. It
// gives nil, or an [*Incompatible] that says why not and what would lift it.
// A firmware that is not listed, an advertised protocol that disagrees with
// the table and an unknown companion version are refused. Protocol 0 (nothing
// advertised) leaves the protocol to the table.
func (t Table) Check(fw Version, advertised Protocol, companion Version) error {
	refuse := func(p Protocol, reason, remedy string) error {
		return &Incompatible{Firmware: fw, Protocol: p, Companion: companion, Reason: reason, Remedy: remedy}
	}
	row, ok := t.row(fw)
	if fw.IsZero() {
		return refuse(advertised, "the firmware's version is not known", "name the firmware's version")
	}
	if !ok {
		return refuse(advertised,
			fmt.Sprintf("firmware %v is not in the compatibility table", fw),
			fmt.Sprintf("update the companion to a release that lists firmware %d.%d.x first", fw.Major, fw.Minor))
	}
	if advertised != 0 && advertised != row.Protocol {
		return refuse(advertised,
			fmt.Sprintf("it advertises protocol %d, but firmware %v speaks protocol %d", advertised, row.Firmware, row.Protocol),
			"publish the firmware again with its version and protocol put right")
	}
	switch {
	case companion.IsZero():
		return refuse(row.Protocol, "the companion's version is not known",
			"set the companion's version in the configuration")
	case row.Companion.Contains(companion):
		return nil
	case companion.Compare(row.Companion.From) < 0:
		return refuse(row.Protocol,
			fmt.Sprintf("firmware %v (protocol %d) needs companion %v", row.Firmware, row.Protocol, row.Companion),
			fmt.Sprintf("update the companion to %d.%d.x first", row.Companion.From.Major, row.Companion.From.Minor))
	default:
		return refuse(row.Protocol,
			fmt.Sprintf("firmware %v (protocol %d) fits companion %v only", row.Firmware, row.Protocol, row.Companion),
			t.firmwareFor(companion))
	}
}

// firmwareFor says which firmware would fit the companion.
func (t Table) firmwareFor(companion Version) string {
	for i := len(t) - 1; i >= 0; i-- { // the newest first
		if t[i].Companion.Contains(companion) {
			return fmt.Sprintf("choose a firmware %v, which fits this companion", t[i].Firmware)
		}
	}
	return "choose a companion version that the table lists"
}
