// Package desk takes the requests of people, whichever entrance they came through. It checks the person and the
// request, sends changes to the incident's workflow and answers. For readers it reads the rows that they may see.
//
// The package holds no HTTP and no SQL, and it does not decide what an incident allows: the workflow does.
package desk
