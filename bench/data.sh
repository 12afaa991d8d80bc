# Sourced by bench/run: the databases and the scripts for pgbench.

# Enough for all budgets of the largest owner, and a tenth more.
cache_size() {
	printf '%s\n' $BUDGETS | sort -n | tail -n 1 | awk '{mb = $1 * 700 / 1000000; printf "%dMB\n", mb < 128 ? 128 : mb}'
}

# Entities and budgets, written as the triggers would: org, dept-N, team-N, user-N, each with ten below it, and agents.
write_tree() { # DATABASE OWNER AGENTS
	run_sql -d "$1" >/dev/null <<-SQL
		begin;
		alter table gov_entities disable trigger all;
		alter table gov_assignments disable trigger all;
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select '$2', 'org-1', 'org', null
		union all select '$2', 'dept-' || n, 'dept', 'org-1' from generate_series(1, ceil($3 / 1000.0)::int) as n
		union all select '$2', 'team-' || n, 'team', 'dept-' || (n - 1) / 10 + 1 from generate_series(1, ceil($3 / 100.0)::int) as n
		union all select '$2', 'user-' || n, 'user', 'team-' || (n - 1) / 10 + 1 from generate_series(1, ceil($3 / 10.0)::int) as n
		union all select '$2', 'agent-' || n, 'agent', 'user-' || (n - 1) / 10 + 1 from generate_series(1, $3) as n;
		insert into gov_assignments (id, owner_id, entity_id, capability_id, usage_limit, cadence, counter_id)
		select gen_random_uuid(), owner_id, id, 'calls', 1000000000, 'P1M', nextval('gov_counter_seq') from gov_entities where owner_id = '$2';
		alter table gov_entities enable trigger all;
		alter table gov_assignments enable trigger all;
		commit;
		select gov_refresh();
	SQL
}

# An entity under another, 32 deep; and a chain of five with 20 budgets.
write_chains() {
	run_sql >/dev/null <<-'SQL'
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select 'deep', 'level-' || n, 'team', case when n > 1 then 'level-' || n - 1 end from generate_series(1, 32) as n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
		select owner_id, id, 'calls', 1000000000, 'P1M' from gov_entities where owner_id = 'deep';
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, name)
		select owner_id, id, 'calls', 1000000000, cadence, cadence
		from gov_entities, unnest('{P1Y,P1M,P1W,P1D}'::text[]) as cadence where owner_id = 'many';
	SQL
}

# Requests and dollars on the chain of agent-1, beside calls.
make_meters() {
	run_sql >/dev/null <<-'SQL'
		insert into gov_capabilities (id) values ('requests'), ('dollars') on conflict do nothing;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
		select a.owner_id, a.entity_id, c.id, a.usage_limit, a.cadence
		from gov_assignments a, gov_capabilities c
		where a.owner_id = 'acme' and a.capability_id = 'calls' and a.entity_id in ('org-1', 'dept-1', 'team-1', 'user-1', 'agent-1') and c.id in ('requests', 'dollars')
		on conflict do nothing;
	SQL
}

# Three chains of five budgets, of which the root's is an ordinary one, a pool with three grants, and one with 256.
make_pools() {
	run_sql >/dev/null <<-'SQL'
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select o, id, type_id, parent_id
		from unnest('{plain,pool-3,pool-256}'::text[]) o,
			(values ('org', 'org', null), ('dept', 'dept', 'org'), ('team', 'team', 'dept'), ('user', 'user', 'team'), ('agent', 'agent', 'user')) v (id, type_id, parent_id)
		on conflict do nothing;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, is_pool)
		select o, id, 'calls', case when not is_pool then 1000000000 end, case when not is_pool then 'P1M' end, is_pool
		from unnest('{plain,pool-3,pool-256}'::text[]) o, unnest('{org,dept,team,user,agent}'::text[]) id, lateral (select id = 'org' and o <> 'plain') p (is_pool)
		on conflict do nothing;
		insert into gov_grants (owner_id, assignment_id, amount, expires_at)
		select a.owner_id, a.id, 1000000, timestamptz '2099-01-01' + interval '1 day' * n
		from gov_assignments a, lateral generate_series(1, substring(a.owner_id from '[0-9]+')::int) n
		where a.owner_id like 'pool-%' and a.is_pool;
	SQL
}

# A price list of 300 models, each with a price for batches too.
make_prices() {
	make_meters
	run_sql >/dev/null <<-'SQL'
		insert into gov_prices (capability_id, quantity, match, price, per, valid_from)
		select 'dollars', q, jsonb_build_object('model', 'model-' || n) || batch, n * price * (case batch when '{}' then 1 else 0.5 end), 1000000, '2020-01-01'
		from generate_series(1, 300) n, (values ('input', 2.5), ('cached', 0.25), ('output', 10)) v (q, price), (values (jsonb '{}'), ('{"batch": "true"}')) b (batch);
	SQL
}

