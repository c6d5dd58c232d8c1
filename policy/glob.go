// SPDX-License-Identifier: Apache-2.0

package policy

// glob reports whether text matches pattern as a whole. In a pattern "*"
// stands for any run of characters without sep and "**" for any run at all;
// everything else stands for itself. It works in the product of the lengths,
// because patterns and text may both be hostile.
func glob(pattern, text string, sep byte) bool {
	// reach[i] says that the pattern so far matches text[:i].
	reach := make([]bool, len(text)+1)
	reach[0] = true
	for p := 0; p < len(pattern); p++ {
		if pattern[p] != '*' {
			for i := len(text); i > 0; i-- {
				reach[i] = reach[i-1] && text[i-1] == pattern[p]
			}
			reach[0] = false
			continue
		}
		deep := p+1 < len(pattern) && pattern[p+1] == '*'
		if deep {
			p++
		}
		for i := 1; i <= len(text); i++ {
			reach[i] = reach[i] || reach[i-1] && (deep || text[i-1] != sep)
		}
	}
	return reach[len(text)]
}

// globAny reports whether text matches one of the patterns.
func globAny(patterns []string, text string, sep byte) bool {
	for _, p := range patterns {
		if glob(p, text, sep) {
			return true
		}
	}
	return false
}
