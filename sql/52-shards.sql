/* ---------------------------------------------------------------------------------------------------------------- */
/* Shards, and owners that move from one to another                                                                 */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_shard(owner_id text, shards int)
returns int
language c
immutable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_shard_owner_1_1';

comment on function @extschema@.gov_shard(text, int) is
$$Which of several servers an owner is at home on. The same for ever, on every version and platform.

owner_id: one of the vendor's customers, whether anything is known of it or not; shards: how many there are, 1 or more
result: 0 to shards - 1: the jump consistent hash (Lamping and Veach) of gov_shard_key(owner_id), so that one shard more moves
    one owner in so many, to the new one, and no other; null for a null argument
errors: 22023 shards below 1
since: 1.1.0$$;

create function @extschema@.gov_shard(reservation_id uuid, shards int)
returns int
language c
immutable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_shard_hold_1_1';

comment on function @extschema@.gov_shard(uuid, int) is
$$Which of several servers a hold is on: that of its owner.

reservation_id: what reserving has returned; shards: how many there are, 1 or more
result: 0 to shards - 1, as for its owner; null for an id that does not say whose it is, as those from before 1.1.0: ask every
    shard; null for a null argument
errors: 22023 shards below 1
since: 1.1.0$$;

create function @extschema@.gov_shard_key(owner_id text)
returns bigint
language c
immutable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_shard_key_owner_1_1';

comment on function @extschema@.gov_shard_key(text) is
$$The 48 bits by which an owner and its holds are found: what a table of owners that have moved is keyed by.

owner_id: one of the vendor's customers, whether anything is known of it or not
result: the first six bytes of the SHA-256 of owner_id in UTF-8, as a number, the most significant byte first; null for null
since: 1.1.0$$;

create function @extschema@.gov_shard_key(reservation_id uuid)
returns bigint
language c
immutable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_shard_key_hold_1_1';

comment on function @extschema@.gov_shard_key(uuid) is
$$The 48 bits by which the owner of a hold is found.

reservation_id: what reserving has returned, a UUID of version 8 whose first six bytes they are
result: as of its owner; null for an id that does not say whose it is, as those from before 1.1.0, and for null
since: 1.1.0$$;

create function @extschema@.gov_freeze_owner(owner_id text)
returns boolean
language c
as 'MODULE_PATHNAME', 'gov_freeze_owner_1_1';

comment on function @extschema@.gov_freeze_owner(text) is
$$Freezes an owner, from the commit on, in every session: it takes no writing call and no change of its catalog (GV003), and checks
answer Frozen. When it returns, no call of the owner is in flight, and nobody has a change of its catalog open; both are waited for,
and the owner's calls wait until the commit. It is for moving the owner to another server, and stays in force when the owner is
deleted. Reports go on, and so do the rollup, retention, and the expiry of holds.

owner_id: one of the vendor's customers, whether anything is known of it or not
result: false when it was frozen before
errors: 22004 null, 22023 malformed id; 42501 not the session's owner; 55000 the transaction has used the owner itself, or the
    library is not preloaded; 25006 read only; 55P03 lock_timeout
since: 1.1.0$$;

create function @extschema@.gov_thaw_owner(owner_id text)
returns boolean
language c
as 'MODULE_PATHNAME', 'gov_thaw_owner_1_1';

comment on function @extschema@.gov_thaw_owner(text) is
$$Ends what gov_freeze_owner has begun, from the commit on. An owner may be thawed on one server only: two would both grant.

owner_id: one of the vendor's customers
result: false when it was not frozen
errors: 22004 null, 22023 malformed id; 42501 not the session's owner; 55000 the owner is not imported to the end
    (gov_import_owner), or the library is not preloaded; 25006 read only
since: 1.1.0$$;
