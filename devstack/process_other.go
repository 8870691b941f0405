//go:build !linux

package devstack

import "syscall"

// processAttributes puts the process into a group of its own, under the given
// user. Without Linux there is no parent-death signal: after a kill of the
// parent its processes must be ended by hand.
func processAttributes(user *syscall.Credential, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user, Setpgid: true}
}
