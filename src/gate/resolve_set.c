/*
 * resolve_set.c
 *		The resolved set: entities, each once, found by id.
 *
 * PURPOSE
 *		A call may name a thousand entities with chains of their own, and a
 *		scope asks for each of its ids whether it is in the set, all under the
 *		stripe's lock: so it is a hash table, open addressing over the array of
 *		entities.
 *
 * INVARIANTS
 *		Slots are cleared by what is in the set, not as a whole: what one large
 *		call has made them grow to costs the next small ones nothing.  The set
 *		keeps the slot of each entity for that, because the entity itself may be
 *		gone by then.
 */
#include "postgres.h"

#include "gate/resolve_walk.h"

void
gov_resolve_set_clear(GovResolution *out)
{
	for (int i = 0; i < out->nentities; i++)
		out->slots[out->entities[i].slot] = 0;
	out->nentities = 0;
}

/* The slot that an id is in, or the empty one that it would go to. */
static uint32
slot_of(const GovResolution *out, const char *id, uint32 id_length, uint32 hash)
{
	uint32		slot = hash & (out->nslots - 1);

	while (out->slots[slot] != 0)
	{
		const GovEntity *entity = out->entities[out->slots[slot] - 1].entity;

		if (entity->id_hash == hash && gov_chars_are(gov_entity_id(entity), id, id_length))
			break;
		slot = (slot + 1) & (out->nslots - 1);
	}
	return slot;
}

/* The index of an entity, or -1. */
int
gov_resolve_set_find(const GovResolution *out, const char *id, uint32 id_length, uint32 hash)
{
	if (out->nentities == 0)
		return -1;
	return out->slots[slot_of(out, id, id_length, hash)] - 1;
}

/* Add an entity that is not in the set; its index, or -1 if there is no room. */
int
gov_resolve_set_add(GovResolution *out, const GovEntity *entity)
{
	GovResolvedEntity *resolved;

	if (out->nentities >= out->entities_capacity)
		return -1;
	resolved = &out->entities[out->nentities];
	memset(resolved, 0, sizeof(*resolved));
	resolved->entity = entity;
	resolved->parent = -1;
	resolved->slot = slot_of(out, gov_entity_id(entity)->bytes,
							 gov_entity_id(entity)->length, entity->id_hash);
	Assert(out->slots[resolved->slot] == 0);
	out->slots[resolved->slot] = ++out->nentities;
	return out->nentities - 1;
}
