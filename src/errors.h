/*
 * errors.h
 *		Errors that more than one place raises.
 */
#ifndef GOV_ERRORS_H
#define GOV_ERRORS_H

#include "postgres.h"

#define GOV_ERRCODE_DENIED		MAKE_SQLSTATE('G', 'V', '0', '0', '1')
#define GOV_ERRCODE_UNGOVERNED	MAKE_SQLSTATE('G', 'V', '0', '0', '2')

extern void gov_raise_null_argument(const char *argument) pg_attribute_noreturn();
extern void gov_raise_not_preloaded(void) pg_attribute_noreturn();
extern void gov_raise_cache_full(void) pg_attribute_noreturn();
extern void gov_raise_overflow(void) pg_attribute_noreturn();

#endif							/* GOV_ERRORS_H */
