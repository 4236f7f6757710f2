//go:build !race

package daytest

const racing = false
