// Package address knows the one form of a mail address. Every address goes through it before it is stored or mailed to,
// so that one mailbox has one name.
package address
