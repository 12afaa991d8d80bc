/* ---------------------------------------------------------------------------------------------------------------- */
/* Recounting                                                                                                       */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_raise_barrier(owner_id text)
returns void
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_raise_barrier_1_1';

comment on function @extschema@._gov_raise_barrier(text) is
    'internal: waits for the transactions that have used this owner, and keeps all other calls of it waiting to the end of this one; refuses a transaction that has used it itself (55000)';
