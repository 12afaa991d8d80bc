/*
 * keep_form.h
 *		Values of budgets and defaults in the form in which they are stored.
 */
#ifndef GOV_KEEP_FORM_H
#define GOV_KEEP_FORM_H

#include "rules/keep_row.h"

extern void gov_keep_in_form(GovKeptRow *row, Relation table);

#endif							/* GOV_KEEP_FORM_H */
