/*
 * governance.c
 *		Entry point of the library.
 *
 * The library can be loaded without shared_preload_libraries; calls that need
 * the engine then raise an error.  A server in binary upgrade runs no calls.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "rules/schema_guard.h"
#include "transaction.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	if (IsBinaryUpgrade)
		return;
	gov_guc_init();
	gov_shmem_init();
	gov_catalog_init();
	gov_schema_guard_init();
	gov_transaction_init();
}
