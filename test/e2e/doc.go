// Package e2e holds the tests of the whole system: real PostgreSQL, a real Temporal server, the product's own binary
// as separate processes, and simulated vendors in place of the real ones. The package holds tests only.
//
// The tests assert facts that the outside can know: the answers of the public API, the simulators' journals and
// effects, and the view of an operator in Temporal. No test looks into the product's database.
//
// WATCHFIRE_SEED repeats the pauses of the test that kills at random, which prints the seed it used.
// WATCHFIRE_RECORD_HISTORIES names a folder into which some tests write the histories of their workflows, for the
// replay tests: those of an incident's life, of calls about an approval, of an accepted risk and of a reset.
package e2e
