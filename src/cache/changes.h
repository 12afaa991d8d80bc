/*
 * changes.h
 *		What this transaction has changed in the catalog.
 */
#ifndef GOV_CHANGES_H
#define GOV_CHANGES_H

#include "postgres.h"

extern void gov_changes_note_entity(const char *owner, uint32 owner_length,
									const char *id, uint32 id_length);
extern void gov_changes_note_owner(const char *owner, uint32 owner_length);
extern void gov_changes_note_types(void);
extern void gov_changes_note_prices(void);
extern void gov_changes_note_frozen(void);
extern void gov_changes_note_deleted(const char *owner, uint32 owner_length);
extern void gov_changes_note_everything(void);
extern void gov_changes_note_truncate(void);

extern bool gov_changes_has_owner(const char *owner, uint32 owner_length);
extern bool gov_changes_has_truncated(void);
extern bool gov_changes_has_types(void);
extern bool gov_changes_has_prices(void);
extern bool gov_changes_has_frozen(void);
extern bool gov_changes_is_empty(void);
extern uint64 gov_changes_count(void);

extern void gov_changes_before_commit(void);
extern void gov_changes_commit(void);
extern void gov_changes_drop_deleted(void);
extern void gov_changes_abort(void);

#endif							/* GOV_CHANGES_H */
