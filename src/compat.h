/*
 * compat.h
 *		What differs between PostgreSQL 15, 16, 17 and 18, under the newest name.
 */
#ifndef GOV_COMPAT_H
#define GOV_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "governance needs PostgreSQL 15 or later"
#endif

#endif							/* GOV_COMPAT_H */
