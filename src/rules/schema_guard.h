/*
 * schema_guard.h
 *		Keeps the extension's schema under its name.
 */
#ifndef GOV_SCHEMA_GUARD_H
#define GOV_SCHEMA_GUARD_H

extern void gov_schema_guard_init(void);

#endif							/* GOV_SCHEMA_GUARD_H */
