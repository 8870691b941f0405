// Package chaos breaks everything at once and then counts. It holds tests only.
//
// Incidents live on a whole stack (real PostgreSQL, a real Temporal server, two workers and the API as processes of
// their own, simulated vendors in the test) while a nemesis kills and stops the processes, vendors lose, delay and
// double their answers, one workflow is reset and one is terminated. The drivers are the SOC and the clients: they use
// the public API alone, repeat a request under its idempotency key until it is answered, and keep what was answered.
//
// Two scenes are played in every run: two incidents that isolate and release the same devices, and an isolation whose
// answer is lost, which comes late, and is released meanwhile. The SOC completes the tasks about devices that changed.
//
// When everything runs again, the oracle judges from what the vendors really did and from what was answered: nothing
// lost, nothing twice, every critical incident acknowledged or alarmed, every device in the state last wanted, and
// store, engine and vendors telling the same. Each check is proven by TestOracle, which breaks the product on purpose.
//
// Everything that is drawn follows from the seed, which is printed: what the drivers ask, what is broken when, and
// which answers the vendors spoil. How the processes interleave does not.
package chaos
