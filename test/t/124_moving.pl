# An owner moves to another server: what there is of it here is then there, and the same. The other server is another database, whose
# own numbers collide with those that come.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('moving', conf => "max_worker_processes = 0\nwal_level = replica\nrestart_after_crash = on");

sub here { return $node->safe_psql('postgres', $_[0]); }
sub there { return $node->safe_psql('shard', $_[0]); }
sub raises_there { my ($sql, @rest) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return gov_raises($node, 'shard', $sql, @rest); }

# ---------------------------------------------------------------- an owner with some of everything

my $vendor = q{
	select gov_upsert_entity_types('[{"id": "org", "attributionKeys": ["orgId"]}, {"id": "user", "attributionKeys": ["userId"]}, {"id": "model", "attributionKeys": ["model"]}]');
	select gov_upsert_capabilities('[{"id": "tokens"}, {"id": "calls"}, {"id": "dollars", "kind": "credit"}, {"id": "streams", "kind": "concurrency"}]')};
here($vendor);
here(q{
	insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'tokens', 50000, 'P1M');
	insert into gov_prices (capability_id, quantity, price) values ('dollars', 'input', 0.001)});

# Delete the events that were recorded in a database so far.
sub prune
{
	my ($db) = @_;

	gov_roll_up($node, $db);
	gov_set($node, 'governance.event_retention', '1s');
	$node->poll_query_until($db, 'select count(*) = 0 or gov_maintain() is null from gov_events') or die 'events stay';
	gov_set($node, 'governance.event_retention', 0);
	return;
}

sub fill
{
	my ($sql, $owner, $prunes) = @_;

	$sql->(qq{
	set governance.reason = 'as agreed';
	insert into gov_entities (owner_id, id, type_id, parent_id, metadata) values
		('$owner', 'root', 'org', null, '{"plan": "gold"}'), ('$owner', 'ann', 'user', 'root', '{}'), ('$owner', 'bob', 'user', 'root', '{}'), ('$owner', 'eve', 'user', 'root', '{}'),
		('$owner', 'm1', 'model', null, '{}');
	insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, alert_thresholds) values
		('$owner', 'root', 'tokens', '{}', '', 100000, 'P1M', '{1,50}'), ('$owner', 'root', 'tokens', '{}', 'day', 50000, 'P1D', null), ('$owner', 'root', 'tokens', '{m1}', '', 70000, null, null),
		('$owner', 'root', 'calls', '{}', '', 1000, 'PT1H', null), ('$owner', 'root', 'dollars', '{}', '', 900, 'P1Y', null), ('$owner', 'root', 'streams', '{}', '', 5, null, null),
		('$owner', 'ann', 'calls', '{}', '', 300, null, null);
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind) values ('$owner', 'root', 'tokens', 'session', 60000, 'PT5H', 'first_use');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool, debt_limit) values ('$owner', 'root', 'dollars', 'credits', true, 10);
	insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence, scope_type_ids) values ('$owner', 'user', 'tokens', 40000, 'P1W', '{model}');
	select gov_grant_credits('$owner', 'root', 'dollars', 40, reference => 'first', name => 'credits');
	select gov_grant_credits('$owner', 'root', 'dollars', 60, now() + interval '10 days', 'second', 50, name => 'credits');
	select gov_boost('$owner', 'root', 'calls', 50, now() + interval '1 hour', 'a busy day');
	select gov_request_increase('$owner', 'ann', 'calls', 10, null, 'please');
	select gov_set_alert_policy('$owner', '{80}');
	insert into gov_prices (owner_id, capability_id, quantity, price) values ('$owner', 'dollars', 'output', 0.01);
	update gov_assignments set usage_limit = 99000 where owner_id = '$owner' and cadence = 'P1M';
	select count(gov_ingest('$owner', 'tokens', 10 + n % 7, jsonb_build_object('userId', (array['ann', 'bob', 'eve'])[n % 3 + 1], 'model', 'm' || n % 2, 'request', n), null,
		case when n % 4 = 0 then 'key-' || n end, now() - (n % 50) * interval '1 hour')) from generate_series(1, 1200) n});
	prune($prunes) if $prunes;
	$sql->(qq{
	select gov_consume_all('$owner', '{"calls": 1, "tokens": 90, "dollars": {"input": 500, "output": 30}}', '{"userId": "ann", "model": "m1"}', null, 'all-' || n) from generate_series(1, 5) n;
	select gov_reverse(event_id, 30, 'refund') from gov_consume('$owner', 'tokens', 50, '{"userId": "bob", "model": "m1"}', null, 'to-refund');
	select gov_consume('$owner', 'dollars', 25, null, '{root}', 'drawn');
	select gov_reserve('$owner', 'tokens', 500, '{"userId": "ann", "model": "m1"}', null, 'hold-1', '1 hour');
	select gov_reserve('$owner', 'dollars', 5, '{"userId": "ann"}', null, 'hold-2', '1 hour');
	select gov_reserve('$owner', 'streams', 1, '{"userId": "ann"}', null, 'stream', '1 hour');
	select gov_settle(reservation_id, 77) from gov_reserve('$owner', 'tokens', 100, '{"userId": "eve"}', null, 'hold-3', '1 hour');
	select gov_settle_all(reservation_id) from gov_reserve_all('$owner', '{"calls": 2, "tokens": 20}', '{"userId": "eve"}', null, 'hold-4', '1 hour');
	select gov_release(reservation_id) from gov_reserve('$owner', 'tokens', 100, '{"userId": "eve"}', null, 'hold-5', '1 hour');
	select is_granted from gov_consume('$owner', 'tokens', 1000000, null, '{root}', 'denied');
	select gov_block('$owner', 'eve', reason => 'left');
	update gov_assignments set cadence = 'P2W' where owner_id = '$owner' and name = 'day';
	select gov_ingest('$owner', 'tokens', 5, '{"userId": "ann"}');
	select count(gov_recount(id, (select events_deleted_to + interval '1 microsecond' from gov_rollup_state), 'tree')) from gov_assignments where owner_id = '$owner' and scope_entity_ids = '{m1}';
	select gov_forget_entity('$owner', 'bob', 'somebody');
	select gov_ingest('$owner', 'tokens', 6, '{"userId": "ann", "model": "m1"}');
	select gov_maintain(); select gov_maintain()});
	return;
}

