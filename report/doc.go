// Package report composes what people read and hear: mails, short messages, spoken texts, each in the reader's
// language.
//
// All words are in the files of languages/, one per language; a further language is a further file with the same
// blocks. The layout of mails is in mails/. Attackers may have written the titles in them: the templates escape every
// text, and indicators are defanged.
package report
