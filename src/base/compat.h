/*
 * compat.h
 *		What differs between PostgreSQL 15, 16, 17 and 18, under the newest name.
 */
#ifndef GOV_COMPAT_H
#define GOV_COMPAT_H

#include "postgres.h"

#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 150000
#error "governance needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 160000
#include "utils/acl.h"

#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid

static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	Assert(classid == ProcedureRelationId);
	return pg_proc_aclcheck(objectid, roleid, mode);
}

#define gov_insert_index_tuples(rri, slot, estate, no_dup_err, conflict, arbiters) \
	ExecInsertIndexTuples(rri, slot, estate, false, no_dup_err, conflict, arbiters)
#else
#define gov_insert_index_tuples(rri, slot, estate, no_dup_err, conflict, arbiters) \
	ExecInsertIndexTuples(rri, slot, estate, false, no_dup_err, conflict, arbiters, false)
#endif

#if PG_VERSION_NUM < 170000
/* of BLCKSZ bytes each */
#define max_notify_queue_pages	1048576

static inline void
RestrictSearchPath(void)
{
	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
					  PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}
#endif

#if PG_VERSION_NUM < 180000
#define gov_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#else
#define gov_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#endif

/* which transaction of the backend it is */
#if PG_VERSION_NUM < 170000
#define gov_local_transaction()	(MyProc->lxid)
#else
#define gov_local_transaction()	(MyProc->vxid.lxid)
#endif

#if PG_VERSION_NUM < 170000
#define gov_index_insert_cleanup(index, info) ((void) 0)
#else
#define gov_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* GOV_COMPAT_H */
