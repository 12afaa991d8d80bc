/*
 * keep_window.h
 *		Rules for the windows of budgets and defaults.
 */
#ifndef GOV_KEEP_WINDOW_H
#define GOV_KEEP_WINDOW_H

#include "rules/keep_row.h"

extern void gov_keep_check_windows(const GovKeptRow *row, Relation table);
extern bool gov_keep_windows_differ(const GovKeptRow *row, const GovKeptRow *before, Relation table);
extern bool gov_keep_has_same_window(const GovKeptRow *one, const GovKeptRow *other);

#endif							/* GOV_KEEP_WINDOW_H */
