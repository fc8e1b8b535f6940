// Package cart totals a cart.
package cart

import "example.com/shop"

// Total is what all of it costs.
func Total(prices ...int) int {
	sum := 0
	for _, price := range prices {
		sum = shop.Add(sum, price)
	}
	return sum
}