fill(\&here, 'acme', 'postgres');
fill(\&here, 'other');

# What is not moved: that the owner is frozen here, and that it came from elsewhere; and nobody is being forgotten.
my $owned = here(q{
	select string_agg(distinct c.relname, ' ' order by c.relname) from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'r' join pg_attribute a on a.attrelid = c.oid and a.attname = 'owner_id'
	where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and c.relname not in ('gov_frozen_owners', 'gov_imports', 'gov_forgotten')});
is(here(q{select string_agg(distinct relation, ' ' order by relation) from _gov_moved_tables()}), $owned, 'every table that has owners is moved');
is(here(q{select string_agg(a.attname || ' of ' || c.relname, ', ' order by c.relname, a.attname) from _gov_moved_tables() m join pg_class c on c.oid = m.relation::regclass join pg_attribute a on a.attrelid = c.oid
	where m.place <> 13 and a.attname ~ '(counter|event)s?_ids?$' and _gov_moved_value(c.relname, a.attname) = format('r.%I', a.attname)}), '', 'and no column keeps a number of this server');

# ---------------------------------------------------------------- the other server

$node->safe_psql('postgres', 'create database shard');
there('create extension governance');
there($vendor);
there("set session_replication_role = replica; set governance.owner = ''; insert into gov_default_assignments select (jsonb_populate_record(null::gov_default_assignments, '" . here('select to_jsonb(d) from gov_default_assignments d where owner_id is null') . "')).*");
there(q{insert into gov_prices (capability_id, quantity, price) values ('dollars', 'input', 0.001)});
fill(\&there, 'resident');

