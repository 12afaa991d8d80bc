# governance.event_retention: rolled-up events and ended holds go, what they added up to stays, and what is still needed too.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('retention');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
governance.rollup_interval = '10min'
});
$node->start;
$node->safe_psql('postgres', <<'SQL');
create extension governance;
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) values ('acme', 'acme', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'acme', 'tokens', 1000);
SQL

sub is_sql
{
	my ($sql, $expected, $name) = @_;

	is($node->safe_psql('postgres', $sql), $expected, $name);
}

my $ids = q{array['acme']};
my $state = q{select trim_scale(current_usage), trim_scale(reserved_usage) from gov_headroom('acme', 'tokens', 0, null, array['acme']) where name = ''};
my $rows = q{select (select count(*) from gov_events), (select string_agg(state, ' ' order by state) from gov_reservations)};

$node->safe_psql('postgres', qq{
	select gov_ingest('acme', 'tokens', 7, null, $ids, 'old');
	select gov_settle(reservation_id, 5) from gov_reserve('acme', 'tokens', 10, null, $ids, 'settled');
	select gov_release(reservation_id) from gov_reserve('acme', 'tokens', 10, null, $ids, 'released');
	select gov_reserve('acme', 'tokens', 20, null, $ids, 'open', '30 days');
});
is_sql('select pruned from gov_maintain()', 0, 'without the setting nothing is deleted');

# budgets that were counted again from events that will go
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'model', 'org');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values
		('acme', 'acme', 'tokens', 'recounted', 1000, null), ('acme', 'acme', 'tokens', 'century', 1000, 'P100Y'), ('acme', 'acme', 'tokens', 'short', 1000, 'PT6H');
	select gov_recount(id, by => 'tree') from gov_assignments where name <> ''});
my $recounted = q{select string_agg(format('%s %s-%s/%s-%s', a.name, trim_scale(u.amount), trim_scale(u.pruned_amount), u.event_count, u.pruned_count), ', ' order by a.name, u.window_start) from gov_usage u join gov_assignments a using (counter_id) where a.name <> ''};
is_sql($recounted, 'century 12-0/2-0, recounted 12-0/2-0, short 12-0/2-0', 'they are in gov_usage');
is_sql('select count(*) from gov_verify()', 0, 'and counted by what the ledger has');
is_sql($rows, '2|open released settled', 'neither event nor hold');

# a day later
$node->append_conf('postgresql.conf', "governance.clock_offset = '1d'\ngovernance.event_retention = '1h'");
$node->restart;
$node->safe_psql('postgres', qq{select gov_ingest('acme', 'tokens', 1, null, $ids, 'new')});
ok($node->poll_query_until('postgres', "select pruned = 0 and events_left = 0 from gov_maintain()"), 'the worker or gov_maintain does it all');
is_sql($rows, '1|open', 'old events and ended holds are gone, the new event and the open hold are there');
is_sql($state, '13|20', 'and all counts');
is_sql('select count(*) from gov_verify()', 0, 'as gov_verify finds');
is_sql('select gov_drop_cache()', '', 'dropped');
is_sql($state, '13|20', 'when loaded again too');
is_sql('select trim_scale(sum(amount)), sum(event_count) from gov_usage_hourly', '13|3', 'and the attribution');
is_sql(qq{select is_duplicate from gov_ingest('acme', 'tokens', 1, null, $ids, 'new')}, 't', 'a key is known as long as its event');
is_sql(qq{select is_duplicate from gov_ingest('acme', 'tokens', 1, null, $ids, 'old')}, 'f', 'and no longer');
is_sql(qq{select is_duplicate from gov_reserve('acme', 'tokens', 10, null, $ids, 'settled')}, 'f', 'or its hold');
is_sql(qq{select is_duplicate from gov_reserve('acme', 'tokens', 20, null, $ids, 'open')}, 't', 'which is not forgotten while it is open');
is_sql('select count(*) from gov_verify()', 0, 'all counts are right at the end');