# An owner whose users are created by their first use, below one of ten teams, and as many that somebody has made before.
make_users() { # READY-MADE
	run_sql >/dev/null <<-SQL
		update gov_entity_types set attribution_keys = '{teamId}' where id = 'team';
		update gov_entity_types set attribution_keys = '{userId}', on_unknown = 'create', parent_key = 'teamId' where id = 'user';
		alter system set governance.created_entities_max = 10000000;
		select pg_reload_conf();
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select 'users', 'org', 'org', null union all select 'users', 'team-' || n, 'team', 'org' from generate_series(0, 9) as n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
		select owner_id, id, 'calls', 1000000000, 'P1M' from gov_entities where owner_id = 'users';
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select 'users', 'ready-' || n, 'user', 'team-' || n % 10 from generate_series(1, $1) as n;
		create sequence ready_users cache 1;
		create sequence new_users cache 1;
		vacuum analyze gov_entities, gov_assignments;
	SQL
	script consume_ready_made <<-'SQL'
		select nextval('ready_users') as n \gset
		select is_granted from gov_consume('users', 'calls', 1, jsonb_build_object('userId', 'ready-' || :n, 'teamId', 'team-' || :n % 10));
	SQL
	script consume_first_use <<-'SQL'
		select nextval('new_users') as n \gset
		select is_granted from gov_consume('users', 'calls', 1, jsonb_build_object('userId', 'new-' || :n, 'teamId', 'team-' || :n % 10));
	SQL
	script consume_inserted <<-'SQL'
		select nextval('new_users') as n \gset
		begin;
		insert into gov_entities (owner_id, id, type_id, parent_id) values ('users', 'new-' || :n, 'user', 'team-' || :n % 10) on conflict do nothing;
		select is_granted from gov_consume('users', 'calls', 1, jsonb_build_object('userId', 'new-' || :n, 'teamId', 'team-' || :n % 10));
		commit;
	SQL
	script consume_known <<-'SQL'
		\set n random(1, 100)
		select is_granted from gov_consume('users', 'calls', 1, jsonb_build_object('userId', 'ready-' || :n, 'teamId', 'team-' || :n % 10));
	SQL
}

make_data() {
	run_sql >/dev/null <<-'SQL'
		create extension governance;
		select gov_upsert_entity_types('[{"id": "org"}, {"id": "dept"}, {"id": "team"}, {"id": "user"}, {"id": "agent"}]');
		select gov_upsert_capabilities('[{"id": "calls"}]');
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select 'many', id, id, lag(id) over (order by n) from unnest('{org,dept,team,user,agent}'::text[]) with ordinality as e (id, n);
	SQL
	write_chains
	for owner in acme watched; do write_tree postgres "$owner" 1; done
	for owner in $(seq 32); do write_tree postgres "acme-$owner" 1; done
	write_tree postgres zipf 9000
	run_sql >/dev/null <<-'SQL'
		select gov_set_alert_policy('watched', '{50, 80, 90, 100, 120}');
		select gov_ingest('acme', 'calls', 1, null, '{agent-1}');
		-- one index, the values of a use
		create table one_index (id bigint generated always as identity primary key, owner_id text not null, entity_id text not null,
		    amount numeric not null, at timestamptz not null default now());
		create sequence plain_events_id_seq;
		create table plain_events (like gov_events including all);
		alter table plain_events alter id set default nextval('plain_events_id_seq');
		create table bare (number int);
		vacuum analyze;
	SQL
}

# The very row that gov_ingest wrote.
plain_insert() {
	run_sql -c "
		select format('insert into plain_events (owner_id, capability_id, amount, entity_ids, dimensions, caller,
		                   occurred_at, recorded_at, counter_ids, window_starts, window_ends)
		               values (%L, %L, %L, %L, %L, %L, now(), now(), %L, %L, %L);',
		              owner_id, capability_id, amount, entity_ids, dimensions, caller,
		              counter_ids, window_starts, window_ends)
		from gov_events order by id limit 1" | tr '\n' ' '
}

# What one would write without an extension, and well: the rows locked in one order (no deadlocks), the hot root last,
# charged by one statement that checks them too, updated in place (fillfactor), no windows, no keys.
make_counter_rows() {
	run_sql <<-SQL
		create table counters (id int primary key, usage_limit numeric not null, used numeric not null default 0) with (fillfactor = 20);
		insert into counters select n, 1000000000 from generate_series(1, 5) as n;
		create function counter_rows(ids int[], requested numeric) returns boolean
		language plpgsql
		as \$\$
		declare
		    charged int;
		begin
		    update counters as c
		    set used = c.used + requested
		    from (select id from counters where id = any (ids) order by id for no key update) as locked
		    where c.id = locked.id
		        and c.used + requested <= c.usage_limit;
		    get diagnostics charged = row_count;
		    if charged < cardinality(ids) then
		        raise exception 'over the limit';
		    end if;
		    $(cat "$SANDBOX/insert_events.sql")
		    return true;
		end
		\$\$;
	SQL
}