# What is asked of an owner, at one time; ids of events and counters are not in it.
sub questions
{
	my ($owner) = @_;

	return <<SQL;
select 'budget', entity_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, usage_period_start, usage_period_end, source from gov_budgets where owner_id = '$owner' order by 2, 3, 4, 5;
select 'headroom', h.* from gov_capabilities c, unnest(array['ann', 'somebody', 'eve']) u, gov_headroom('$owner', c.id, 1, jsonb_build_object('userId', u, 'model', 'm1')) h order by h::text;
select 'grant', b.* from gov_grant_balances b join gov_grants g on g.id = b.grant_id where g.owner_id = '$owner' order by g.reference;
select 'by time', capability_id, entity_id, hour, minute, amount, event_count from gov_usage_by_time where owner_id = '$owner' order by 2, 3, 4, 5;
select 'attribution', a.* from gov_attribution('$owner', 'tokens', '{user,model}', '-infinity', 'infinity') a order by a::text;
select 'usage', assignment_id, window_start, window_end, amount, event_count, pruned_amount, pruned_count, merged_windows from gov_usage where owner_id = '$owner' order by 2, 3, 4, 5, 6;
select 'event', capability_id, amount, entity_ids, dimensions, idempotency_key, request_hash, caller, occurred_at, recorded_at, cardinality(counter_ids), window_starts, window_ends,
	(select o.idempotency_key from gov_events o where o.id = e.reverses), (select array_agg(o.capability_id order by o.id) from gov_events o where o.id = any (e.call_event_ids)), quantities, prices, e.draws[1][2], e.draws[2][2]
	from gov_events e where owner_id = '$owner' order by id;
select 'draw', g.reference, sum(d.amount) from gov_event_draws d join gov_grants g on g.id = d.grant_id where g.owner_id = '$owner' group by 2 order by 2;
select 'hold', id, capability_id, v.amount, entity_ids, dimensions, idempotency_key, state, expires_at, settled_amount, settled_amounts, assignment_ids,
	(select o.amount from gov_events o where o.id = v.event_id), (select sum(o.amount) from gov_events o where o.id in (select value::bigint from jsonb_each_text(v.event_ids))) from gov_reservations v where owner_id = '$owner' order by id;
select 'alert', assignment_id, threshold, window_start, usage, usage_limit, (select o.amount from gov_events o where o.id = a.event_id), raised_at from gov_alerts a where owner_id = '$owner' order by id;
select 'change', at, table_name, key, action, old, new, changed_by, reason from gov_changes where owner_id = '$owner' and action not in ('FREEZE', 'THAW') order by id;
select 'denial', d.* from gov_denials d where owner_id = '$owner' and reason <> 'Frozen' order by d::text;
select 'entity', e.* from gov_entities e where owner_id = '$owner' order by e.id;
select 'assignment', to_jsonb(a) - '{counter_id,debt_counter_id}'::text[] from gov_assignments a where owner_id = '$owner' order by a.id;
select 'default', d.* from gov_default_assignments d where owner_id = '$owner' order by d.id;
select 'default count', n.* from gov_default_counts n where owner_id = '$owner' order by n::text;
select 'boost', b.* from gov_boosts b where owner_id = '$owner' order by id;
select 'request', r.* from gov_increase_requests r where owner_id = '$owner' order by id;
select 'price', p.* from gov_prices p where owner_id = '$owner' order by id;
select 'policy', p.* from gov_alert_policies p where owner_id = '$owner';
select 'limit', l.* from gov_limit_history l where owner_id = '$owner' order by l::text;
select 'recount', to_jsonb(r) - '{counter_id,through_id}'::text[] from gov_recounts r where owner_id = '$owner' order by 2;
select 'query', gov_query('$owner', page_size => 100);
SQL
}

# Say what differs of long answers.
sub diff_answers
{
	my ($before, $after) = @_;

	open(my $one, '>', "${PostgreSQL::Test::Utils::tmp_check}/before") or die $!;
	open(my $two, '>', "${PostgreSQL::Test::Utils::tmp_check}/after") or die $!;
	print $one "$before\n";
	print $two "$after\n";
	close $_ foreach $one, $two;
	diag(scalar `diff ${PostgreSQL::Test::Utils::tmp_check}/before ${PostgreSQL::Test::Utils::tmp_check}/after | cut -c1-600 | head -40`);
	return;
}

