/*
 * governance: budgets for AI usage.
 *
 * The Makefile joins the files of this directory, in the order of their numbers, into the install script.
 *
 * Two conventions hold throughout:
 * - Ids and names are collate "C": every order of text is byte order.
 * - A check constraint uses built-in functions only. It runs with the rights of whoever writes the row, and nothing of
 *   this extension is granted to PUBLIC. What needs more than built-ins is judged by a trigger in C or by a trigger
 *   function with the owner's rights. The comment on a constraint is the rule in words; the catalog functions quote it.
 */
\echo Use "CREATE EXTENSION governance" to load this file. \quit

