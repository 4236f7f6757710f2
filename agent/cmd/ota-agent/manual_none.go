//go:build !docs

package main

import "github.com/spf13/cobra"

// withManual adds nothing to the product.
func withManual(root *cobra.Command) *cobra.Command { return root }