# The chunks, in a table of the other database.
sub carry
{
	my ($owner, $from, $to) = @_;
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/chunks";

	$from->("copy (select gov_export_owner('$owner')) to '$file'");
	$to->("drop table if exists chunks; create table chunks (n int generated always as identity, chunk jsonb); copy chunks (chunk) from '$file'");
	return $to->('select count(*) from chunks');
}

gov_raises($node, 'postgres', q{select gov_export_owner('acme')}, '55000', 'an owner that is not frozen');
here(q{select gov_freeze_owner('acme')});
my $before = here(questions('acme'));
cmp_ok(carry('acme', \&here, \&there), '>', 15, 'the chunks');
is(here(q{select string_agg(distinct c ->> 'kind', ' ' order by c ->> 'kind') from gov_export_owner('acme') c}), "begin end $owned", 'have rows of every table');
is(there(q{select chunks_done = (select count(*) from chunks), is_complete from gov_import_owner('acme', (select array_agg(chunk order by n) from chunks))}), 't|t', 'imported at once');
ok(there(questions('acme')) eq $before, 'everything is there') or diff_answers($before, there(questions('acme')));
is(there(q{select count(*) from gov_verify()}), 0, 'and adds up');
is(here(q{select count(*) from gov_verify()}), 0, 'as it does here');


# Calls are refused, and then they are what they would have been where the owner comes from.
raises_there(q{select gov_consume('acme', 'tokens', 1, null, '{root}')}, 'GV003', 'a call before it is thawed');
there(q{select gov_thaw_owner('acme')});
is(there(q{select is_duplicate from gov_consume('acme', 'dollars', 25, null, '{root}', 'drawn')}), 't', 'a key is known');
raises_there(q{select gov_ingest('acme', 'tokens', 15, '{"userId": "eve"}', null, 'all-1')}, '23505', 'and what it was used for');
is(there(q{select is_granted, is_duplicate, (select sum(o.amount) from jsonb_each_text(event_ids) i join gov_events o on o.id = i.value::bigint)
	from gov_consume_all('acme', '{"calls": 1, "tokens": 90, "dollars": {"input": 500, "output": 30}}', '{"userId": "ann", "model": "m1"}', null, 'all-2')}), 't|t|91.8', 'a key of several capabilities');
is(there(q{select is_duplicate from gov_reserve('acme', 'tokens', 500, '{"userId": "ann", "model": "m1"}', null, 'hold-1', '1 hour')}), 't', 'and one of a hold');
my $root = q{select current_usage, reserved_usage from gov_budgets where owner_id = 'acme' and entity_id = 'root' and capability_id = 'tokens' and name = '' and scope_entity_ids = '{}'};
my ($used, $held) = split /\|/, there($root);
is($held, 500, 'what is held');
there(q{select gov_settle((select id from gov_reservations where owner_id = 'acme' and idempotency_key = 'hold-1'), 400)});
is(there($root), $used + 400 . '|0', 'is settled');
there(q{select gov_reverse((select id from gov_events where owner_id = 'acme' and idempotency_key = 'to-refund'), 5)});
raises_there(q{select gov_reverse((select id from gov_events where owner_id = 'acme' and idempotency_key = 'to-refund'), 16)}, '22023', 'a use of which some was given back before gives back the rest');
is(there($root), $used + 395 . '|0', 'on the budgets that it was charged to');
is(there(q{select count(*) from gov_verify()}), 0, 'and the counts add up');
is(there(q{select count(*) from gov_events e, gov_imports i where i.owner_id = 'acme' and e.owner_id = 'acme' and e.id < 0 and e.id not between i.first_event_id and i.last_event_id}), 0, 'the ids of events are those of its span');
is(there(q{select count(*) from gov_events where owner_id = 'acme' and id > 0}), 2, 'and those of what is used here go on');


# Its events go when their time comes, as those that were recorded here do; and what they added stays.
is(there(q{select count(*) > 20 from gov_events where id < 0 and owner_id = 'acme'}), 't', 'there are events that came along');
my $counts = there($root);
prune('shard');
pass('they are deleted after their retention');
is(there(q{select events_deleted_until = last_event_id, events_deleted_to is not null from gov_imports}), 't|t', 'as is noted');
is(there($root), $counts, 'the counts stay');
is(there(q{select count(*) from gov_verify()}), 0, 'and add up');

