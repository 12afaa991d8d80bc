/*
 * creation.h
 *		Creates the entities that a use names and that are not there yet.
 */
#ifndef GOV_CREATION_H
#define GOV_CREATION_H

#include "nodes/pg_list.h"

#include "gate/gate.h"

/* What has come in the way of one call. */
typedef struct GovCreation
{
	int			conflicts;		/* with others who create the same */
	List	   *given;			/* names of entities that are left to them */
} GovCreation;

extern void gov_creation_lock(const GovRequest *request);
extern bool gov_creation_make(GovCreation *creation, const GovRequest *request, GovUse use,
							  GovResolution *resolution);

#endif							/* GOV_CREATION_H */
