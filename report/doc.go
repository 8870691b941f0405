// Package report composes what people read and hear: mails, short messages, spoken texts, each in the reader's language.
//
// All words are in the files of languages/, one per language; a further language is a further file with the same
// blocks. What surrounds the words of a mail is in mails/. Text in them may have been written by attackers. It is
// escaped by construction and indicators are defanged.
package report