# ---------------------------------------------------------------- back again, chunk by chunk

sub import_here { my ($from, $to) = @_; return here("select chunks_done, is_complete from gov_import_owner('acme', (select array_agg(chunk order by n) from chunks where n between $from and $to))"); }

there(q{
	select count(gov_ingest('acme', 'tokens', 2, '{"userId": "ann"}', null, 'there-' || n)) from generate_series(1, 1100) n;
	select gov_reserve('acme', 'tokens', 50, '{"userId": "ann", "model": "m1"}', null, 'hold-9', '1 hour');
	select gov_forget_entity('acme', 'eve', 'nobody'); select gov_freeze_owner('acme')});
raises_there(q{select gov_export_owner('acme')}, '55000', 'an owner that is being forgotten, and not rolled up');
gov_roll_up($node, 'shard');
there('select gov_maintain()');
is(there(q{select count(*) from gov_forgotten}), 0, 'nobody is being forgotten any more');
$before = there(questions('acme'));
is(here(q{select gov_delete_owner('acme'); select count(*) from gov_frozen_owners where owner_id = 'acme'}), "\n1", 'the owner is deleted where it was, and frozen');
my $chunks = carry('acme', \&there, \&here);
cmp_ok($chunks, '>', 10, 'chunks');
gov_raises($node, 'postgres', q{select gov_import_owner('acme', (select array_agg(chunk order by n) from chunks where n > 1))}, '55000', 'without the first chunk');
is(here(q{select count(*) from gov_imports}), 0, 'nothing of that is imported');
is(import_here(1, 1), '1|f', 'the first chunk');
is(import_here(1, 4), '4|f', 'again, with others');
gov_raises($node, 'postgres', q{select gov_thaw_owner('acme')}, '55000', 'an owner that is not there as a whole is not thawed');
gov_raises($node, 'postgres', q{select gov_import_owner('acme', (select array_agg(chunk) from chunks where n = 6))}, '55000', 'one that is not next');
gov_raises($node, 'postgres', q{select gov_import_owner('other', (select array_agg(chunk) from chunks where n = 1))}, '22023', 'one of another owner');
gov_raises($node, 'postgres', q{select gov_export_owner('acme')}, '55000', 'an owner that is not there as a whole is not exported');
gov_raises($node, 'postgres', q{select gov_import_owner('acme', array[(select jsonb_set(chunk, '{export}', to_jsonb(gen_random_uuid())) from chunks where n = 5)])}, '55000', 'a chunk of another export');

