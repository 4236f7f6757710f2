package controltest

import (
	"slices"
	"sync"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Keys satisfies control.Keys. Its fields are set before it is used.
type Keys struct {
	Ring   keyring.Report
	Err    error // answers Update, where it is set
	Stands bool  // Update finds the document in force already

	mu    sync.Mutex
	taken []string
	from  string
}

// Report is Ring.
func (k *Keys) Report() keyring.Report { return k.Ring }

// Update notes the document.
func (k *Keys) Update(document []byte, from string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken, k.from = append(k.taken, string(document)), from
	return k.Err == nil && !k.Stands, k.Err
}

// Taken are the documents so far, and who brought the last.
func (k *Keys) Taken() (documents []string, from string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.taken), k.from
}
