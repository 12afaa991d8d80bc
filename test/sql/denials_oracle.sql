-- Random calls, some of them rolled back: gov_denials says what their answers have said.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create table helper.told (entity text, name text, reason text, is_check boolean, amount numeric);
-- What an answer says of a denial: the budgets that do not allow it, or who is blocked.
create procedure helper.note(is_check boolean, amount numeric, reason text, chains jsonb)
language plpgsql
as $$
begin
    if reason = 'Blocked' then
        insert into helper.told
        select e.id, null, note.reason, note.is_check, note.amount
        from gov_entities e
        where e.owner_id = 'dice' and e.blocked_at is not null;
    else
        insert into helper.told
        select distinct n ->> 'entityId', n ->> 'name', note.reason, note.is_check, note.amount
        from jsonb_path_query(note.chains, '$[*][*] ? (@.isGranted == false)') as n;
    end if;
end
$$;
create procedure helper.call_at_random(calls int)
language plpgsql
as $$
declare
    all_ids text[] := '{acme,eng,ops,ann,ben,cyd,bot,gpt,opus,nobody}';
    ids text[];
    amount numeric;
    dice int;
    granted boolean;
    reason text;
    chains jsonb;
begin
    for n in 1..calls loop
        ids := array(select i from unnest(all_ids) as i order by random() limit 1 + random() * 2);
        amount := round((random() * 12)::numeric, 3);
        dice := random() * 9;
        if dice < 4 then
            select is_granted, denied_reason, c.chains into granted, reason, chains from gov_check('dice', 'tokens', amount, null, ids) as c;
        elsif dice < 8 then
            select is_granted, denied_reason, c.chains into granted, reason, chains from gov_consume('dice', 'tokens', amount, null, ids) as c;
        else
            select is_granted, denied_reason, c.chains into granted, reason, chains from gov_reserve('dice', 'tokens', amount, null, ids) as c;
        end if;
        if not granted then
            call helper.note(dice < 4, amount, reason, chains);
        end if;
        if dice = 5 and granted then
            begin
                -- the denial outlives what it is in
                select is_granted, denied_reason, c.chains into granted, reason, chains from gov_consume('dice', 'tokens', amount + 100, null, ids) as c;
                raise sqlstate 'XX999';
            exception
                when sqlstate 'XX999' then
                    if not granted then
                        call helper.note(false, amount + 100, reason, chains);
                    end if;
            end;
        end if;
        if n % 100 = 0 then
            perform gov_unblock('dice', e.id) from gov_entities as e where e.owner_id = 'dice' and e.blocked_at is not null;
        elsif n % 100 = 80 then
            perform gov_block('dice', all_ids[1 + (random() * 8)::int]);
        end if;
        if n % 10 = 0 then
            commit;
        end if;
    end loop;
end
$$;
\set ECHO all
call helper.organisation('dice');
insert into gov_assignments (owner_id, entity_id, capability_id, name, scope_entity_ids, usage_limit, cadence, enforcement)
values ('dice', 'acme', 'tokens', '', '{}', 900, 'P100Y', 'hard'),
       ('dice', 'acme', 'tokens', 'soft', '{}', 1, 'P100Y', 'soft'),
       ('dice', 'eng', 'tokens', '', '{}', 300, null, 'hard'),
       ('dice', 'eng', 'tokens', 'gpt', '{gpt}', 60, 'P1Y', 'hard'),
       ('dice', 'ann', 'tokens', '', '{}', 11, 'P1D', 'hard'),
       ('dice', 'cyd', 'tokens', 'a', '{}', 100, null, 'hard'),
       ('dice', 'cyd', 'tokens', 'b', '{}', 90, 'P100Y', 'hard'),
       ('dice', 'gpt', 'tokens', '', '{}', 500, null, 'hard');
select setseed(0.25);
call helper.call_at_random(3000);
select count(*) > 1000 as several, count(distinct (entity, name, reason, is_check)) > 12 as of_all_kinds from helper.told;

-- Until all of it is written.
do $$
begin
    for round in 1..4000 loop
        perform gov_maintain();
        commit;
        exit when (select sum(denied_count) from gov_denials where owner_id = 'dice') >= (select count(*) from helper.told);
        perform pg_sleep(0.005);
    end loop;
end
$$;
create view helper.difference as
with told as
(
    select entity, name, reason, is_check, count(*) as denied, trim_scale(sum(amount)) as amount
    from helper.told
    group by 1, 2, 3, 4
),
written as
(
    select d.entity_id, a.name, d.reason, d.is_check, sum(d.denied_count) as denied, trim_scale(sum(d.amount)) as amount
    from gov_denials d
    left join gov_assignments a on a.id = d.assignment_id
    where d.owner_id = 'dice'
    group by 1, 2, 3, 4
)
(select 'told' as only, t.* from told as t except all select 'told', w.* from written as w)
union all
(select 'written', w.* from written as w except all select 'written', t.* from told as t);
select * from helper.difference order by 2, 3, 4, 5, 1;

-- The last entity is one that a call could have named.
select count(*) from gov_denials where owner_id = 'dice' and not coalesce(last_entity_id = any ('{acme,eng,ops,ann,ben,cyd,bot,gpt,opus}'), false);
select gov_delete_owner('dice');