# The server is killed while a chunk is imported: that one was not, those before were.
my $session = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($session, q{begin; select gov_import_owner('acme', (select array_agg(chunk order by n) from chunks where n between 5 and 6))});
$node->stop('immediate');
eval { $session->quit };
$node->start;
is(here(q{select chunks_done from gov_imports}), 4, 'after a crash');
is(import_here($_, $_), "$_|" . ($_ == $chunks ? 't' : 'f'), "chunk $_") foreach 5 .. $chunks;
is(import_here(1, $chunks), "$chunks|t", 'all of them again');
ok(here(questions('acme')) eq $before, 'everything is back') or diff_answers($before, here(questions('acme')));
is(here(q{select count(*) from gov_verify()}), 0, 'and adds up');
here(q{select gov_thaw_owner('acme')});
is(here(q{select is_duplicate from gov_reserve('acme', 'tokens', 50, '{"userId": "ann", "model": "m1"}', null, 'hold-9', '1 hour')}), 't', 'a hold goes on');
is(here(q{select is_duplicate from gov_ingest('acme', 'tokens', 2, '{"userId": "ann"}', null, 'there-7')}), 't', 'and a key');
is(here(q{select gov_forget_entity('acme', 'ann', 'who'); select gov_maintain(); select gov_maintain(); select count(*) from gov_events where owner_id = 'acme' and 'ann' = any (entity_ids)}) =~ s/.*\n//sr, 0, 'whoever is forgotten now is in no event that came along');
gov_raises($node, 'postgres', q{select gov_import_owner('acme', (select array_agg(jsonb_set(chunk, '{export}', to_jsonb('00000000-0000-0000-0000-000000000001'::text))) from chunks where n = 1))}, '42710', 'an owner that exists');

# ---------------------------------------------------------------- what is refused

gov_roll_up($node, 'postgres');
here(q{select gov_freeze_owner('other')});
carry('other', \&here, \&there);
sub first_chunk { my ($path, $value) = @_; return "select gov_import_owner('other', array[(select jsonb_set(chunk, '$path', $value) from chunks where n = 1)])"; }
sub rest { my ($chunk) = @_; return "select chunks_done, is_complete from gov_import_owner('other', (select array_agg($chunk order by n) from chunks))"; }

raises_there(first_chunk('{content,version}', q{'"0.9"'}), '55000', 'another version');
raises_there(first_chunk('{format}', q{'2'}), '22023', 'another format');
raises_there(first_chunk('{chunk}', q{'"x"'}), '22023', 'no number');
raises_there(first_chunk('{kind}', q{'"end"'}), '22023', 'a wrong kind');
raises_there(first_chunk('{content}', q{'[]'}), '22023', 'a wrong content');
raises_there(first_chunk('{content,last_event_id}', q{'-5'}), '22023', 'a number out of range');
raises_there(first_chunk('{content,entity_types,0}', q{'"nosuch"'}), '23503', 'an entity type that is missing');
raises_there(first_chunk('{content,capabilities,0,id}', q{'"nosuch"'}), '23503', 'a capability that is missing');
raises_there(first_chunk('{content,capabilities,0,kind}', q{'"concurrency"'}), '23503', 'a capability of another kind');
raises_there(first_chunk('{content,defaults,0,seed}', q{'0'}), '23503', 'a default of everybody that is missing');
raises_there(first_chunk('{content,relations,gov_entities,0}', q{'"nosuch"'}), '42703', 'a column that is missing');
raises_there(q{select gov_import_owner('other', array[null::jsonb])}, '22004', 'null as a chunk');
raises_there(q{select gov_import_owner('other', null)}, '22004', 'null');
raises_there(q{select gov_import_owner(null, '{}')}, '22004', 'no owner');
raises_there(q{select gov_import_owner('', '{}')}, '22023', 'an empty owner');
raises_there(q{select gov_import_owner('other', array['[1]'::jsonb])}, '22023', 'no object');
raises_there(q{select gov_import_owner('resident', array[(select jsonb_set(chunk, '{owner}', '"resident"') from chunks where n = 1)])}, '42710', 'an owner that exists');
is(there(q{select * from gov_import_owner('other', '{}')}), '0|f', 'nothing at all');
is(there(q{select count(*) from gov_imports where owner_id = 'other'}), 0, 'nothing was imported');

# What does not add up is refused, and what your foreign keys refuse.
raises_there(rest(q{case when chunk ->> 'kind' = 'gov_events' then jsonb_set(chunk, '{content,7,amount}', '1000000') else chunk end}), 'XX001', 'an event that was changed');
raises_there(rest(q{case when chunk ->> 'kind' = 'gov_events' then chunk #- '{content,7}' else chunk end}), '22023', 'one that was left out');
is(there(rest(q{case when chunk ->> 'kind' = 'gov_entities' then jsonb_set(chunk, '{content,0,owner_id}', '"resident"') else chunk end} ) =~ s/^select/begin; select/r . '; rollback'), there('select count(*) from chunks') . '|t', 'a row of another owner is this one\'s');
there(q{create table customers (id text primary key); insert into customers values ('resident'), ('acme'); alter table gov_entities add constraint of_customer foreign key (owner_id) references customers});
raises_there(rest('chunk'), '23503', 'a foreign key of ours');
there(q{insert into customers values ('other')});
$before = here(questions('other'));
is(there(rest('chunk')), there('select count(*) from chunks') . '|t', 'imported');
ok(there(questions('other')) eq $before, 'everything is there') or diff_answers($before, there(questions('other')));
is(there(q{select count(*) from gov_verify()}), 0, 'and adds up');

done_testing();
