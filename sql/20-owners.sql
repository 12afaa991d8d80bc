/* ---------------------------------------------------------------------------------------------------------------- */
/* Owners: what a session may see and change (src/base/owner.c, src/rules/policy.c)                                 */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_owner_support(internal)
returns internal
language c
strict
as 'MODULE_PATHNAME', 'gov_owner_support_1_0';

comment on function @extschema@._gov_owner_support(internal) is 'internal: tells the planner what the two functions below come to in this session';

create function @extschema@.gov_pinned_owner()
returns text
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_pinned_owner_1_0';

comment on function @extschema@.gov_pinned_owner() is
$$The owner that the session is pinned to by governance.owner.

result: the owner, null when the session is not pinned$$;

create function @extschema@.gov_owner_visible(owner_id text)
returns boolean
language c
stable
parallel safe
support @extschema@._gov_owner_support
as 'MODULE_PATHNAME', 'gov_owner_visible_1_0';

comment on function @extschema@.gov_owner_visible(text) is
$$Whether the session may see an owner: the row-level security policy of the tables, and of yours that have a column for the owner.

owner_id: one of the vendor's customers
result: in a pinned session whether it is the one pinned to; otherwise whether the role may see every owner (profiles reader and
    admin)$$;

create function @extschema@.gov_owner_changeable(owner_id text)
returns boolean
language c
stable
parallel safe
support @extschema@._gov_owner_support
as 'MODULE_PATHNAME', 'gov_owner_changeable_1_0';

comment on function @extschema@.gov_owner_changeable(text) is
$$Whether the session may change what belongs to an owner, as far as its privileges go: the policy of changes.

owner_id: one of the vendor's customers; null: what all owners share
result: in a pinned session whether it is the one pinned to; otherwise whether the role may change every owner (profile admin)$$;

create function @extschema@._gov_require_owner(owner_id text)
returns boolean
language c
stable
as 'MODULE_PATHNAME', 'gov_require_owner_1_0';

create function @extschema@._gov_refuse_cycle(owner_id text, entity_id text)
returns boolean
language c
stable
strict
as 'MODULE_PATHNAME', 'gov_refuse_cycle_1_1';

comment on function @extschema@._gov_refuse_cycle(text, text) is
    'internal: true; refuses an entity that is below itself, or below one that is (23514), and an owner that the session may not see (42501)';

comment on function @extschema@._gov_require_owner(text) is 'internal: true; refuses a null owner (22004) and one that the session may not see (42501)';

create function @extschema@._gov_require_unpinned(call text)
returns boolean
language c
stable
strict
as 'MODULE_PATHNAME', 'gov_require_unpinned_1_0';

comment on function @extschema@._gov_require_unpinned(text) is 'internal: true; refuses a call that concerns every owner in a session pinned to one (42501)';

create function @extschema@._gov_read_every_owner()
returns boolean
language sql
immutable
parallel safe
return true;

comment on function @extschema@._gov_read_every_owner() is 'internal: EXECUTE on it is the right to see every owner in a session that is not pinned';

create function @extschema@._gov_change_every_owner()
returns boolean
language sql
immutable
parallel safe
return true;

comment on function @extschema@._gov_change_every_owner() is
    'internal: EXECUTE on it is the right to change every owner in a session that is not pinned, and locked budgets in any';

