# A load reads the same whichever way it has to: few alert policies are read through, many are looked up, and where the schema's
# owner has dropped an index the table is read through.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# No worker: only gov_maintain rolls up.
my $node = gov_node('read_paths', conf => "max_worker_processes = 0\ngovernance.log_rollup_waits = -1");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_entity_types (id) values ('org'), ('team'), ('agent');
	insert into gov_capabilities (id) values ('tokens'), ('images');
	insert into gov_entities (owner_id, id, type_id) select 'o-' || o, 'org', 'org' from generate_series(1, 4) o;
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'o-' || o, 'team', 'team', 'org' from generate_series(1, 4) o;
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'o-' || o, 'gone', 'team', 'org' from generate_series(1, 4) o;
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'o-' || o, 'bot-' || n, 'agent', case n when 3 then 'gone' else 'team' end from generate_series(1, 4) o, generate_series(1, 3) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select owner_id, id, c, 1000, p from gov_entities, unnest('{images,tokens}'::text[], '{P1M,PT1H}'::text[]) u (c, p);
	insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, anchor_at, cadence, timezone, enforcement)
	select 'o-' || o, 'org', 'tokens', '{bot-1,team}', 'scoped', 50.5, '2026-01-15', 'P1W', 'Asia/Tokyo', 'soft' from generate_series(1, 4) o;
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, alert_thresholds) values ('o-2', 'bot-1', 'tokens', 'own', 100, '{20}'), ('o-1', 'bot-2', 'tokens', 'none', null, null);
	update gov_entities set archived_at = now() where id = 'gone'});

# What each owner's calls see, with nothing in memory and some of it not rolled up.
sub state
{
	sql('select gov_refresh()');
	return sql(q{
		select string_agg(format('%s %s %s %s %s %s', o, c, h.entity_id, h.name, h.current_usage, h.reserved_usage), E'\n' order by o, c, h.entity_id, h.name)
		from unnest('{o-1,o-2,o-3,o-4}'::text[]) o, unnest('{images,tokens}'::text[]) c, lateral gov_headroom(o, c, 1, null, '{bot-1,bot-3,nobody}') h});
}

# Each owner's bot uses a tenth of its limit: which thresholds did that pass?
sub alerts
{
	sql('truncate gov_alerts');
	sql('select gov_refresh()');
	sql(q{select count(gov_ingest('o-' || o, 'images', 100, null, '{bot-2}')) from generate_series(1, 4) o});
	return sql(q{select string_agg(format('%s %s', l.owner_id, l.threshold), ', ' order by l.owner_id, l.threshold) from gov_alerts l join gov_assignments a on a.id = l.assignment_id where a.entity_id = 'bot-2'});
}

sub start_anew
{
	sql(q{update gov_assignments set anchor_at = coalesce(anchor_at, '2020-01-01') - interval '1 day' where capability_id = 'images'});
	return;
}

is(alerts(), '', 'without policies there are no alerts');

sql(q{insert into gov_alert_policies values (null, '{5}'), ('o-1', '{7}'), ('o-2', '{}')});
start_anew();
is(alerts(), 'o-1 7, o-3 5, o-4 5', 'few policies: the own one, or else that of everybody');

sql(q{insert into gov_alert_policies select 'p-' || n, '{1,2,3}' from generate_series(1, 1000) n});
start_anew();
is(alerts(), 'o-1 7, o-3 5, o-4 5', 'many policies: the same');

sql(q{delete from gov_alert_policies where owner_id is null});
start_anew();
is(alerts(), 'o-1 7', 'without that of everybody');
sql(q{insert into gov_alert_policies values (null, '{5}')});

sql(q{
	select count(gov_ingest('o-' || n % 4 + 1, 'tokens', n, null, array['bot-' || n % 3 + 1])) from generate_series(1, 40) n;
	select gov_maintain()});
sql('select gov_maintain()');
sql(q{
	select count(gov_ingest('o-' || n % 4 + 1, 'tokens', n, null, array['bot-' || n % 3 + 1])) from generate_series(1, 20) n;
	select count(gov_reserve('o-1', 'images', 1, null, '{bot-1}', null, '1 hour')) from generate_series(1, 3);
	select count(gov_reserve('o-2', 'images', 1, null, array['bot-' || n % 3 + 1], null, '1 hour')) from generate_series(1, 200) n});
my $before = state();
like($before, qr/o-2 images bot-1  \d+ 6[67]/, 'few holds, and many');
is(sql('select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

sql(q{
	alter table gov_alert_policies drop constraint gov_alert_policies_key;
	alter table gov_assignments drop constraint gov_assignments_key;
	alter table gov_assignments drop constraint gov_assignments_counter_id_key;
	alter table gov_assignments drop constraint gov_assignments_entity_id_fkey;
	alter table gov_entities drop constraint gov_entities_pkey cascade;
	alter table gov_usage drop constraint gov_usage_pkey;
	alter table gov_rollup_state drop constraint gov_rollup_state_pkey;
	drop index gov_usage_merged, gov_events_owner_id_idx});
is(state(), $before, 'without indexes a load reads the same');
start_anew();
is(alerts(), 'o-1 7, o-3 5, o-4 5', 'and raises the same alerts');

$node->stop;
done_testing();
