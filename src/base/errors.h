/*
 * errors.h
 *		Errors that more than one place raises.
 */
#ifndef GOV_ERRORS_H
#define GOV_ERRORS_H

#include "postgres.h"

#include "utils/array.h"

#include "base/compat.h"

#define GOV_ERRCODE_DENIED		MAKE_SQLSTATE('G', 'V', '0', '0', '1')
#define GOV_ERRCODE_UNGOVERNED	MAKE_SQLSTATE('G', 'V', '0', '0', '2')
#define GOV_ERRCODE_FROZEN		MAKE_SQLSTATE('G', 'V', '0', '0', '3')

extern char *gov_error_shown(const char *value);
extern char *gov_error_shown_bytes(const char *bytes, int length);
extern void gov_error_unless_list(const ArrayType *array, const char *argument);
pg_noreturn extern void gov_error_null_argument(const char *argument);
pg_noreturn extern void gov_error_not_preloaded(void);
pg_noreturn extern void gov_error_cache_full(void);
pg_noreturn extern void gov_error_dropped(void);
pg_noreturn extern void gov_error_overflow(void);
pg_noreturn extern void gov_error_stored_amount(void);

#endif							/* GOV_ERRORS_H */
