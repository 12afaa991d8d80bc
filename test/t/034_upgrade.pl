# ALTER EXTENSION governance UPDATE: the catalog is that of a fresh install, and counts, holds, keys and rights go on, with the
# worker and other sessions at work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovUpgrade;

my $node = gov_node('upgrade', extension => 0);

gov_provide_version($node, '1.0.0')
  or plan skip_all => 'the directory of extensions may not be written';
my $current = $node->safe_psql('postgres', "select default_version from pg_available_extensions where name = 'governance'");

# The same facts, in a schema of its own with a name that must be quoted, and in public.
foreach my $schema ('public', '"of its own, 100%"')
{
	my ($fresh, $upgraded) = ("fresh", "upgraded");

	foreach my $db ($fresh, $upgraded)
	{
		$node->safe_psql('postgres', "create database $db");
		$node->safe_psql($db, "create schema if not exists $schema");
	}
	$node->safe_psql($fresh, "create extension governance schema $schema");
	$node->safe_psql($upgraded, "create extension governance schema $schema version '1.0.0'");
	$node->safe_psql($upgraded, 'alter extension governance update');

	my @fresh = split /\n/, gov_described($node, $fresh);
	my @upgraded = split /\n/, gov_described($node, $upgraded);
	my (%fresh, %upgraded);
	@fresh{@fresh} = ();
	@upgraded{@upgraded} = ();

	cmp_ok(scalar @fresh, '>', 500, "$schema: much is compared");
	is(join("\n", grep { !exists $upgraded{$_} } @fresh), '', "$schema: nothing is missing after the upgrade");
	is(join("\n", grep { !exists $fresh{$_} } @upgraded), '', "$schema: nothing is left over from before it");
	$node->safe_psql('postgres', "drop database $_") foreach ($fresh, $upgraded);
}

# A live database: budgets, events on both sides of the watermark, open holds, keys, rights, a transaction in flight.
$node->safe_psql('postgres', "create extension governance version '1.0.0'");
gov_build($node, 'postgres', agents => 3, limit => 1000, cadence => 'P1M');
$node->safe_psql('postgres', q{
	create role gov_app login;
	create role gov_reader login;
	select gov_grant('gov_app', 'app');
	select gov_grant('gov_reader', 'reader');
	select count(gov_consume('acme', 'tokens', n, null, array['agent-' || n % 3 + 1], 'key-' || n)) from generate_series(1, 60) n});
$node->safe_psql('postgres', q{update gov_assignments set locked = true where entity_id = 'agent-3'});
$node->safe_psql('postgres', 'alter table gov_events add column note text, add column since timestamptz default now()');
gov_roll_up($node, 'postgres');
gov_use($node, 'postgres', 2.5);
my $hold = $node->safe_psql('postgres', q{
	select reservation_id from gov_reserve('acme', 'tokens', 100, null, array['agent-1'], null, '1 hour')});
my $counts = gov_counts($node, 'postgres');

my $old = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($old, q{select gov_check('acme', 'tokens', 1, null, array['agent-1'])});
my $open = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($open, "begin; select gov_ingest('acme', 'tokens', 7, null, array['agent-2'])");

# What users have made is no break-in, whatever it uses; a view on our tables is anybody's to make.
$node->safe_psql('postgres', q{
	create function told() returns trigger language plpgsql as 'begin return null; end';
	create trigger told after insert on gov_alerts for each row execute function told();
	create function is_short(text) returns boolean language sql immutable as 'select length($1) < 100';
	alter table gov_entities add constraint short check (is_short(id));
	create index shortness on gov_entities (is_short(id));
	create table invoices (owner_id text);
	create policy mine on invoices using (gov_owner_visible(owner_id) and is_short(owner_id));
	create schema attic; grant all on schema attic to gov_reader;
	set role gov_reader;
	create function attic.one() returns int language sql as 'select 1';
	create view attic.any as select attic.one() from public.gov_events;
	create view attic.tree as select * from public.gov_tree('acme')});

