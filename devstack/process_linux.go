package devstack

import "syscall"

// processAttributes puts the process into a group of its own, under the given
// user, with a signal the kernel sends when the starting thread ends.
func processAttributes(user *syscall.Credential, deathSignal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: user, Setpgid: true, Pdeathsig: deathSignal}
}
