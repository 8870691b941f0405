// Package desk is where a person asks for something, through whichever door they came: it checks who asks and
// what, sends changes to the incident's workflow and answers; and it reads for people what they may see.
//
// It holds no HTTP and no SQL, and it does not decide what an incident allows: the workflow does.
package desk
