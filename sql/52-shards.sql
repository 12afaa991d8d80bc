/* ---------------------------------------------------------------------------------------------------------------- */
/* Shards                                                                                                           */
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
