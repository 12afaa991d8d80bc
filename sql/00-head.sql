/*
 * governance: budgets for AI usage.
 *
 * The Makefile joins the files of this directory, in the order of their numbers, into the install script.
 *
 * Whoever may create in the extension's schema must not get code of his run by what is defined here, with the rights of
 * the extension's owner or of whoever calls. So nothing is looked up there by chance:
 * - This script, and every function that is not parsed when it is made, run with a search_path of pg_catalog and pg_temp.
 *   What is ours is named with its schema, also in strings that become statements.
 * - A call of one of our functions has arguments of exactly its types, and all of them: another function of that name
 *   in the schema could match it better, had it to convert an argument or to fill in a default.
 *
 * Two more conventions hold throughout:
 * - Ids and names are collate "C": every order of text is byte order.
 * - A check constraint uses built-in functions only. It runs with the rights of whoever writes the row, and nothing of
 *   this extension is granted to PUBLIC. What needs more than built-ins is judged by a trigger in C or by a trigger
 *   function with the owner's rights. The comment on a constraint is the rule in words; the catalog functions quote it.
 */
\echo Use "CREATE EXTENSION governance" to load this file. \quit

set local search_path = pg_catalog, pg_temp;

