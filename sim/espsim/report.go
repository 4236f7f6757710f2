package espsim

import "context"

// Report says what lies in flash and what would boot.
func (c *Chip) Report() FlashReport {
	s, err := c.table()
	if err != nil {
		return FlashReport{Problem: err.Error()}
	}
	var r FlashReport
	for _, p := range s.rows {
		r.Partitions = append(r.Partitions, PartitionStatus{
			Label: p.label, Type: p.typ, Subtype: p.subtype, Offset: p.offset, Size: p.size,
		})
	}
	e := [2]otaEntry{{seq: 0xFFFFFFFF}, {seq: 0xFFFFFFFF}}
	if s.otadata.size >= 2*sectorSize {
		e = c.readOTA(s.otadata)
		for _, e := range e {
			o := OTAEntry{Seq: e.seq, State: stateName(e.state), Valid: e.seq != 0xFFFFFFFF && e.crc == seqCRC(e.seq)}
			if o.Valid && s.count > 0 {
				o.Slot = slotName(int((e.seq - 1) % uint32(s.count)))
			}
			r.OTAData = append(r.OTAData, o)
		}
	}
	for i := factoryIndex; i < s.count; i++ {
		if p := s.at(i); p.size > 0 {
			r.Slots = append(r.Slots, c.slotStatus(p, i, e, s.count))
		}
	}
	ch, err := c.choose(context.Background(), &s, false)
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	if b := c.load(&s, ch.index); b != nil {
		r.NextBoot = slotName(b.index)
	}
	return r
}

func (c *Chip) slotStatus(p partition, i int, e [2]otaEntry, count int) SlotStatus {
	st := SlotStatus{Slot: slotName(i), Offset: p.offset, Size: p.size, OTAState: slotState(e, i, count)}
	a, err := c.try(p)
	if err != nil {
		st.Problem = err.Error()
		return st
	}
	st.Valid, st.Version, st.Project, st.SHA256, st.Sum = true, a.version, a.project, a.digest, a.sum
	return st
}

// Inspect is Report over the contents of a flash, without a chip.
func Inspect(flash []byte, tableOffset uint32, rollback bool) (FlashReport, error) {
	if err := checkSize(len(flash)); err != nil {
		return FlashReport{}, err
	}
	cfg := Config{TableOffset: tableOffset, Rollback: rollback}.withDefaults()
	c := &Chip{cfg: cfg, log: cfg.Logger, model: modelOf(cfg.Model), nor: &nor{data: flash}}
	return c.Report(), nil
}