# Requests as a gateway would send them, which the server has to parse each time. Keys are new each time: "@" is the call's number.
write_many() {
	run_sql >/dev/null <<-'SQL'
		create table requests (is_keyed boolean, items text);
		insert into requests
		select k, jsonb_agg(jsonb_build_object('ownerId', 'acme', 'capabilityId', 'calls', 'amount', 1, 'entityIds', array['agent-1'])
		    || case when k then jsonb_build_object('idempotencyKey', '@-' || n) else '{}' end)::text
		from generate_series(1, 200) as n, (values (false), (true)) as v (k)
		group by k;
		create sequence calls_of_many;
	SQL
	script consume_many <<<"select m.* from requests r, gov_consume_many(r.items::jsonb) m where not is_keyed;"
	script consume_many_keys <<-'SQL'
		select nextval('calls_of_many') as n \gset
		select m.* from requests r, gov_consume_many(replace(r.items, '@', :n::text)::jsonb) m where is_keyed;
	SQL
	script ingest_many_200 <<<"select m.* from requests r, gov_ingest_each(r.items::jsonb) m where not is_keyed;"
	for name in consume_many consume_many_keys ingest_many_200; do RUNNERS[$name]=run_many; done
}

script() { cat >"$SANDBOX/$1.sql"; }	# NAME

write_scripts() {
	script select_1 <<<"select 1;"
	script bare_commit <<<"insert into bare values (1);"
	script insert_1_index <<<"insert into one_index (owner_id, entity_id, amount) values ('acme', 'agent-1', 1);"
	script insert_events < <(plain_insert)
	make_counter_rows
	script counter_rows <<<"select counter_rows('{1,2,3,4,5}', 1);"
	script gov_allowed <<<"select gov_allowed('acme', 'calls', 1, null, '{agent-1}');"
	script gov_check <<<"select is_granted from gov_check('acme', 'calls', 1, null, '{agent-1}');"
	script gov_ingest <<<"select event_id from gov_ingest('acme', 'calls', 1, null, '{agent-1}');"
	script gov_consume <<<"select is_granted from gov_consume('acme', 'calls', 1, null, '{agent-1}');"
	script ingest_watched <<<"select event_id from gov_ingest('watched', 'calls', 1, null, '{agent-1}');"
	script consume_32_owners <<-'SQL'
		\set n random(1, 32)
		select is_granted from gov_consume('acme-' || :n, 'calls', 1, null, '{agent-1}');
	SQL
	script consume_zipf <<-'SQL'
		\set n random_zipfian(1, 9000, 1.07)
		select is_granted from gov_consume('zipf', 'calls', 1, null, array['agent-' || :n]);
	SQL
	write_many
	script allowed_chain_32 <<<"select gov_allowed('deep', 'calls', 1, null, '{level-32}');"
	script allowed_20_budgets <<<"select gov_allowed('many', 'calls', 1, null, '{agent}');"
	script consume_chain_32 <<<"select is_granted from gov_consume('deep', 'calls', 1, null, '{level-32}');"
	script check_meters <<<"select is_granted from gov_check_all('acme', '{\"calls\": 1, \"requests\": 1, \"dollars\": 0.00625}', null, '{agent-1}');"
	script consume_meters <<<"select is_granted from gov_consume_all('acme', '{\"calls\": 1, \"requests\": 1, \"dollars\": 0.00625}', null, '{agent-1}');"
	script consume_apart <<-'SQL'
		begin;
		select is_granted from gov_consume('acme', 'calls', 1, null, '{agent-1}');
		select is_granted from gov_consume('acme', 'requests', 1, null, '{agent-1}');
		select is_granted from gov_consume('acme', 'dollars', 0.00625, null, '{agent-1}');
		commit;
	SQL
	script consume_plain <<<"select is_granted from gov_consume('plain', 'calls', 1, null, '{agent}');"
	script consume_pool <<<"select is_granted from gov_consume('pool-3', 'calls', 1, null, '{agent}');"
	script consume_pool_256 <<<"select is_granted from gov_consume('pool-256', 'calls', 1, null, '{agent}');"
	script check_plain <<<"select is_granted from gov_check('plain', 'calls', 1, null, '{agent}');"
	script check_pool <<<"select is_granted from gov_check('pool-3', 'calls', 1, null, '{agent}');"
	script check_pool_256 <<<"select is_granted from gov_check('pool-256', 'calls', 1, null, '{agent}');"
	script check_all <<<"select is_granted from gov_check_all('acme', '{\"requests\": 1, \"dollars\": 0.00625}', '{\"model\": \"model-7\"}', '{agent-1}');"
	script check_all_priced <<<"select is_granted from gov_check_all('acme', '{\"requests\": 1, \"dollars\": {\"input\": 900, \"cached\": 4000, \"output\": 300}}', '{\"model\": \"model-7\"}', '{agent-1}');"
	script consume_all <<<"select is_granted from gov_consume_all('acme', '{\"requests\": 1, \"dollars\": 0.00625}', '{\"model\": \"model-7\"}', '{agent-1}');"
	script consume_all_priced <<<"select is_granted from gov_consume_all('acme', '{\"requests\": 1, \"dollars\": {\"input\": 900, \"cached\": 4000, \"output\": 300}}', '{\"model\": \"model-7\"}', '{agent-1}');"
	script consume_20_budgets <<<"select is_granted from gov_consume('many', 'calls', 1, null, '{agent}');"
}
