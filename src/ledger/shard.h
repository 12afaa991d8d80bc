/*
 * shard.h
 *		Which of several servers an owner is at home on.
 */
#ifndef GOV_SHARD_H
#define GOV_SHARD_H

#include "postgres.h"

#include "utils/uuid.h"

extern uint64 gov_shard_key(const char *owner, uint32 length);
extern int32 gov_shard_of(uint64 key, int32 shards);

extern void gov_shard_draw_id(uint64 key, pg_uuid_t *id);
extern bool gov_shard_read_id(const pg_uuid_t *id, uint64 *key);

#endif							/* GOV_SHARD_H */