# It replaces triggers and policies of the ledger, and waits for who has written there; lock_timeout keeps that short.
gov_raises($node, 'postgres', "set lock_timeout = '100ms'; alter extension governance update", '55P03', 'the update beside a call in flight');
is(gov_ask($open, 'commit'), '', 'the call in flight is recorded');
is($node->psql('postgres', 'alter extension governance update'), 0, 'the update after it');
is($node->safe_psql('postgres', "select extversion from pg_extension where extname = 'governance'"), $current, 'makes it the current version');
is(gov_counts($node, 'postgres'), $counts =~ s/((?:dept|org|team|user)-1)=(\d+\.?\d*)/"$1=" . ($2 + 7)/ger, 'the counts go on');
is(gov_ask($old, q{select is_granted from gov_consume('acme', 'tokens', 900, null, array['agent-1'])}), 'f', 'and hold in a session from before');
is(gov_ask($old, q{select is_duplicate from gov_consume('acme', 'tokens', 59, null, array['agent-3'], 'key-59')}), 't', 'which remembers keys');
is($node->safe_psql('postgres', "select is_duplicate from gov_settle('$hold', 50)"), 'f', 'a hold from before is settled');
is( $node->safe_psql('postgres', q{
		select r.reverses = e.id, r.amount, r.note is null and r.since is not null
		from gov_events e, gov_reverse(e.id, 3) g, lateral (select * from gov_events where id = g.event_id) r where e.idempotency_key = 'key-58'}),
	'', 'an event from before is reversed');
is( $node->safe_psql('postgres', q{
		select r.reverses = e.id, r.amount, r.note is null and r.since is not null, r.counter_ids = e.counter_ids
		from gov_events e join gov_events r on r.reverses = e.id where e.idempotency_key = 'key-58'}),
	't|-3|t|t', 'in a column behind those of users');
is( $node->safe_psql('postgres', q{
		set role gov_app;
		select event_id is not null from gov_ingest('acme', 'tokens', 1, null, array['agent-1'])}),
	't', 'rights are kept');
cmp_ok($node->safe_psql('postgres', 'set role gov_reader; select count(*) from gov_stats'), '>', 10, 'a reader reads gov_stats on');
is( $node->safe_psql('postgres', q{
		set role gov_reader;
		select count(x.path), count(y.path) from attic.tree x left join gov_tree('acme') y using (entity_id)}),
	'7|7', 'whose view of gov_tree shows what it did, and who calls it as before');
is( $node->safe_psql('postgres', q{select count(*) from pg_depend where objid = 'gov_tree_1_0'::regproc and deptype = 'e'}), '0',
	'with a function that is no part of the extension any more');
$_->quit foreach ($old, $open);
gov_is_exact($node, 'postgres', 'upgraded');
is($node->safe_psql('postgres', 'select * from gov_setup_check()'), '', 'upgraded: nothing of the extension is missing');
gov_roll_up($node, 'postgres');
gov_is_exact($node, 'postgres', 'upgraded and rolled up');

# Whether it was the limit that 1.0.0 has changed nobody knows.
is($node->safe_psql('postgres', 'select count(*) from gov_changes'), '0', 'the update is no change of the catalog');
is($node->safe_psql('postgres', q{select gov_limit_at(id, created_at), gov_limit_at(id, now()) from gov_assignments where entity_id = 'agent-1'}), '1000|1000',
	'a budget that was never changed has had its limit from the start');
gov_raises($node, 'postgres', q{select gov_limit_at(id, created_at) from gov_assignments where entity_id = 'agent-3'}, '55000', 'one that was');
$node->safe_psql('postgres', q{update gov_assignments set usage_limit = 9 where entity_id = 'agent-3'});
is($node->safe_psql('postgres', q{select gov_limit_at(id, replaced_at), gov_limit_at(id, now()) from gov_assignments join gov_limit_history h on assignment_id = id and not is_known where entity_id = 'agent-3'}),
	'1000|9', 'is known from its last change on');

$node->stop;
done_testing();
