/* Blocks: what involves a blocked entity is denied, whatever its budgets say */

create function @extschema@._gov_require_entity(owner_id text, entity_id text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@._gov_require_owner($1);
    if $2 is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "entity_id" must not be null',
            hint = 'gov_list_entities() shows what there is.';
    end if;
    if not exists (select from @extschema@.gov_entities e where e.owner_id = $1 and e.id = $2) then
        raise exception using
            errcode = 'undefined_object',
            message = format('entity "%s" of owner "%s" does not exist', left($2, 200), left($1, 200)),
            hint = 'gov_list_entities() shows what there is.';
    end if;
end
$$;

comment on function @extschema@._gov_require_entity(text, text) is
    'internal: refuses a null argument (22004), an owner that the session may not see (42501), and an entity that there is not (42704)';

create function @extschema@.gov_block(owner_id text, entity_id text, until timestamptz default null, reason text default null)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moment constant timestamptz := @extschema@.gov_now();
begin
    perform @extschema@._gov_require_entity($1, $2);
    until := nullif(until, 'infinity');
    if until <= moment then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "until" is not a time to come',
            detail = format('It is %s, and now it is %s.', until, moment),
            hint = 'Leave it out to block the entity until gov_unblock().';
    end if;
    if reason = '' or length(reason) > 1000 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "reason" must have 1 to 1000 characters',
            detail = format('It has %s.', length(reason)),
            hint = 'Leave it out to give none.';
    end if;

    -- A block that is still in force goes on, with its new end and reason.
    update @extschema@.gov_entities e
    set blocked_at = case when e.blocked_at is null or e.blocked_until <= moment then moment else e.blocked_at end,
        blocked_until = until,
        blocked_reason = reason
    where e.owner_id = $1
        and e.id = $2;
end
$$;

comment on function @extschema@.gov_block(text, text, timestamptz, text) is
$$Blocks an entity: every check, consume, reserve and extend that it or something below it is named in is denied with the reason
Blocked, from the commit on, in every session. What is recorded all the same, by gov_ingest or gov_settle, counts; open holds stay.
Limits stay as they are. To block a blocked entity again changes until and reason.

owner_id: one of the vendor's customers; entity_id: of its entities; until: when the block ends by itself (null: not before
    gov_unblock()); reason: for people to read, 1 to 1000 characters
errors: GV003 the owner is frozen; 22004 null owner or entity; 22023 until not in the future, reason too long; 42501 an owner that the session may not see or
    change; 42704 unknown entity
since: 1.1.0$$;

create function @extschema@.gov_unblock(owner_id text, entity_id text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moment constant timestamptz := @extschema@.gov_now();
    was_blocked boolean;
begin
    perform @extschema@._gov_require_entity($1, $2);
    select e.blocked_at is not null and (e.blocked_until > moment) is not false
    into was_blocked
    from @extschema@.gov_entities e
    where e.owner_id = $1
        and e.id = $2
    for no key update;

    update @extschema@.gov_entities e
    set blocked_at = null,
        blocked_until = null,
        blocked_reason = null
    where e.owner_id = $1
        and e.id = $2
        and e.blocked_at is not null;
    return was_blocked;
end
$$;

comment on function @extschema@.gov_unblock(text, text) is
$$Ends the block of an entity, from the commit on.

owner_id: one of the vendor's customers; entity_id: of its entities
result: whether it was blocked; of a block that had ended by itself false
errors: GV003 the owner is frozen; 22004 null argument; 42501 an owner that the session may not see or change; 42704 unknown entity
since: 1.1.0$$;

/* Moving a part of a tree */

create function @extschema@.gov_move_entity(owner_id text, id text, parent_id text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if $2 is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "id" must not be null',
            hint = 'gov_list_entities() shows what there is.';
    end if;
    perform @extschema@._gov_require_entity($1, $2);
    if not has_column_privilege('@extschema@.gov_entities'::regclass, 'parent_id', 'update') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'permission denied to move entities',
            detail = format('Role "%s" may not change where entities stand.', current_user);
    end if;
    perform @extschema@._gov_allow_move($1, $2, $3);

    update @extschema@.gov_entities e
    set parent_id = $3
    where e.owner_id = $1
        and e.id = $2
        and e.parent_id is distinct from $3;
end
$$;

comment on function @extschema@.gov_move_entity(text, text, text) is
$$Moves an entity with all that is below it. Usage stays where it was recorded: the former ancestors keep what they were charged,
and the new ones count from now on.

owner_id: one of the vendor's customers; id: of the entity; parent_id: the entity that it is to stand below (null: a root)
errors: GV003 the owner is frozen; 22004 null owner or id; 23503 unknown parent; 23514 into what is below it, limits past a strict budget; 42501 an owner that
    the session may not see or change; 42704 unknown entity; 54000 more than 64 entities in a chain
since: 1.1.0$$;
