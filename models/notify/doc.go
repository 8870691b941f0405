// Package notify holds who of a client is reached, how and when, and everything that is sent to the outside world about
// it: the plan, notifications, effects, deliveries and calls.
package notify