# What is gone cannot be counted again.
$node->safe_psql('postgres', 'select * from gov_maintain()') foreach 1 .. 3;
like($node->safe_psql('postgres', $recounted), qr/^century 1[34]-12\/[34]-2, recounted 1[34]-12\/[34]-2, short 12-12\/2-2, short /, 'what was counted of deleted events is noted');
foreach my $name ('recounted', 'century')
{
	my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nselect gov_recount(id) from gov_assignments where name = '$name'");
	like($error, qr/ERROR:  55000: the events to recount from have been deleted/, "$name: cannot be counted again");
	($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nselect gov_recount(id, gov_now() - interval '2 days') from gov_assignments where name = '$name'");
	like($error, qr/ERROR:  55000: .*HINT:  Pass a later time as since\./s, "$name: nor from then on");
}
is_sql(q{select usage from gov_recount((select id from gov_assignments where name = 'recounted'), gov_now() - interval '1 hour')}, 2, 'but from a later time on');
is_sql(q{select counted_events from gov_recount((select id from gov_assignments where name = 'short'))}, 2, 'or in windows that the ledger still has as a whole');
is_sql('select count(*) from gov_verify()', 0, 'and gov_verify counts the same');

# what is not rolled up is not deleted, however old: another transaction may still add to what comes before it
my $writer = $node->background_psql('postgres', on_error_stop => 1);
$writer->query_safe(qq{begin; select gov_ingest('acme', 'tokens', 1, null, $ids)});
$node->safe_psql('postgres', qq{select gov_ingest('acme', 'tokens', 1, null, $ids, null, gov_now() - interval '2 days')});
is_sql('select pruned, events_left > 0, waits_for is not null from gov_maintain()', '0|t|t', 'an event that is not rolled up stays');
$writer->query_safe('commit');
$writer->quit;
ok($node->poll_query_until('postgres', "select events_left = 0 from gov_maintain()"), 'until it is');
is_sql('select count(*) from gov_events', 4, 'its age counts from when it was recorded');
is_sql('select count(*) from gov_verify()', 0, 'and all counts are right');

# a hold that somebody is settling late is neither waited for nor deleted, nor an event that somebody is reversing
my $use = $node->safe_psql('postgres', qq{select event_id from gov_ingest('acme', 'tokens', 6, null, $ids)});
my $other = $node->safe_psql('postgres', qq{select event_id from gov_ingest('acme', 'tokens', 6, null, $ids)});
is_sql(qq{select is_duplicate from gov_reverse($other, 1)}, 'f', 'an event is reversed');
my $late = $node->safe_psql('postgres', qq{select reservation_id from gov_reserve('acme', 'tokens', 2, null, $ids, 'late', '1 ms')});
ok($node->poll_query_until('postgres', "select expired >= 0 and exists (select from gov_reservations where id = '$late' and state = 'expired') from gov_maintain()"), 'a hold has expired');
my $settler = $node->background_psql('postgres', on_error_stop => 1);
$settler->query_safe(qq{begin; select gov_settle('$late', 1)});
my $reverser = $node->background_psql('postgres', on_error_stop => 1);
$reverser->query_safe(qq{begin; select gov_reverse($use, 2, 'refund')});
$node->safe_psql('postgres', "alter system set governance.event_retention = '1s'");
$node->safe_psql('postgres', "alter system set governance.clock_offset = '2d'");
$node->reload;
ok($node->poll_query_until('postgres', "select current_setting('governance.clock_offset') = '2d'"), 'another day later');
is_sql(q{set statement_timeout = '60s'; select events_left from gov_maintain()}, 0, 'no round waits for it');
$settler->query_safe('commit');
$settler->quit;
is_sql(qq{select is_duplicate from gov_settle('$late')}, 't', 'it is there, and settled');
my $of_both = qq{select string_agg((id = $use)::text || ' ' || (reverses is not null)::text, ', ' order by id) from gov_events where id in ($use, $other) or reverses in ($use, $other)};
$reverser->query_safe('commit');
$reverser->quit;
is_sql($of_both, 'true false, false true', 'the event that was being reversed is there, the other one has gone with its reversal');
is_sql(qq{select is_duplicate from gov_reverse($use, 2, 'refund')}, 't', 'a repeated call is answered');
my ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nselect gov_reverse($use, 1)");
like($error, qr/42704.*does not exist.*event_retention/s, 'another one finds no event that old');
$node->safe_psql('postgres', "alter system set governance.clock_offset = '50h'");
$node->reload;
ok($node->poll_query_until('postgres', qq{select events_left = 0 and not exists (select from gov_events where id = $use or reverses = $use) from gov_maintain()}), 'the next pass finds it');
is_sql('select count(*) from gov_verify()', 0, 'and all counts are right');

$node->stop;
done_testing();
