// Package authority holds a client's response authority: the signed rules of who may isolate and release what, and the
// rulings that follow from them.
package authority
