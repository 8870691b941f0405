// Package report composes documents for people: mails now, PDFs and calendar invitations beside them.
//
// Text in them may have been written by attackers. It is escaped by construction and indicators are defanged.
package report
